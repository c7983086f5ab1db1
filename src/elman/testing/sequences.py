"""Checks of what a scan does with a sequence: pieces, padding, reverse, resets, rows and ids."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..engine import scan
from ..engine.steps import read_result
from ..structure import State, leaves, map_leaves
from .comparing import EXACT, close, loss_of, picked, rows_of, with_padding
from .subject import BATCH, TIME, DoesNotApply, Subject, Wrong


def _pieces(s: Subject) -> None:
    """A sequence in pieces, the state handed on, is the whole sequence."""
    cell = s.build()
    x, start = s.inputs(cell), s.reached(cell)
    for backend, ends in (("eager", (0, 3, 4, 4, TIME)), ("auto", (0, 3, 5, 5, TIME))):
        whole, final = scan(cell, x, start, backend=backend)
        pieces, state = [], start
        for piece in map(slice, ends, ends[1:]):
            y, state = scan(cell, picked(x, piece), state, backend=backend)
            pieces.append(y)
        close("a sequence in pieces and the whole one give other outputs", torch.cat(pieces), whole)
        close("a sequence in pieces and the whole one end in other states", state, final)


def _step(s: Subject) -> None:
    """Calling the cell is one step of scan."""
    cell = s.build()
    x, state = s.inputs(cell, 1), s.reached(cell)
    y, after = scan(cell, x, state, backend="eager")
    called, new = read_result(cell, cell(picked(x, 0), state), state)
    close("calling the cell and a scan of one step give other outputs", called, y[0])
    close("calling the cell and a scan of one step end in other states", new, after)
    if isinstance(cell, Cell):
        y, after = scan(cell, x, backend="eager")
        close("calling the cell without a state is not a step from initial_state", cell(picked(x, 0)), (y[0], after))


def _no_steps(s: Subject) -> None:
    """No steps at all, T = 0 or lengths of 0, give no output and the state back."""
    cell = s.build()
    x, state = s.inputs(cell), s.reached(cell)
    whole, _, every = scan(cell, x, state, return_states=True, backend="eager")
    for backend, return_states in (("auto", False), ("eager", True)):
        y, final, *states = scan(cell, picked(x, slice(0)), state, backend=backend, return_states=return_states)
        if y.shape != (0, *whole.shape[1:]):
            raise Wrong(f"the output of no steps is {tuple(y.shape)}")
        close("no steps change the state", final, state, 0)
        for each in states:
            if [leaf.shape[1:] for leaf in leaves(each)] != [leaf.shape[1:] for leaf in leaves(every)]:
                raise Wrong("the states of no steps have other shapes than those of some steps")
    y, final = scan(cell, x, state, lengths=[0] * BATCH, backend="eager")
    if y.any():
        raise Wrong("rows of length 0 have outputs other than 0")
    close("rows of length 0 change their state", final, state, 0)


def _padding(s: Subject) -> None:
    """A padded batch, NaN in its padding, is its sequences one by one, gradients included, in both directions."""
    cell, lengths = s.build(), [4, 0, TIME, 1]
    x, state = with_padding(s.inputs(cell, batch=4), lengths), s.reached(cell, 4)
    parameters = list(cell.parameters())
    for reverse in (False, True):
        options: dict[str, Any] = {"reverse": reverse, "return_states": True, "backend": "eager"}
        y, final, states = scan(cell, x, state, lengths=lengths, **options)
        losses = []
        for b, length in enumerate(lengths):
            row, valid = slice(b, b + 1), slice(0, length)
            single = picked(rows_of(x, row), valid)
            alone, ended, every = scan(cell, single, picked(state, row), **options)
            close(f"row {b} of a padded batch is not the sequence alone", y[valid, row], alone)
            close(f"row {b} of a padded batch ends in another state than the sequence alone", picked(final, row), ended)
            close(f"row {b} of a padded batch has other states", picked(rows_of(states, row), valid), every)
            behind = [leaf[length:, b] for leaf in (y, *leaves(states))]
            if any(each.any() for each in behind):
                raise Wrong("outputs or states behind the end of a row are not 0")
            losses.append(alone.square().sum())
        by_batch = torch.autograd.grad(y.square().sum(), parameters, allow_unused=True, materialize_grads=True)
        by_rows = torch.autograd.grad(torch.stack(losses).sum(), parameters, allow_unused=True, materialize_grads=True)
        close("a padded batch and its sequences give other gradients", list(by_batch), list(by_rows))


def _reverse(s: Subject) -> None:
    """A scan in reverse is the scan of the flipped input."""
    cell = s.build()
    x, state = s.inputs(cell), s.reached(cell)
    y, final = scan(cell, x, state, reverse=True, backend="eager")
    flipped, ended = scan(cell, map_leaves(lambda each: each.flip(0), x), state, backend="eager")
    close("a scan in reverse is not the scan of the flipped input", y, flipped.flip(0))
    close("a scan in reverse ends in another state than that of the flipped input", final, ended)


def _resets(s: Subject) -> None:
    """A row that is reset goes on like a new sequence, and no other row notices."""
    cell = s.build()
    x, state, anew = s.inputs(cell), s.reached(cell), s.start(cell)
    resets = torch.zeros(TIME, BATCH, dtype=torch.bool)
    resets[3, 1] = resets[0, 2] = True
    y, final = scan(cell, x, state, resets=resets, reset_state=anew, backend="eager")

    def run(b: int, steps: slice, start: State) -> tuple[Tensor, State]:
        row = slice(b, b + 1)
        alone: tuple[Tensor, State] = scan(cell, picked(rows_of(x, row), steps), picked(start, row), backend="eager")
        return alone

    close("a row without resets notices those of other rows", y[:, :1], run(0, slice(TIME), state)[0])
    close("a row notices its reset before it comes", y[:3, 1:2], run(1, slice(3), state)[0])
    after, ended = run(1, slice(3, TIME), anew)
    close("a row after a reset is no new sequence", y[3:, 1:2], after)
    close("a row after a reset ends in another state than a new sequence", picked(final, slice(1, 2)), ended)
    close("a reset before the first step is no new sequence", y[:, 2:], run(2, slice(TIME), anew)[0])


def _rows(s: Subject) -> None:
    """Rows of a batch do not see each other, and how many there are makes no difference."""
    cell = s.build()
    x, state = s.inputs(cell), s.reached(cell)
    y, final = scan(cell, x, state, backend="eager")
    others = torch.tensor([0, 2, 2])
    mixed, _ = scan(cell, rows_of(x, others), picked(state, others), backend="eager")
    change = (mixed[:, 0] - y[:, 0]).abs().max().item()
    if not change <= EXACT * max(y.abs().max().item(), 1e-3):
        raise Wrong(
            f"row 0 changes by {change:.2g} when the other rows change; "
            "a step must not mix the rows of a batch (its first axis)"
        )
    for b in range(BATCH):
        row = slice(b, b + 1)
        alone, ended = scan(cell, rows_of(x, row), picked(state, row), backend="eager")
        close(
            f"row {b} alone and in a batch of {BATCH} give other outputs: it depends on the batch size",
            y[:, row],
            alone,
        )
        close(f"row {b} alone and in a batch of {BATCH} end in other states", picked(final, row), ended)
    order = torch.tensor([2, 0, 1])
    swapped, _ = scan(cell, rows_of(x, order), picked(state, order), backend="eager")
    close("rows in another order give other outputs", swapped, y[:, order])


def _ids(s: Subject) -> None:
    """Whole numbers as input stand for one-hot vectors, gradients included."""
    cell = s.build()
    x, *others = leaves(s.inputs(cell))
    if (
        not isinstance(cell, Cell)
        or type(cell).forward is not Cell.forward
        or x.shape != (TIME, BATCH, cell.input_size)
    ):
        raise DoesNotApply("only an elman.Cell that takes x (T, B, I) takes ids")
    plain = torch.randint(cell.input_size, (TIME, BATCH))
    dense = nn.functional.one_hot(plain, cell.input_size).to(x)
    parameters = list(cell.parameters())
    for lengths in (None, [TIME, 0, 3]):
        ids = plain.clone()
        for b, length in enumerate(lengths or ()):
            ids[length:, b] = -100  # padding that is no id
        results, gradients = [], []
        for first in (ids, dense):
            made = scan(cell, (first, *others) if others else first, lengths=lengths, backend="eager")
            results.append(made)
            gradients.append(torch.autograd.grad(loss_of(made), parameters, allow_unused=True, materialize_grads=True))
        close("ids and their one-hot vectors give other results", results[0], results[1])
        close("ids and their one-hot vectors give other gradients", list(gradients[0]), list(gradients[1]))
    outside = torch.full_like(plain, cell.input_size)
    try:
        scan(cell, (outside, *others) if others else outside, backend="eager")
    except (IndexError, RuntimeError):
        return
    raise Wrong(f"the id {cell.input_size} is taken though there are only {cell.input_size} inputs")


CHECKS = (_pieces, _step, _no_steps, _padding, _reverse, _resets, _rows, _ids)
