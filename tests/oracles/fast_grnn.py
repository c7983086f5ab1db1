"""FastGRNN: Kusupati et al. 2018, arXiv:1901.02358; one W and one U for gate and candidate, of any rank."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, over_rows_and_time, sigmoid

VARIANTS = [{}, {"input_rank": 2, "recurrent_rank": 3}, {"bias": False}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    w, u = weights["weight_ih"], weights["weight_hh"]
    w = weights["weight_ri"] @ w if "weight_ri" in weights else w
    u = weights["weight_rh"] @ u if "weight_rh" in weights else u
    zeta, nu = sigmoid(weights["zeta_logit"]), sigmoid(weights["nu_logit"])

    def step(x: Array, h: Array) -> tuple[Array, States]:
        shared = w @ x + u @ h
        z = sigmoid(shared + weights.get("bias_z", 0.0))
        new = np.tanh(shared + weights.get("bias_n", 0.0))
        h = (zeta * (1 - z) + nu) * new + z * h
        return h, (h,)

    return over_rows_and_time(step, x, state)
