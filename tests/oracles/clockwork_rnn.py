"""Clockwork RNN: Koutnik et al. 2014, arXiv:1402.3511; group by group, each reading itself and slower groups."""

from __future__ import annotations

import math

import numpy as np

from .common import Array, States, Weights, over_rows_and_time

VARIANTS = [{}, {"periods": (3, 1)}, {"periods": 2, "bias": False}]


def run(
    weights: Weights, x: Array, state: States, periods: int | tuple[int, ...] | None = None, **_: object
) -> tuple[Array, States]:
    units = len(weights["weight_hh"])
    if periods is None:
        periods = min(8, units)
    if isinstance(periods, int):
        periods = tuple(2**k for k in range(periods))
    groups = np.array_split(np.arange(units), len(periods))
    bias = weights.get("bias_ih", np.zeros(units)) + weights.get("bias_hh", np.zeros(units))

    def step(x: Array, h: Array, t: Array) -> tuple[Array, States]:
        now = round(float(t[0]))
        new = h.copy()
        for period, group in zip(periods, groups, strict=True):
            if now % period:
                continue
            for unit in group:
                z = weights["weight_ih"][unit] @ x + bias[unit]
                for other_period, others in zip(periods, groups, strict=True):
                    if other_period >= period:
                        z += weights["weight_hh"][unit, others] @ h[others]
                new[unit] = np.tanh(z)
        return new, (new, np.array([(now + 1.0) % math.lcm(*periods)]))

    return over_rows_and_time(step, x, state)
