"""GRU with layer normalisation: Ba et al. 2016, arXiv:1607.06450, supplement; rows r, z, n, r and z as one vector."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"bias": True, "epsilon": 1e-3}]


def run(weights: Weights, x: Array, state: States, epsilon: float = 1e-5, **_: object) -> tuple[Array, States]:
    def normal(v: Array, name: str) -> Array:
        mean = sum(v) / len(v)
        variance = sum((each - mean) ** 2 for each in v) / len(v)
        return weights[f"{name}.weight"] * (v - mean) / np.sqrt(variance + epsilon) + weights[f"{name}.bias"]

    def step(x: Array, h: Array) -> tuple[Array, States]:
        r_and_z_of_x = np.concatenate([from_input(weights, x, 0, 3), from_input(weights, x, 1, 3)])
        r_and_z_of_h = np.concatenate([from_state(weights, h, 0, 3), from_state(weights, h, 1, 3)])
        both = sigmoid(normal(r_and_z_of_x, "norm_gates_ih") + normal(r_and_z_of_h, "norm_gates_hh"))
        reset, keep = both[: len(h)], both[len(h) :]
        of_x = normal(from_input(weights, x, 2, 3), "norm_n_ih")
        of_h = normal(from_state(weights, h, 2, 3), "norm_n_hh")
        h = keep * h + (1 - keep) * np.tanh(of_x + reset * of_h)
        return h, (h,)

    return over_rows_and_time(step, x, state)
