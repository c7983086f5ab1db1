"""Chaos-free network: Laurent and von Brecht 2016, arXiv:1612.06212; rows theta, eta."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        theta = sigmoid(from_input(weights, x, 0, 2) + from_state(weights, h, 0, 2))
        eta = sigmoid(from_input(weights, x, 1, 2) + from_state(weights, h, 1, 2))
        h = theta * np.tanh(h) + eta * np.tanh(weights["weight_ix"] @ x)
        return h, (h,)

    return over_rows_and_time(step, x, state)
