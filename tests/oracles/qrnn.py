"""QRNN with fo-pooling: Bradbury et al. 2017, arXiv:1611.01576; rows z, f, o.

The state ``past`` holds the k - 1 inputs before, the newest first; the output h is no state.
"""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, block, from_input, over_rows_and_time, sigmoid

VARIANTS = [{}, {"window": 4, "forget_bias": 1.0}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, window: int = 2, **_: object) -> tuple[Array, States]:
    size = x.shape[-1]

    def step(x: Array, c: Array, past: Array) -> tuple[Array, States]:
        before = [past[k * size : (k + 1) * size] for k in range(window - 1)]
        gate = []
        for row in range(3):
            v = from_input(weights, x, row, 3)
            for k, old in enumerate(before):
                v = v + block(weights, "weight_past", row, 3)[:, k * size : (k + 1) * size] @ old
            gate.append(v)
        new, forget, out = np.tanh(gate[0]), sigmoid(gate[1]), sigmoid(gate[2])
        c = forget * c + (1 - forget) * new
        return out * c, (c, np.concatenate([x, *before[:-1]]))

    return over_rows_and_time(step, x, state)
