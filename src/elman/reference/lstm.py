"""Long short-term memory, and its backpropagation through time.

i, f, o = sigmoid and g = tanh of W x_t + b_ih + U h_{t-1} + b_hh, gate by gate; c_t = f c_{t-1} + i g;
h_t = o tanh(c_t). Rows of the weights: i, f, g, o.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import shared
from .shared import Array, Params, sigmoid

State = tuple[Array, Array]
"""h and c, each (B, H)."""


class Cache(NamedTuple):
    """What the backward pass needs of one step."""

    x: Array  # (B, I)
    h_before: Array  # (B, H), as all that follows
    c_before: Array
    i: Array
    f: Array
    g: Array
    o: Array
    tanh_c: Array


def start(input_size: int, hidden_size: int, rng: np.random.Generator) -> Params:
    """Fresh parameters, uniform in +-1/sqrt(H).

    >>> start(3, 5, np.random.default_rng(0))["weight_hh"].shape
    (20, 5)
    """
    return shared.start(4, input_size, hidden_size, rng)


def forward(params: Params, x: Array, state: State | None = None) -> tuple[Array, State, list[Cache]]:
    """The outputs (T, B, H), the last state (h, c), and a cache for ``backward``.

    Args:
        params: as ``start`` makes them.
        x: (T, B, I).
        state: h and c before the first step, (B, H) each; default zeros.

    >>> params = start(3, 5, np.random.default_rng(0))
    >>> ys, (h, c), caches = forward(params, np.ones((7, 2, 3)))
    >>> ys.shape, np.array_equal(ys[-1], h), c.shape
    ((7, 2, 5), True, (2, 5))
    """
    shared.check_input(params, x)
    W, U = params["weight_ih"], params["weight_hh"]  # (4H, I), (4H, H)
    b = params["bias_ih"] + params["bias_hh"]  # (4H,)
    time, batch, _ = x.shape
    hidden = U.shape[1]
    h, c = (shared.first_state(each, batch, hidden) for each in state or (None, None))
    ys = np.zeros((time, batch, hidden))
    caches = []
    for t in range(time):
        h_before, c_before = h, c
        z_i, z_f, z_g, z_o = np.split(x[t] @ W.T + h_before @ U.T + b, 4, axis=1)  # (B, H) each
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        c = f * c_before + i * g  # what is kept of the old memory, and what is written
        tanh_c = np.tanh(c)
        h = o * tanh_c  # what is shown of it
        ys[t] = h
        caches.append(Cache(x[t], h_before, c_before, i, f, g, o, tanh_c))
    return ys, (h, c), caches


def backward(
    params: Params, caches: list[Cache], dys: Array, dstate: State | None = None
) -> tuple[Params, Array, State]:
    """Gradients of the loss for the parameters, the input (T, B, I) and the first state (h, c).

    Args:
        params: those of the forward pass.
        caches: from ``forward``.
        dys: dL/dy_t at every step (T, B, H); zeros where the loss does not look.
        dstate: dL/dh and dL/dc of the last state, where the loss also sees it beside the outputs; default zeros.

    >>> params = start(3, 5, np.random.default_rng(0))
    >>> ys, state, caches = forward(params, np.ones((7, 2, 3)))
    >>> gradients, dx, (dh, dc) = backward(params, caches, np.ones_like(ys))
    >>> gradients["weight_hh"].shape, dx.shape, dc.shape
    ((20, 5), (7, 2, 3), (2, 5))
    """
    shared.check_gradient(caches, dys)
    W, U = params["weight_ih"], params["weight_hh"]
    gradients = {name: np.zeros_like(each) for name, each in params.items()}
    _, batch, hidden = dys.shape
    dx = np.zeros((len(caches), batch, W.shape[1]))
    dh, dc = (np.zeros((batch, hidden)), np.zeros((batch, hidden))) if dstate is None else dstate
    for t in reversed(range(len(caches))):
        x, h_before, c_before, i, f, g, o, tanh_c = caches[t]
        dh = dh + dys[t]  # h_t went two ways: into the next step and out of the net
        do = dh * tanh_c
        dc = dc + dh * o * (1 - tanh_c**2)  # c_t went two ways too: into c_{t+1} and into h_t
        di, df, dg = dc * g, dc * c_before, dc * i
        # Back through the squashing functions to their arguments: sigmoid' = s (1 - s), tanh' = 1 - tanh^2.
        dz = np.concatenate(
            [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1
        )  # (B, 4H), rows i, f, g, o
        gradients["weight_ih"] += dz.T @ x
        gradients["weight_hh"] += dz.T @ h_before
        gradients["bias_ih"] += dz.sum(0)
        gradients["bias_hh"] += dz.sum(0)
        dx[t] = dz @ W
        dh = dz @ U
        dc = dc * f  # the conveyor belt: no matrix and no squashing on the way from c_t to c_{t-1}
    return gradients, dx, (dh, dc)
