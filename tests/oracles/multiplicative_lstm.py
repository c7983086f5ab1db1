"""Multiplicative LSTM: Krause et al. 2016, arXiv:1609.07959; rows i, f, g, o."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    def step(x: Array, h: Array, c: Array) -> tuple[Array, States]:
        m = np.array(
            [(of_x @ x) * (of_h @ h) for of_x, of_h in zip(weights["weight_mx"], weights["weight_mh"], strict=True)]
        )
        gate = {}
        for k, name in enumerate("ifgo"):
            z = from_input(weights, x, k, 4) + from_state(weights, m, k, 4)
            gate[name] = np.tanh(z) if name == "g" else sigmoid(z)
        c = gate["f"] * c + gate["i"] * gate["g"]
        h = gate["o"] * np.tanh(c)
        return h, (h, c)

    return over_rows_and_time(step, x, state)
