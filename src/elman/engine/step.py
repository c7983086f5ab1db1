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
from .kinds import PRODUCTS, is_pointwise, is_reduction, weight
from .plan import Plan, make_plan
from .program import Program
from .split import ancestors, dependents, needed
from .trace import Graph, Refused, Value

_FIRST_INPUT = 4  # in the table, behind the first step, T, B and the counter's address
_ZEROS = array("q", [0] * 16)
_LITTLE_WORK = 1 << 18  # multiplications, for which it does not pay to wake a second thread
_ONLY = ctypes.c_int64(0), ctypes.c_int64(1)  # thread 0 of 1


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

    ``inputs`` are contiguous and as those it was made for; ``old`` and ``new`` are the leaves of the state before and
    after the step, (B, N), contiguous and apart, of which ``new`` is written. y is a new tensor without a gradient.

    >>> from elman.cells import RNN
    >>> step, _ = make_step(RNN(3, 5), [torch.zeros(2, 3)], torch.zeros(2, 5), is_tuple=False)
    >>> h, after = torch.zeros(2, 5), torch.empty(2, 5)
    >>> torch.equal(step([torch.randn(2, 3)], [h], [after]), after)
    True
    """

    def __init__(self, program: Program, parameters: Sequence[Tensor], states: Sequence[Tensor], bf16: bool) -> None:
        cut = whole_step(program)
        plan, like, batch = cut.plan, states[0], len(states[0])
        known = dict(zip(program.parameters, parameters, strict=True))
        with torch.no_grad():
            evaluate(program.parts.once, known, batch, bf16=bf16)
            whole = {value: _readable(known[value], like) for value in plan.whole}
            read = [_readable(known[v], like) if v in known else _empty(v, like, batch) for v in plan.stepped]
            outside = [*cut.before.inputs, *cut.after.inputs, *program.outputs]
            self._known = {value: known[value].contiguous() for value in outside if value in known}
        options = {"ragged": False, "resets": True, "backward": False, "bf16": bf16}
        # The only round of a loop that runs backwards writes states where these begin, and one in which all rows begin
        # anew reads them where it is told to: so old and new states may lie anywhere.
        variant, threads = variant_for(plan, batch, like.dtype, [False] * len(states), reverse=True, **options)
        if batch * plan.weights < _LITTLE_WORK:
            variant, threads = replace(variant, shared=False), 1
        loop = compiled(plan, variant)
        weights = weights_of(plan, loop, whole)
        flags = torch.ones(1, batch, dtype=torch.bool)
        others = [*scratch_of(plan, loop, like.unsqueeze(0), threads), flags, *states]
        self._made = [_empty(value, like, batch) for value in plan.outputs]
        self._counter = array("q", _ZEROS)
        rows = [[each.unsqueeze(0) for each in group] for group in (read, self._made)]
        self._table = address_table(1, batch, self._counter, rows[0], weights, states, rows[1], others)
        self._alive = read, weights, others
        # Where in the table the addresses are that change.
        self._inputs = [(_FIRST_INPUT + n, value) for n, value in enumerate(plan.stepped) if value not in known]
        self._new = _FIRST_INPUT + 2 * len(read) + len(weights)
        self._old = len(self._table) - len(states)
        self._program, self._cut, self._bf16, self._batch = program, cut, bf16, batch
        self._loop, self._threads, self._turn = loop, threads, 0
        self._address = ctypes.c_void_p(self._table.buffer_info()[0])
        self._alone = loop.code.function("run", ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        # With nothing to do outside the loop: the places of the inputs that it reads.
        self._direct: list[tuple[int, int]] | None = None
        as_they_are = all(value.dtype in (like.dtype, torch.bool) for _, value in self._inputs)
        if as_they_are and not cut.before.values and cut.made == program.outputs:
            self._direct = [(place, program.inputs.index(value)) for place, value in self._inputs]

    def __call__(self, inputs: Sequence[Tensor], old: Sequence[Tensor], new: Sequence[Tensor]) -> Tensor:
        if self._direct is None:
            return self._with_pytorch(inputs, old, new)
        for place, number in self._direct:
            self._table[place] = inputs[number].data_ptr()
        y = torch.empty_like(self._made[0])
        self._run(old, (*new, y))
        return y

    def _with_pytorch(self, inputs: Sequence[Tensor], old: Sequence[Tensor], new: Sequence[Tensor]) -> Tensor:
        """What the loop does, and before and after it what it cannot do."""
        result = self._program.outputs[0]
        given = {**self._known, **dict(zip(self._program.inputs, inputs, strict=True))}
        known = dict(given)
        with torch.no_grad():
            evaluate(self._cut.before, known, self._batch, bf16=self._bf16)
            read = [_readable(known[value], old[0]) for _, value in self._inputs]
            for (place, _), each in zip(self._inputs, read, strict=True):
                self._table[place] = each.data_ptr()
            made = [torch.empty_like(each) for each in self._made]
            self._run(old, (*new, *made))
            known |= zip(self._cut.made, made, strict=True)
            evaluate(self._cut.after, known, self._batch, bf16=self._bf16)
        return known[result].clone() if result in given else known[result]

    def _run(self, old: Sequence[Tensor], written: Sequence[Tensor]) -> None:
        table = self._table
        for place, each in enumerate(written, self._new):
            table[place] = each.data_ptr()
        for place, each in enumerate(old, self._old):
            table[place] = each.data_ptr()
        # The weights used last are still in the cache: odd rounds take them the other way round.
        table[0], table[1] = self._turn, self._turn + 1
        self._turn ^= 1
        if self._threads == 1:
            self._alone(self._address, *_ONLY)
        else:
            self._counter[:] = _ZEROS
            parallel(self._loop.address, self._table.buffer_info()[0], self._threads)


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


def _empty(value: Value, like: Tensor, batch: int) -> Tensor:
    """A tensor for a value of ``batch`` rows."""
    return like.new_empty(batch, *value.shape[1:], dtype=torch.bool if value.dtype == torch.bool else like.dtype)
