"""AntisymmetricRNN, plain and gated: Chang et al. 2019, arXiv:1902.09689."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, block, from_input, over_rows_and_time, sigmoid

VARIANTS = [{}, {"gated": True, "epsilon": 0.5, "gamma": 0.3}, {"gated": True, "bias": False}]


def run(
    weights: Weights,
    x: Array,
    state: States,
    epsilon: float = 0.1,
    gamma: float = 0.01,
    gated: bool = False,
    **_: object,
) -> tuple[Array, States]:
    u = weights["weight_hh"]
    matrix = u - u.T - gamma * np.eye(len(u))

    def step(x: Array, h: Array) -> tuple[Array, States]:
        new = np.tanh(matrix @ h + from_input(weights, x, 0, 1) + block(weights, "bias_hh", 0, 1))
        if gated:
            new = new * sigmoid(matrix @ h + weights["gate.weight"] @ x + weights.get("gate.bias", 0.0))
        h = h + epsilon * new
        return h, (h,)

    return over_rows_and_time(step, x, state)
