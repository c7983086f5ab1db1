"""GRU with the reset gate after the product: Cho et al. 2014, arXiv:1406.1078v1 as cuDNN computes it; rows r, z, n."""

from __future__ import annotations

from .common import FUNCTIONS, Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"bias": False}, {"activation": "relu"}]


def run(weights: Weights, x: Array, state: States, activation: str = "tanh", **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        reset = sigmoid(from_input(weights, x, 0, 3) + from_state(weights, h, 0, 3))
        keep = sigmoid(from_input(weights, x, 1, 3) + from_state(weights, h, 1, 3))
        new = FUNCTIONS[activation](from_input(weights, x, 2, 3) + reset * from_state(weights, h, 2, 3))
        h = keep * h + (1 - keep) * new
        return h, (h,)

    return over_rows_and_time(step, x, state)
