"""The LSTM with its forget gate alone: van der Westhuizen and Lasenby 2018, arXiv:1804.04849; rows f, n."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"beta": 0.0, "bias": False}, {"chrono": 20}]


def run(weights: Weights, x: Array, state: States, beta: float = 1.0, **_: object) -> tuple[Array, States]:
    def step(x: Array, c: Array) -> tuple[Array, States]:
        s = from_input(weights, x, 0, 2) + from_state(weights, c, 0, 2)
        new = np.tanh(from_input(weights, x, 1, 2) + from_state(weights, c, 1, 2))
        c = sigmoid(s) * c + (1 - sigmoid(s - beta)) * new
        return c, (c,)

    return over_rows_and_time(step, x, state)
