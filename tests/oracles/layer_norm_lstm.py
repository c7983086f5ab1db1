"""LSTM with each gate and the cell state normalised: Ba et al. 2016, arXiv:1607.06450, in TensorFlow 1's form."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"bias": True, "epsilon": 1e-3}, {"forget_bias": 1.0}]


def run(weights: Weights, x: Array, state: States, epsilon: float = 1e-5, **_: object) -> tuple[Array, States]:
    def normal(v: Array, name: str) -> Array:
        units = len(v)
        mean = sum(v) / units
        variance = sum((each - mean) ** 2 for each in v) / units
        return weights[f"norm_{name}.weight"] * (v - mean) / np.sqrt(variance + epsilon) + weights[f"norm_{name}.bias"]

    def step(x: Array, h: Array, c: Array) -> tuple[Array, States]:
        z = {}
        for k, name in enumerate("ifgo"):
            z[name] = normal(from_input(weights, x, k, 4) + from_state(weights, h, k, 4), name)
        c = sigmoid(z["f"]) * c + sigmoid(z["i"]) * np.tanh(z["g"])
        h = sigmoid(z["o"]) * np.tanh(normal(c, "c"))
        return h, (h, c)

    return over_rows_and_time(step, x, state)
