"""The plain recurrent network: h_t = tanh(W x_t + b_ih + U h_{t-1} + b_hh), and its backpropagation through time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import shared
from .shared import Array, Params


class Cache(NamedTuple):
    """What the backward pass needs of one step."""

    x: Array  # (B, I)
    h_before: Array  # (B, H)
    h: Array  # (B, H)


def start(input_size: int, hidden_size: int, rng: np.random.Generator) -> Params:
    """Fresh parameters, uniform in +-1/sqrt(H).

    >>> start(3, 5, np.random.default_rng(0))["weight_hh"].shape
    (5, 5)
    """
    return shared.start(1, input_size, hidden_size, rng)


def forward(params: Params, x: Array, state: Array | None = None) -> tuple[Array, Array, list[Cache]]:
    """The outputs (T, B, H), the last state (B, H), and a cache for ``backward``.

    Args:
        params: as ``start`` makes them.
        x: (T, B, I).
        state: h before the first step (B, H); default zeros.

    >>> params = start(3, 5, np.random.default_rng(0))
    >>> ys, h, caches = forward(params, np.ones((7, 2, 3)))
    >>> ys.shape, np.array_equal(ys[-1], h)
    ((7, 2, 5), True)
    """
    shared.check_input(params, x)
    W, U = params["weight_ih"], params["weight_hh"]  # (H, I), (H, H)
    b = params["bias_ih"] + params["bias_hh"]  # (H,)
    time, batch, _ = x.shape
    hidden = U.shape[1]
    h = shared.first_state(state, batch, hidden)
    ys = np.zeros((time, batch, hidden))
    caches = []
    for t in range(time):
        h_before = h
        h = np.tanh(x[t] @ W.T + h_before @ U.T + b)  # (B, H)
        ys[t] = h
        caches.append(Cache(x[t], h_before, h))
    return ys, h, caches


def backward(
    params: Params, caches: list[Cache], dys: Array, dstate: Array | None = None
) -> tuple[Params, Array, Array]:
    """Gradients of the loss for the parameters, the input (T, B, I) and the first state (B, H).

    Args:
        params: those of the forward pass.
        caches: from ``forward``.
        dys: dL/dy_t at every step (T, B, H); zeros where the loss does not look.
        dstate: dL/dh of the last state, where the loss also sees it beside the outputs; default zeros.

    >>> params = start(3, 5, np.random.default_rng(0))
    >>> ys, h, caches = forward(params, np.ones((7, 2, 3)))
    >>> gradients, dx, dh = backward(params, caches, np.ones_like(ys))
    >>> gradients["weight_hh"].shape, dx.shape, dh.shape
    ((5, 5), (7, 2, 3), (2, 5))
    """
    shared.check_gradient(caches, dys)
    W, U = params["weight_ih"], params["weight_hh"]
    gradients = {name: np.zeros_like(each) for name, each in params.items()}
    _, batch, hidden = dys.shape
    dx = np.zeros((len(caches), batch, W.shape[1]))
    dh = np.zeros((batch, hidden)) if dstate is None else dstate
    for t in reversed(range(len(caches))):
        x, h_before, h = caches[t]
        dh = dh + dys[t]  # h_t went two ways: into the next step and out of the net
        dz = dh * (1 - h**2)  # (B, H): back through tanh, to its argument z
        # Every step is a copy of the net with the same weights, so their gradients add up over time.
        gradients["weight_ih"] += dz.T @ x
        gradients["weight_hh"] += dz.T @ h_before
        gradients["bias_ih"] += dz.sum(0)
        gradients["bias_hh"] += dz.sum(0)
        dx[t] = dz @ W
        dh = dz @ U  # to h_{t-1}: this product, taken T times, is what vanishes or explodes
    return gradients, dx, dh
