"""The checks that take long: every size, and learning."""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn

from ..cell import Cell
from ..engine import scan
from ..errors import UserError
from ..structure import leaves
from .backends import compare_backends
from .comparing import DOUBLE, SINGLE, Case, with_padding
from .subject import BATCH, TIME, Subject, Wrong


def _sizes(s: Subject) -> str:
    """The compiled loop is the eager one at every size, with each option of scan on its own, and for ids."""
    for hidden, batch in itertools.product(s.sizes(), (1, 2, 4)):
        try:
            cell = s.build(torch.float32, hidden)
        except UserError:
            continue
        for steps in (1, 5):
            case = Case(cell, s.inputs(cell, steps, batch), s.reached(cell, batch))
            if reason := compare_backends(s, case, SINGLE):
                return reason
    cell, lengths = s.build(), [4, 0, TIME]
    x, state, resets = s.inputs(cell), s.reached(cell), torch.zeros(TIME, BATCH, dtype=torch.bool)
    resets[3, 1] = resets[0, 2] = True
    padded = with_padding(x, lengths)
    for given, options in (
        (x, {"reverse": True}),
        (x, {"return_states": True}),
        (x, {"resets": resets, "reset_state": s.start(cell)}),
        (padded, {"lengths": lengths}),
        (padded, {"lengths": lengths, "reverse": True, "return_states": True}),
        (padded, {"lengths": lengths, "resets": resets, "reset_state": s.start(cell), "reverse": True}),
    ):
        compare_backends(s, Case(cell, given, state, options), DOUBLE)
    if isinstance(cell, Cell) and cell.inputs == ("x",) and x.shape == (TIME, BATCH, cell.input_size):
        compare_backends(s, Case(cell, torch.randint(cell.input_size, (TIME, BATCH)), state), DOUBLE)
    return ""


def _learning(s: Subject) -> str:
    """Trained for a moment, the cell repeats two symbols it saw four steps ago better than by guessing."""
    symbols, delay, batch = 4, 3, 32
    cell = s.build(torch.float32, 32)
    time = 2 + delay + 2
    example, *others = leaves(s.inputs(cell, time, batch))
    features = example[0, 0].numel()
    outputs = scan(cell, s.inputs(cell, 1, batch), s.start(cell, batch), backend="eager")[0][0, 0].numel()
    enter, leave = nn.Embedding(symbols + 1, features), nn.Linear(outputs, symbols)
    optimiser = torch.optim.Adam([*enter.parameters(), *cell.parameters(), *leave.parameters()], lr=0.01)
    losses = []
    for _ in range(300):
        seen = torch.randint(symbols, (2, batch))
        ids = torch.cat([seen, torch.full((time - 2, batch), symbols)])
        x = enter(ids).view(example.shape)
        y, _ = scan(cell, (x, *others) if others else x, s.start(cell, batch))
        loss = nn.functional.cross_entropy(leave(y[-2:].flatten(2)).flatten(0, 1), seen.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    found, guessing = sum(losses[-20:]) / 20, math.log(symbols)
    if not found <= 0.8 * guessing:
        raise Wrong(f"after {len(losses)} steps of training the loss is {found:.2f}; guessing gives {guessing:.2f}")
    return f"the loss falls to {found:.2f}; guessing gives {guessing:.2f}"


CHECKS = (_sizes, _learning)
