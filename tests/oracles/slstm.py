"""sLSTM: Beck et al. 2024, arXiv:2405.04517; rows i, f, z, o, the heads' blocks one below the other in each.

The paper's equations 8 to 18, where a fresh memory (n = 0) has m = i~.
"""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, over_rows_and_time, sigmoid

VARIANTS = [{}, {"forget": "exp", "heads": 2}, {"bias": False, "heads": 1}]


def run(
    weights: Weights, x: Array, state: States, forget: str = "sigmoid", heads: int = 1, **_: object
) -> tuple[Array, States]:
    def step(x: Array, h: Array, c: Array, n: Array, m: Array) -> tuple[Array, States]:
        units = len(h)
        per_head = units // heads
        raw = np.zeros((4, units))
        for gate in range(4):
            raw[gate] = from_input(weights, x, gate, 4)
            for unit in range(units):
                row = gate * units + unit
                first = unit // per_head * per_head
                raw[gate, unit] += weights["weight_hh"][row] @ h[first : first + per_head]
                if "bias_hh" in weights:
                    raw[gate, unit] += weights["bias_hh"][row]
        h, c, n, m = h.copy(), c.copy(), n.copy(), m.copy()
        for unit, (i, f, z, o) in enumerate(raw.T):
            log_f = f if forget == "exp" else np.log(sigmoid(f))
            largest = i if n[unit] == 0 else max(log_f + m[unit], i)
            keep, write = np.exp(log_f + m[unit] - largest), np.exp(i - largest)
            c[unit] = keep * c[unit] + write * np.tanh(z)
            n[unit] = keep * n[unit] + write
            m[unit] = largest
            h[unit] = sigmoid(o) * c[unit] / n[unit]
        return h, (h, c, n, m)

    return over_rows_and_time(step, x, state)
