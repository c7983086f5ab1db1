"""LSTM whose input gate is 1 - f ("CIFG"): Greff et al. 2015; rows f, g, o."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array, c: Array) -> tuple[Array, States]:
        z = {}
        for k, name in enumerate("fgo"):
            z[name] = from_input(weights, x, k, 3) + from_state(weights, h, k, 3)
        forget = sigmoid(z["f"])
        write = 1 - forget
        c = forget * c + write * np.tanh(z["g"])
        h = sigmoid(z["o"]) * np.tanh(c)
        return h, (h, c)

    return over_rows_and_time(step, x, state)
