"""A whole step as one loop: what is in it, where it reads and writes, and when it is made anew."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from elman.cell import Cell, find_cell
from elman.cells import GRU, LSTM
from elman.engine.kinds import PRODUCTS
from elman.engine.prepare import prepare
from elman.engine.step import WholeStep, make_step, surroundings, whole_step
from elman.structure import State


def cut(cell: nn.Module, *inputs: Tensor) -> WholeStep:
    state = cell.initial_state(len(inputs[0]))
    over_time = [each.unsqueeze(0) for each in inputs]
    program = prepare(cell, over_time, state, is_tuple=len(inputs) > 1, all_states=False).program
    assert whole_step(program) is whole_step(program)
    return whole_step(program)


def products(found: WholeStep) -> int:
    return sum(value.op in PRODUCTS for value in found.plan.core.values)


def test_all_of_a_cell_is_in_the_loop() -> None:
    for name, count in (("lstm", 2), ("gru", 2), ("rnn", 2)):
        found = cut(find_cell(name)(3, 5), torch.zeros(1, 3))
        assert not found.before.values and not found.after.values and products(found) == count
        (output,) = found.plan.outputs
        assert output not in found.plan.core.outputs[: len(found.plan.states)]  # written beside the state


def test_a_token_is_looked_up_before_the_loop() -> None:
    found = cut(LSTM(3, 5), torch.zeros(2, dtype=torch.int64))
    assert [value.op for value in found.before.values] == [torch.ops.aten.embedding.default]
    assert not found.after.values and products(found) == 1


class Readout(Cell, register=False):
    """Its output is made of the new state: by a product, then by what the loop does not know, then by what it does."""

    gates, states, output = ("n",), ("h",), "y"

    def __init__(self, *sizes: int, sorted: bool) -> None:
        super().__init__(*sizes)
        self.read = nn.Linear(sizes[1], 4)
        self.sorted = sorted

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x.n + self.recur.n(h))
        y = self.read(h)
        return torch.relu(y.cumsum(-1) if self.sorted else y), h


def test_a_readout_is_in_the_loop_as_far_as_the_loop_can_do_it() -> None:
    found = cut(Readout(3, 5, sorted=False), torch.zeros(2, 3))
    assert not found.after.values and products(found) == 3
    found = cut(Readout(3, 5, sorted=True), torch.zeros(2, 3))
    names = [str(value.op) for value in found.after.values]
    assert names == ["aten.cumsum.default", "aten.relu.default"] and products(found) == 3


GUARD = 16


def guarded(like: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor of NaN between two rows of a number that nobody may write over, and all of it."""
    whole = torch.full((like.numel() + 2 * GUARD,), 7.5, dtype=like.dtype)
    inside = whole[GUARD:-GUARD].view(like.shape)
    return inside.fill_(float("nan")), whole


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 7, 33, 65])
def test_it_reads_what_it_is_given_and_writes_the_new_state_only(batch: int, size: int) -> None:
    cell = find_cell("scrn")(size, size, context_size=3)
    x, state = torch.randn(batch, size), [torch.randn(batch, size), torch.randn(batch, 3)]
    step, reason = make_step(cell, [x], cell.pack(state), is_tuple=False)
    assert step is not None, reason
    old = [leaf.clone() for leaf in state]
    new, walls = zip(*map(guarded, state), strict=True)
    for _ in range(2):  # to and fro
        y = step([x], old, new)
        with torch.no_grad():
            expected, after = cell(x, cell.pack(state))
        for a, b in zip((y, *new), (expected, *after), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        assert all(map(torch.equal, old, state))
        assert all(bool((wall[:GUARD] == 7.5).all() and (wall[-GUARD:] == 7.5).all()) for wall in walls)
        assert {y.data_ptr()}.isdisjoint(leaf.data_ptr() for leaf in (*old, *new))


def test_no_step_and_why() -> None:
    state: State = torch.zeros(2, 5)
    step, reason = make_step(lambda x, h: h, [torch.zeros(2, 3)], state, is_tuple=False)
    assert step is None and "a plain function" in reason
    step, reason = make_step(GRU(3, 5).half(), [torch.zeros(2, 3).half()], state.half(), is_tuple=False)
    assert step is None and "float16" in reason


def test_surroundings_tell_what_decides() -> None:
    plain = surroundings()
    with torch.autocast("cpu", torch.bfloat16):
        assert surroundings() != plain
    with FlopCounterMode(display=False):
        assert surroundings() != plain
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert surroundings() != plain
    torch.set_num_threads(threads)
    assert surroundings() == plain
