"""minGRU: Feng et al. 2024, arXiv:2410.01201, section 3.1, and with g as in appendix B; rows z, n."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, over_rows_and_time, sigmoid

VARIANTS = [{}, {"positive": True}, {"bias": False}]


def g(v: Array) -> Array:
    return np.array([each + 0.5 if each >= 0 else 1 / (1 + np.exp(-each)) for each in v])


def run(weights: Weights, x: Array, state: States, positive: bool = False, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        z = sigmoid(from_input(weights, x, 0, 2))
        candidate = from_input(weights, x, 1, 2)
        h = (1 - z) * h + z * (g(candidate) if positive else candidate)
        return h, (h,)

    return over_rows_and_time(step, x, state)
