"""The few functions that the oracles share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Weights = dict[str, Array]
States = tuple[Array, ...]


def sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda v: np.maximum(v, 0),
    "softsign": lambda v: v / (1 + np.abs(v)),
}


def block(weights: Weights, name: str, gate: int, gates: int) -> Any:
    """The rows of one gate in a stacked weight or bias; 0 for a bias that does not exist."""
    if name not in weights:
        return 0.0
    rows = len(weights[name]) // gates
    return weights[name][gate * rows : (gate + 1) * rows]


def from_input(weights: Weights, x: Array, gate: int, gates: int) -> Array:
    """W x + b_ih for one gate and one row of the batch."""
    return block(weights, "weight_ih", gate, gates) @ x + block(weights, "bias_ih", gate, gates)


def from_state(weights: Weights, h: Array, gate: int, gates: int) -> Array:
    """U h + b_hh for one gate and one row of the batch."""
    return block(weights, "weight_hh", gate, gates) @ h + block(weights, "bias_hh", gate, gates)


def over_rows_and_time(step: Callable[..., tuple[Array, States]], x: Array, state: States) -> tuple[Array, States]:
    """``step(x_t, *states) -> (output, states)`` of single vectors, run for every row of the batch on its own."""
    outputs, finals = [], []
    for b in range(x.shape[1]):
        row: States = tuple(each[b] for each in state)
        of_row = []
        for t in range(len(x)):
            y, row = step(x[t, b], *row)
            of_row.append(y)
        outputs.append(np.stack(of_row))
        finals.append(row)
    return np.stack(outputs, 1), tuple(np.stack(each) for each in zip(*finals, strict=True))
