"""Recurrent highway network, carry gate 1 - t: Zilly et al. 2017, arXiv:1607.03474; rows h, t in every layer."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"depth": 1, "transform_bias": -2.0}, {"depth": 2, "bias": False}]


def run(weights: Weights, x: Array, state: States, depth: int = 3, **_: object) -> tuple[Array, States]:
    def step(x: Array, s: Array) -> tuple[Array, States]:
        units = len(s)
        for layer in range(depth):
            if layer == 0:
                h = from_input(weights, x, 0, 2) + from_state(weights, s, 0, 2)
                t = from_input(weights, x, 1, 2) + from_state(weights, s, 1, 2)
            else:
                both = weights[f"deeper.{layer - 1}.weight"] @ s + weights.get(f"deeper.{layer - 1}.bias", 0.0)
                h, t = both[:units], both[units:]
            transform = sigmoid(t)
            carry = 1 - transform
            s = np.tanh(h) * transform + s * carry
        return s, (s,)

    return over_rows_and_time(step, x, state)
