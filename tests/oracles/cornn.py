"""Coupled oscillatory RNN: Rusch and Mishra 2021, arXiv:2010.00951, equation 3, damping at the old velocity."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time

VARIANTS = [{}, {"dt": 0.5, "gamma": 1.0, "epsilon": 0.2}, {"bias": False}]


def run(
    weights: Weights, x: Array, state: States, dt: float = 0.042, gamma: float = 2.7, epsilon: float = 4.7, **_: object
) -> tuple[Array, States]:
    def step(x: Array, y: Array, z: Array) -> tuple[Array, States]:
        drive = from_input(weights, x, 0, 1) + from_state(weights, y, 0, 1) + weights["velocity.weight"] @ z
        acceleration = np.tanh(drive) - gamma * y - epsilon * z
        z = z + dt * acceleration
        y = y + dt * z
        return y, (y, z)

    return over_rows_and_time(step, x, state)
