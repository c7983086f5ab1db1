"""Minimal gated unit: Zhou et al. 2016, arXiv:1603.09420; rows f, n."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        f = sigmoid(from_input(weights, x, 0, 2) + from_state(weights, h, 0, 2))
        new = np.tanh(from_input(weights, x, 1, 2) + from_state(weights, f * h, 1, 2))
        h = h + f * (new - h)
        return h, (h,)

    return over_rows_and_time(step, x, state)
