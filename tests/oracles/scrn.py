"""RNN with context features: Mikolov et al. 2015, arXiv:1412.7753.

s_t = (1 - a) B x_t + a s_{t-1}; h_t = f(P s_t + A x_t + R h_{t-1}); the output is [h_t, s_t].
"""

from __future__ import annotations

import numpy as np

from .common import FUNCTIONS, Array, States, Weights, from_input, from_state, over_rows_and_time, sigmoid

VARIANTS = [
    {},
    {"context_size": 2, "alpha": 0.7},
    {"context_size": 6, "learn_alpha": True},
    {"context": "old", "nonlinearity": "tanh", "alpha": 0.9},
    {"bias": True},
]


def run(
    weights: Weights,
    x: Array,
    state: States,
    alpha: float = 0.95,
    learn_alpha: bool = False,
    context: str = "new",
    nonlinearity: str = "sigmoid",
    **_: object,
) -> tuple[Array, States]:
    into_context, from_context = weights["context_in.weight"], weights["context_out.weight"]
    stays = sigmoid(weights["alpha_logit"]) if learn_alpha else np.full(len(into_context), alpha)

    def step(x: Array, h: Array, s: Array) -> tuple[Array, States]:
        new = np.array([(1 - stays[k]) * (into_context[k] @ x) + stays[k] * s[k] for k in range(len(s))])
        seen = new if context == "new" else s
        z = from_context @ seen + from_input(weights, x, 0, 1) + from_state(weights, h, 0, 1)
        h = FUNCTIONS[nonlinearity](z)
        return np.concatenate([h, new]), (h, new)

    return over_rows_and_time(step, x, state)
