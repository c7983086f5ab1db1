"""TensorFlow 1.15's steps in NumPy, as its documentation and papers have them: one [x, h] kernel, a state (c, h)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Weights = dict[str, Array]
Step = Callable[[Array, Any], tuple[Array, Any]]


def sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


def basic_rnn(w: Weights, activation: Callable[[Array], Array] = np.tanh) -> Step:
    def step(x: Array, h: Array) -> tuple[Array, Array]:
        h = activation(np.concatenate([x, h], 1) @ w["kernel"] + w["bias"])
        return h, h

    return step


def gru(w: Weights, activation: Callable[[Array], Array] = np.tanh) -> Step:
    def step(x: Array, h: Array) -> tuple[Array, Array]:
        r, u = np.split(sigmoid(np.concatenate([x, h], 1) @ w["gates_kernel"] + w["gates_bias"]), 2, 1)
        c = activation(np.concatenate([x, r * h], 1) @ w["candidate_kernel"] + w["candidate_bias"])
        h = u * h + (1 - u) * c
        return h, h

    return step


def lstm(
    w: Weights,
    activation: Callable[[Array], Array] = np.tanh,
    forget_bias: float = 1.0,
    cell_clip: float | None = None,
    proj_clip: float | None = None,
) -> Step:
    def step(x: Array, state: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        c, h = state
        i, j, f, o = np.split(np.concatenate([x, h], 1) @ w["kernel"] + w["bias"], 4, 1)
        if "w_f_diag" in w:
            f, i = f + w["w_f_diag"] * c, i + w["w_i_diag"] * c
        c = sigmoid(f + forget_bias) * c + sigmoid(i) * activation(j)
        if cell_clip is not None:
            c = np.clip(c, -cell_clip, cell_clip)
        if "w_o_diag" in w:
            o = o + w["w_o_diag"] * c
        h = sigmoid(o) * activation(c)
        if "projection_kernel" in w:
            h = h @ w["projection_kernel"]
        if proj_clip is not None:
            h = np.clip(h, -proj_clip, proj_clip)
        return h, (c, h)

    return step


def loop(step: Step, x: Array, state: Any, lengths: list[int] | None = None) -> tuple[Array, Any]:
    """x (T, B, I): outputs are 0 past a row's end, and its state is copied through."""
    outputs = []
    for t, x_t in enumerate(x):
        y, new = step(x_t, state)
        if lengths is not None:
            valid = (t < np.array(lengths))[:, None]
            y = np.where(valid, y, 0)
            new = (
                tuple(np.where(valid, a, b) for a, b in zip(new, state, strict=True))
                if isinstance(new, tuple)
                else np.where(valid, new, state)
            )
        state = new
        outputs.append(y)
    return np.stack(outputs), state
