"""Update-gate RNN: Collins et al. 2017, arXiv:1611.09913; rows g, n."""

from __future__ import annotations

from .common import FUNCTIONS, Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"nonlinearity": "softsign", "forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, nonlinearity: str = "tanh", **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        keep = sigmoid(from_input(weights, x, 0, 2) + from_state(weights, h, 0, 2))
        new = FUNCTIONS[nonlinearity](from_input(weights, x, 1, 2) + from_state(weights, h, 1, 2))
        h = keep * h + (1 - keep) * new
        return h, (h,)

    return over_rows_and_time(step, x, state)
