"""SRU: Lei et al. 2018, arXiv:1709.02755, equations 1 to 4; rows f, r. The output h is no state."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, over_rows_and_time, sigmoid

VARIANTS = [{}, {"peephole": False, "highway_bias": -1.0}, {"bias": False}]


def run(
    weights: Weights, x: Array, state: States, peephole: bool = True, highway_bias: float = 0.0, **_: object
) -> tuple[Array, States]:
    alpha = np.sqrt(1 + 2 * np.exp(highway_bias))

    def step(x: Array, c: Array) -> tuple[Array, States]:
        of_f, of_r = from_input(weights, x, 0, 2), from_input(weights, x, 1, 2)
        if peephole:
            of_f, of_r = of_f + weights["weight_cf"] * c, of_r + weights["weight_cr"] * c
        forget, reset = sigmoid(of_f), sigmoid(of_r)
        c = forget * c + (1 - forget) * (weights["candidate.weight"] @ x)
        carried = weights["highway.weight"] @ x if "highway.weight" in weights else x
        return reset * c + (1 - reset) * carried * alpha, (c,)

    return over_rows_and_time(step, x, state)
