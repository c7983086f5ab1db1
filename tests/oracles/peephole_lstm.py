"""LSTM with peepholes: Gers and Schmidhuber 2000; i and f see the old cell state, o the new one."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array, c: Array) -> tuple[Array, States]:
        z = {}
        for k, name in enumerate("ifgo"):
            z[name] = from_input(weights, x, k, 4) + from_state(weights, h, k, 4)
        new = np.empty_like(c)
        for unit in range(len(c)):
            i = sigmoid(z["i"][unit] + weights["weight_ci"][unit] * c[unit])
            f = sigmoid(z["f"][unit] + weights["weight_cf"][unit] * c[unit])
            new[unit] = f * c[unit] + i * np.tanh(z["g"][unit])
        out = np.empty_like(h)
        for unit in range(len(c)):
            out[unit] = sigmoid(z["o"][unit] + weights["weight_co"][unit] * new[unit]) * np.tanh(new[unit])
        return out, (out, new)

    return over_rows_and_time(step, x, state)
