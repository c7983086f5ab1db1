"""h_t = relu(W x_t + u h_{t-1} + b), u one number a unit: Li et al. 2018, arXiv:1803.04831, equation 2."""

from __future__ import annotations

import numpy as np

from .common import FUNCTIONS, Array, States, Weights, from_input, over_rows_and_time

VARIANTS = [{}, {"nonlinearity": "tanh"}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, nonlinearity: str = "relu", **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        z = from_input(weights, x, 0, 1)
        h = FUNCTIONS[nonlinearity](np.array([z[k] + weights["weight_hh"][k] * h[k] for k in range(len(h))]))
        return h, (h,)

    return over_rows_and_time(step, x, state)
