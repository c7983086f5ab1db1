"""The gated recurrent unit with the reset gate after the product (PyTorch's form), and its backpropagation.

a = W x_t + b_ih and u = U h_{t-1} + b_hh, gate by gate; r = sigmoid(a_r + u_r); z = sigmoid(a_z + u_z);
n = tanh(a_n + r u_n); h_t = (1 - z) n + z h_{t-1}. Rows of the weights: r, z, n.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import shared
from .shared import Array, Params, sigmoid


class Cache(NamedTuple):
    """What the backward pass needs of one step."""

    x: Array  # (B, I)
    h_before: Array  # (B, H), as all that follows
    r: Array
    z: Array
    n: Array
    u_n: Array


def start(input_size: int, hidden_size: int, rng: np.random.Generator) -> Params:
    """Fresh parameters, uniform in +-1/sqrt(H).

    >>> start(3, 5, np.random.default_rng(0))["weight_hh"].shape
    (15, 5)
    """
    return shared.start(3, input_size, hidden_size, rng)


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
    W, U = params["weight_ih"], params["weight_hh"]  # (3H, I), (3H, H)
    time, batch, _ = x.shape
    hidden = U.shape[1]
    h = shared.first_state(state, batch, hidden)
    ys = np.zeros((time, batch, hidden))
    caches = []
    for t in range(time):
        h_before = h
        a_r, a_z, a_n = np.split(x[t] @ W.T + params["bias_ih"], 3, axis=1)  # (B, H) each
        u_r, u_z, u_n = np.split(h_before @ U.T + params["bias_hh"], 3, axis=1)
        r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
        n = np.tanh(a_n + r * u_n)  # the reset gate closes on the past, not on the input
        h = (1 - z) * n + z * h_before
        ys[t] = h
        caches.append(Cache(x[t], h_before, r, z, n, u_n))
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
    ((15, 5), (7, 2, 3), (2, 5))
    """
    shared.check_gradient(caches, dys)
    W, U = params["weight_ih"], params["weight_hh"]
    gradients = {name: np.zeros_like(each) for name, each in params.items()}
    _, batch, hidden = dys.shape
    dx = np.zeros((len(caches), batch, W.shape[1]))
    dh = np.zeros((batch, hidden)) if dstate is None else dstate
    for t in reversed(range(len(caches))):
        x, h_before, r, z, n, u_n = caches[t]
        dh = dh + dys[t]  # h_t went two ways: into the next step and out of the net
        dn = dh * (1 - z) * (1 - n**2)  # each of these three to the argument of its squashing function
        dz = dh * (h_before - n) * z * (1 - z)
        dr = dn * u_n * r * (1 - r)
        da = np.concatenate([dr, dz, dn], axis=1)  # (B, 3H), rows r, z, n: to W x_t + b_ih
        du = np.concatenate([dr, dz, dn * r], axis=1)  # to U h_{t-1} + b_hh, where r stands before u_n
        gradients["weight_ih"] += da.T @ x
        gradients["weight_hh"] += du.T @ h_before
        gradients["bias_ih"] += da.sum(0)
        gradients["bias_hh"] += du.sum(0)
        dx[t] = da @ W
        dh = dh * z + du @ U  # past the gates, and through them
    return gradients, dx, dh
