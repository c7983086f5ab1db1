"""minLSTM: Feng et al. 2024, arXiv:2410.01201, section 3.2, and with g as in appendix B; rows f, i, n."""

from __future__ import annotations

from .common import Array, States, Weights, from_input, over_rows_and_time, sigmoid
from .min_gru import g

VARIANTS = [{}, {"positive": True, "forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, positive: bool = False, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        f = sigmoid(from_input(weights, x, 0, 3))
        i = sigmoid(from_input(weights, x, 1, 3))
        candidate = from_input(weights, x, 2, 3)
        h = f / (f + i) * h + i / (f + i) * (g(candidate) if positive else candidate)
        return h, (h,)

    return over_rows_and_time(step, x, state)
