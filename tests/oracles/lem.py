"""Long expressive memory: Rusch et al. 2022, arXiv:2110.04744, equation 3; rows dt of z, dt of y, z, y."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [{}, {"dt": 0.3}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, dt: float = 1.0, **_: object) -> tuple[Array, States]:
    def step(x: Array, y: Array, z: Array) -> tuple[Array, States]:
        step_z = dt * sigmoid(from_input(weights, x, 0, 4) + from_state(weights, y, 0, 4))
        step_y = dt * sigmoid(from_input(weights, x, 1, 4) + from_state(weights, y, 1, 4))
        towards_z = np.tanh(from_input(weights, x, 2, 4) + from_state(weights, y, 2, 4))
        z = z + step_z * (towards_z - z)
        towards_y = np.tanh(from_input(weights, x, 3, 4) + from_state(weights, z, 3, 4))
        y = y + step_y * (towards_y - y)
        return y, (y, z)

    return over_rows_and_time(step, x, state)
