"""h_t = max(W x_t + U h_{t-1} + b, 0): Le, Jaitly and Hinton 2015, arXiv:1504.00941; its start is another matter."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time

VARIANTS = [{}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        z = from_input(weights, x, 0, 1) + from_state(weights, h, 0, 1)
        h = np.where(z > 0, z, 0.0)
        return h, (h,)

    return over_rows_and_time(step, x, state)
