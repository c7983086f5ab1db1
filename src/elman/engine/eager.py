"""The loop over time in plain PyTorch: the definition of correct, which every other backend must equal."""

from __future__ import annotations

import torch
from torch import Tensor

from ..structure import State, leaves, map_leaves, rebuild, where_rows
from .steps import Step


def run(
    step: Step,
    time: int,
    state: State,
    *,
    lengths: Tensor | None,
    resets: Tensor | None,
    reset_state: State,
    reverse: bool,
    return_states: bool,
) -> tuple[Tensor | None, State, State]:
    """Takes ``time`` steps; returns the outputs (T, B, ...), the final state, and all states where asked for.

    The outputs are ``None`` for T = 0, when no step was taken to tell their shape.
    """
    outputs: dict[int, Tensor] = {}
    history: dict[int, list[Tensor]] = {}
    for t in reversed(range(time)) if reverse else range(time):
        y, new = step(t, state if resets is None else where_rows(resets[t], reset_state, state))
        valid = None if lengths is None else lengths > t
        outputs[t] = y if valid is None else where_rows(valid, y, torch.zeros_like(y))
        if return_states:
            kept = new if valid is None else where_rows(valid, new, map_leaves(torch.zeros_like, new))
            history[t] = leaves(kept)
        state = new if valid is None else where_rows(valid, new, state)
    if not outputs:
        return None, state, None
    states = None
    if return_states:
        states = rebuild(state, [torch.stack([history[t][k] for t in range(time)]) for k in range(len(leaves(state)))])
    return torch.stack([outputs[t] for t in range(time)]), state, states
