"""LSTM with a forget gate: Hochreiter and Schmidhuber 1997, Gers et al. 2000; rows i, f, g, o."""

from __future__ import annotations

from .common import FUNCTIONS, Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"activation": "relu"}, {"forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, activation: str = "tanh", **_: object) -> tuple[Array, States]:
    squash = FUNCTIONS[activation]

    def step(x: Array, h: Array, c: Array) -> tuple[Array, States]:
        gate = {}
        for k, name in enumerate("ifgo"):
            z = from_input(weights, x, k, 4) + from_state(weights, h, k, 4)
            gate[name] = squash(z) if name == "g" else sigmoid(z)
        c = gate["f"] * c + gate["i"] * gate["g"]
        h = gate["o"] * squash(c)
        return h, (h, c)

    return over_rows_and_time(step, x, state)
