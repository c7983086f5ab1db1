"""h_t = f(W x_t + U h_{t-1} + b): Elman 1990."""

from __future__ import annotations

from .common import FUNCTIONS, Array, States, Weights, from_input, from_state, over_rows_and_time

VARIANTS = [{}, {"nonlinearity": "relu"}, {"nonlinearity": "softsign"}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, nonlinearity: str = "tanh", **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array) -> tuple[Array, States]:
        h = FUNCTIONS[nonlinearity](from_input(weights, x, 0, 1) + from_state(weights, h, 0, 1))
        return h, (h,)

    return over_rows_and_time(step, x, state)
