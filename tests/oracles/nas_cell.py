"""The cell of neural architecture search: Zoph and Le 2017, arXiv:1611.01578, as TensorFlow's contrib computed it."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"bias": True}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array, c: Array) -> tuple[Array, States]:
        a = [from_input(weights, x, k, 8) for k in range(8)]
        u = [from_state(weights, h, k, 8) for k in range(8)]
        first = [
            sigmoid(a[0] + u[0]),
            np.maximum(a[1] + u[1], 0),
            sigmoid(a[2] + u[2]),
            np.maximum(a[3] * u[3], 0),
            np.tanh(a[4] + u[4]),
            sigmoid(a[5] + u[5]),
            np.tanh(a[6] + u[6]),
            sigmoid(a[7] + u[7]),
        ]
        second = [
            np.tanh(first[0] * first[1]),
            np.tanh(first[2] + first[3]),
            np.tanh(first[4] * first[5]),
            sigmoid(first[6] + first[7]),
        ]
        new = np.tanh(second[0] + c) * second[1]
        h = np.tanh(new * np.tanh(second[2] + second[3]))
        return h, (h, new)

    return over_rows_and_time(step, x, state)
