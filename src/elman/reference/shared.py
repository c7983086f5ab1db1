"""What the three cells share: how parameters start, the logistic function, and a check of the input."""

from __future__ import annotations

import numpy as np

from ..errors import UserError

Array = np.ndarray
Params = dict[str, Array]
"""``weight_ih`` (G*H, I), ``weight_hh`` (G*H, H), ``bias_ih`` and ``bias_hh`` (G*H,), the G gates stacked by rows."""


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written so that a large z of either sign does not overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return 0.5 * (1 + np.tanh(0.5 * z))


def start(gates: int, input_size: int, hidden_size: int, rng: np.random.Generator) -> Params:
    """Parameters uniform in +-1/sqrt(H), as PyTorch starts them; raises ``UserError`` for sizes below 1.

    >>> {name: each.shape for name, each in start(4, 3, 5, np.random.default_rng(0)).items()}
    {'weight_ih': (20, 3), 'weight_hh': (20, 5), 'bias_ih': (20,), 'bias_hh': (20,)}
    """
    if input_size < 1 or hidden_size < 1:
        raise UserError(f"got input_size={input_size}, hidden_size={hidden_size}; give whole numbers of at least 1")
    rows = gates * hidden_size
    shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size), "bias_ih": (rows,), "bias_hh": (rows,)}
    bound = hidden_size**-0.5
    return {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}


def check_input(params: Params, x: Array) -> None:
    """Raises ``UserError`` unless x is (T, B, I)."""
    input_size = params["weight_ih"].shape[1]
    if x.ndim != 3 or x.shape[2] != input_size:
        raise UserError(
            f"x is {x.shape}; expected (T, B, {input_size}): steps, rows of the batch, features "
            "(tokens enter as one-hot vectors)"
        )


def first_state(state: Array | None, batch: int, hidden: int) -> Array:
    """The state given, zeros for ``None``; raises ``UserError`` unless it is (B, H): another shape might broadcast."""
    if state is None:
        return np.zeros((batch, hidden))
    if state.shape != (batch, hidden):
        raise UserError(f"the state is {state.shape}; expected (B, H) = {(batch, hidden)}")
    return state


def check_gradient(caches: list, dys: Array) -> None:
    """Raises ``UserError`` unless ``dys`` has one gradient for each step of the forward pass."""
    if len(dys) != len(caches):
        raise UserError(f"dys has {len(dys)} steps and the forward pass had {len(caches)}; give dL/dy_t for each step")
