"""Step: one step of a cell, all of it a compiled loop of a single round, for inputs that come one at a time.

Nothing is taken out of the loop here: with one row of input a product before the loop is only a second call. What the
loop cannot do, such as looking up a token's vector, PyTorch does before or after it.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..structure import State, leaves
from .cpu.emit import check
from .cpu.kernel import address_table, compiled, scratch_of, variant_for, weights_of
from .cpu.threads import parallel
from .dispatch import choose
from .evaluate import evaluate
from .operator import Program
from .operators import PRODUCTS, is_pointwise, is_reduction, weight
from .plan import Plan, make_plan
from .split import ancestors, dependents, needed
from .trace import Graph, Refused, Value

_FIRST_INPUT = 4  # in the table, behind the first step, T, B and the counter's address
_ZEROS = array("q", [0] * 16)
_LITTLE_WORK = 1 << 18  # multiplications, for which it does not pay to wake a second thread
_ALONE = ctypes.c_int64(0), ctypes.c_int64(1)  # thread 0 of 1


@dataclass
class WholeStep:
    """A program's step cut for one round: ``before`` and ``after`` are run by PyTorch, ``plan`` is all the rest.

    ``made`` are the values that the plan's outputs hold, in order.
    """

    before: Graph
    plan: Plan
    after: Graph
    made: list[Value]


def whole_step(program: Program) -> WholeStep:
    """As much of the step in the loop as the loop can do, made once for a program."""
    if program.whole_step is None:
        parts = program.parts
        try:
            program.whole_step = _cut(program, *_pulled_together(program))
        except Refused:
            program.whole_step = _cut(program, parts.pre.values, parts.core.values, parts.post.values)
    found: WholeStep = program.whole_step
    return found


def _pulled_together(program: Program) -> tuple[list[Value], list[Value], list[Value]]:
    """What is done before, in and after the loop if this does all that is work on rows of numbers."""
    parts = program.parts
    values = list(dict.fromkeys([*parts.pre.values, *parts.core.values, *parts.post.values]))
    of_state = dependents(Graph([], values, []), program.states)
    outside = ancestors(value for value in values if value not in of_state and not _fits(value))
    before = [value for value in values if value in outside]
    for value in parts.post.values:
        if not _fits(value) or (value in of_state and not outside.isdisjoint(value.inputs)):
            outside.add(value)
    inside = [value for value in values if value not in outside]
    return before, inside, [value for value in parts.post.values if value in outside]


def _fits(value: Value) -> bool:
    """Whether this is work on rows of numbers that the loop knows."""
    numbers = all(each.dtype.is_floating_point or each.dtype == torch.bool for each in (value, *value.inputs))
    rows = value.by_row and len(value.shape) <= 2
    product = value.op in PRODUCTS and not weight(value).by_row
    return numbers and rows and (product or is_pointwise(value) or is_reduction(value))


def _cut(program: Program, before: list[Value], inside: list[Value], after: list[Value]) -> WholeStep:
    states = program.states
    new_states = program.parts.core.outputs[: len(states)]
    there = {*inside, *states}
    made = [value for value in needed(after, program.outputs) if value in there]
    # What is a state too is written twice, so that the caller's tensor is no part of the state.
    copies = {
        value: Value(torch.ops.aten.clone.default, (value,), {}, value.shape, value.dtype, f"{value}'")
        for value in made
        if value in new_states or value in states
    }
    outputs = [copies.get(value, value) for value in made]
    values = [*inside, *copies.values()]
    own = set(values)
    core = Graph([value for value in needed(values, [*new_states, *outputs]) if value not in own], values, [])
    core.outputs = [*new_states, *outputs]
    plan = make_plan(core, states)
    check(plan)
    return WholeStep(_graph(before), plan, _graph(after), made)


def _graph(values: list[Value]) -> Graph:
    own = set(values)
    return Graph([value for value in needed(values, []) if value not in own], values, [])


class Step:
    """A cell's step for one batch size and one kind of input, its weights packed: ``y = step(inputs, old, new)``.

    ``inputs`` are contiguous and as those it was made for, ``old`` and ``new`` the leaves of the state before and after
    the step, (B, N), contiguous and apart; ``new`` is written. y is a new tensor. There is no gradient.
    """

    def __init__(self, program: Program, parameters: Sequence[Tensor], states: Sequence[Tensor], bf16: bool) -> None:
        self._cut = cut = whole_step(program)
        plan, self._bf16 = cut.plan, bf16
        like, self._batch = states[0], len(states[0])
        known = dict(zip(program.parameters, parameters, strict=True))
        with torch.no_grad():
            evaluate(program.parts.once, known, self._batch, bf16=bf16)
            self._known = {
                value: known[value].contiguous() for value in (*cut.before.inputs, *cut.after.inputs) if value in known
            }
            whole = {value: _readable(known[value], like) for value in plan.whole}
            self._fixed = {value: _readable(known[value], like) for value in plan.stepped if value in known}
        options = {"ragged": False, "resets": True, "backward": False, "bf16": bf16}
        rings = [False] * len(states)
        # The only round of a loop that runs backwards writes states where these begin, and one in which all rows are
        # begun anew reads them from where it is told: so old and new states may lie anywhere.
        variant, self._threads = variant_for(plan, self._batch, like.dtype, rings, reverse=True, **options)
        if self._batch * plan.weights < _LITTLE_WORK:
            variant, self._threads = replace(variant, shared=False), 1
        self._loop = loop = compiled(plan, variant)
        self._run = loop.code.function("run", ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._counter = array("q", _ZEROS)
        self._like = [
            like.new_empty(self._batch, *value.shape[1:], dtype=torch.bool if value.dtype == torch.bool else like.dtype)
            for value in plan.outputs
        ]
        read = [self._fixed[v] if v in known else _row_like(v, like, self._batch) for v in plan.stepped]
        flags = torch.ones(1, self._batch, dtype=torch.bool)
        weights = weights_of(plan, loop, whole)
        others = [*scratch_of(plan, loop, like.unsqueeze(0), self._threads), flags, *states]
        timed = [[each.unsqueeze(0) for each in group] for group in (read, self._like)]
        self._table = address_table(1, self._batch, self._counter, timed[0], weights, states, timed[1], others)
        self._alive = weights, others
        self._address = ctypes.c_void_p(self._table.buffer_info()[0])
        self._places = [_FIRST_INPUT + n for n, value in enumerate(plan.stepped) if value not in known]
        self._given = [value for value in plan.stepped if value not in known]
        self._written = _FIRST_INPUT + 2 * len(read) + len(weights)
        self._read = len(self._table) - len(states)
        self._inputs = program.inputs
        self._result = program.outputs[0]
        self._turn = 0
        # Which inputs the loop reads as they are, if it reads nothing else.
        self._direct = [program.inputs.index(value) if value in program.inputs else -1 for value in self._given]
        self._plain = not cut.before.values and not cut.after.values and cut.made == [self._result]

    def __call__(self, inputs: Sequence[Tensor], old: Sequence[Tensor], new: Sequence[Tensor]) -> Tensor:
        table = self._table
        if self._plain:
            for place, number in zip(self._places, self._direct, strict=True):
                table[place] = inputs[number].data_ptr()
            y = torch.empty_like(self._like[0])
            self._go(old, new, (y,))
            return y
        known = {**self._known, **dict(zip(self._inputs, inputs, strict=True))}
        with torch.no_grad():
            evaluate(self._cut.before, known, self._batch, bf16=self._bf16)
            given = [_readable(known[value], old[0]) for value in self._given]
            for place, each in zip(self._places, given, strict=True):
                table[place] = each.data_ptr()
            made = [torch.empty_like(each) for each in self._like]
            self._go(old, new, made)
            known |= zip(self._cut.made, made, strict=True)
            evaluate(self._cut.after, known, self._batch, bf16=self._bf16)
            y = known[self._result]
        return y.clone() if self._result in self._inputs else y

    def _go(self, old: Sequence[Tensor], new: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        table, place = self._table, self._written
        for each in (*new, *made):
            table[place] = each.data_ptr()
            place += 1
        place = self._read
        for each in old:
            table[place] = each.data_ptr()
            place += 1
        # A loop goes through the weights to and fro by turns, as those used last are still in the cache.
        table[0] = turn = self._turn
        table[1] = turn + 1
        self._turn = turn ^ 1
        if self._threads == 1:
            self._run(self._address, *_ALONE)
        else:
            self._counter[:] = _ZEROS
            parallel(self._loop.address, self._address.value or 0, self._threads)


def surroundings() -> tuple[Any, ...]:
    """What decides how a step is compiled besides its tensors: threads, autocast, and modes that want to see it."""
    autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    return torch.get_num_threads(), autocast, torch._C._len_torch_dispatch_stack()


def make_step(
    cell: Callable[..., object], inputs: Sequence[Tensor], state: State, *, is_tuple: bool
) -> tuple[Step | None, str]:
    """The compiled step of a cell for inputs (B, ...) and a state like these, or ``None`` and why there is none."""
    over_time = [each.unsqueeze(0) for each in inputs]
    choice = choose("auto", cell, over_time, state, None, is_tuple=is_tuple, all_states=False)
    if choice.prepared is None:
        return None, choice.reason
    return Step(choice.prepared.program, choice.prepared.parameters, leaves(state), choice.bf16), ""


def _readable(tensor: Tensor, like: Tensor) -> Tensor:
    return (tensor if tensor.dtype == torch.bool else tensor.to(like.dtype)).resolve_neg().contiguous()


def _row_like(value: Value, like: Tensor, batch: int) -> Tensor:
    shape = (batch, *value.shape[1:])
    return like.new_empty(shape, dtype=torch.bool if value.dtype == torch.bool else like.dtype)
