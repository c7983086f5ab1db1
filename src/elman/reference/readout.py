"""From outputs to a loss and back: a linear layer, softmax and cross entropy."""

from __future__ import annotations

import numpy as np

from ..errors import UserError
from .shared import Array, Params


def start(hidden_size: int, vocabulary: int, rng: np.random.Generator) -> Params:
    """A linear layer's ``weight`` (V, H), uniform in +-1/sqrt(H), and its ``bias`` (V,), zeros.

    >>> start(5, 9, np.random.default_rng(0))["weight"].shape
    (9, 5)
    """
    bound = hidden_size**-0.5
    return {"weight": rng.uniform(-bound, bound, (vocabulary, hidden_size)), "bias": np.zeros(vocabulary)}


def forward(params: Params, ys: Array) -> Array:
    """Scores (T, B, V) of the outputs (T, B, H): V y_t + c, before the softmax.

    >>> forward({"weight": np.ones((2, 3)), "bias": np.array([0.0, 1.0])}, np.ones((1, 1, 3)))
    array([[[3., 4.]]])
    """
    return ys @ params["weight"].T + params["bias"]


def backward(params: Params, ys: Array, dlogits: Array) -> tuple[Params, Array]:
    """Gradients for the layer's parameters and for the outputs (T, B, H).

    >>> params = start(3, 2, np.random.default_rng(0))
    >>> gradients, dys = backward(params, np.ones((4, 1, 3)), np.ones((4, 1, 2)))
    >>> gradients["bias"], dys.shape
    (array([4., 4.]), (4, 1, 3))
    """
    gradients = {"weight": np.einsum("tbv,tbh->vh", dlogits, ys), "bias": dlogits.sum((0, 1))}
    return gradients, dlogits @ params["weight"]


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
    """The mean of -log softmax(logits)[target] in nats, and its gradient for the logits (T, B, V).

    Args:
        logits: (T, B, V).
        targets: whole numbers (T, B), each below V.

    Raises ``UserError`` for targets of another shape or out of range.

    >>> loss, dlogits = cross_entropy(np.zeros((1, 1, 4)), np.array([[2]]))
    >>> round(loss, 4), dlogits
    (1.3863, array([[[ 0.25,  0.25, -0.75,  0.25]]]))
    """
    vocabulary = logits.shape[-1]
    if targets.shape != logits.shape[:-1] or targets.size == 0 or targets.min() < 0 or targets.max() >= vocabulary:
        raise UserError(
            f"targets {targets.shape} do not fit logits {logits.shape}; give whole numbers (T, B) from 0 to "
            f"{vocabulary - 1}, at least one"
        )
    shifted = logits - logits.max(-1, keepdims=True)  # softmax does not change, and exp cannot overflow
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    wanted = np.eye(vocabulary)[targets]  # (T, B, V), one-hot
    loss = -(wanted * log_p).sum() / targets.size
    return float(loss), (np.exp(log_p) - wanted) / targets.size
