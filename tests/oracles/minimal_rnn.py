"""MinimalRNN: Chen 2017, arXiv:1711.06788, the input encoded by one tanh layer."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        z = np.tanh(from_input(weights, x, 0, 1))
        u = sigmoid(from_state(weights, h, 0, 1) + weights["weight_zu"] @ z)
        h = u * h + (1 - u) * z
        return h, (h,)

    return over_rows_and_time(step, x, state)
