"""LSTM with a recurrent projection: Sak et al. 2014, arXiv:1402.1128; clips as in TensorFlow; rows i, f, g, o."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [
    {},
    {"projection_size": 3, "peepholes": True, "cell_clip": 0.5, "projection_clip": 0.4},
    {"projection_size": 5, "bias": False},
]


def run(
    weights: Weights,
    x: Array,
    state: States,
    peepholes: bool = False,
    cell_clip: float | None = None,
    projection_clip: float | None = None,
    **_: object,
) -> tuple[Array, States]:
    peep = {gate: weights[f"weight_c{gate}"] if peepholes else 0.0 for gate in "ifo"}
    most_of_c = np.inf if cell_clip is None else cell_clip
    most_of_h = np.inf if projection_clip is None else projection_clip

    def step(x: Array, h: Array, c: Array) -> tuple[Array, States]:
        z = {}
        for k, name in enumerate("ifgo"):
            z[name] = from_input(weights, x, k, 4) + from_state(weights, h, k, 4)
        kept = sigmoid(z["f"] + peep["f"] * c) * c
        written = sigmoid(z["i"] + peep["i"] * c) * np.tanh(z["g"])
        c = np.minimum(np.maximum(kept + written, -most_of_c), most_of_c)
        m = sigmoid(z["o"] + peep["o"] * c) * np.tanh(c)
        h = np.minimum(np.maximum(weights["weight_hr"] @ m, -most_of_h), most_of_h)
        return h, (h, c)

    return over_rows_and_time(step, x, state)
