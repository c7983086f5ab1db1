"""Phased LSTM: Neil et al. 2016, arXiv:1610.09513; an LSTM with peepholes, mixed with its old state by a gate in time.

x is the pair (x, times), the times (T, B, 1).
"""

from __future__ import annotations

import math

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [
    {},
    {"ratio_on": 0.4, "period_max": 20.0, "leak": 0.1, "peephole": False, "bias": False},
    {"forget_bias": 1.0},
]


def openness(time: float, period: float, shift: float, ratio: float, leak: float) -> float:
    phase = math.fmod(time - shift, period) / period
    if phase < 0:
        phase += 1
    if phase < ratio / 2:
        return 2 * phase / ratio
    if phase < ratio:
        return 2 - 2 * phase / ratio
    return leak * phase


def run(
    weights: Weights,
    x: tuple[Array, Array],
    state: States,
    leak: float = 0.001,
    peephole: bool = True,
    **_: object,
) -> tuple[Array, States]:
    period, ratio = np.exp(weights["log_period"]), sigmoid(weights["ratio_logit"])
    zero = np.zeros_like(period)
    to_i, to_f, to_o = (weights[f"weight_c{gate}"] if peephole else zero for gate in "ifo")

    def step(both: Array, h: Array, c: Array) -> tuple[Array, States]:
        x, time = both[:-1], both[-1]
        z = [from_input(weights, x, k, 4) + from_state(weights, h, k, 4) for k in range(4)]
        proposed_c = sigmoid(z[1] + to_f * c) * c + sigmoid(z[0] + to_i * c) * np.tanh(z[2])
        proposed_h = sigmoid(z[3] + to_o * proposed_c) * np.tanh(proposed_c)
        k = np.array([openness(time, period[u], weights["shift"][u], ratio[u], leak) for u in range(len(h))])
        h, c = k * proposed_h + (1 - k) * h, k * proposed_c + (1 - k) * c
        return h, (h, c)

    return over_rows_and_time(step, np.concatenate(x, -1), state)
