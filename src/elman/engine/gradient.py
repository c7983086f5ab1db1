"""Gradient: the backward pass of a loop is a loop run the other way; its step is the vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

from .cpu.math import POINTWISE
from .evaluate import evaluate
from .kinds import FILLS, is_pointwise, operand, width
from .lines import UNKNOWN
from .plan import column_source
from .split import Split, ancestors, dependents, split
from .tidy import hashable, replaced, tidy
from .trace import ROWS, Graph, Value, trace

_SEARCHES = {torch.ops.aten.amax.default, torch.ops.aten.amin.default}

aten = torch.ops.aten


@dataclass
class Gradient:
    """The backward loop of a core graph.

    ``parts`` is the split step. Its per-step inputs, in order: the core's own (``stepped``), the states before the
    step (``before``), the states after it (``after``), values of the forward loop kept for it (``saved``: the forward
    value each stands for), and the gradients of the core's further outputs (``given``). The carried states are the
    gradients of the states (``carried``). Its results are the gradients of the once-values and of the per-step inputs,
    ``None`` for truths, counts and constants, which have none (nor are such outputs among ``given``). ``redone`` are
    the values of the forward pass that it computes again.
    """

    parts: Split
    whole: list[Value]
    stepped: list[Value]
    before: list[Value]
    after: list[Value]
    saved: dict[Value, Value]
    given: list[Value]
    carried: list[Value]
    results: list[Value | None]
    redone: list[Value]


def differentiate(core: Graph, states: Sequence[Value], whole: Sequence[Value], stepped: Sequence[Value]) -> Gradient:
    """Traces the vector-Jacobian product of one step, and decides what of the forward pass to keep and what to redo."""

    def is_wanted(value: Value) -> bool:
        return has_gradient(value) and value.op not in FILLS

    given = [value for value in core.outputs[len(states) :] if has_gradient(value)]
    primals = [*whole, *stepped, *states]
    counts = [len(whole), len(stepped), len(states), len(given), len(states)]

    def backward(*tensors: Tensor) -> Sequence[Tensor]:
        given_gradients, state_gradients = _groups(tensors, counts)[3:]
        fixed = dict(zip(primals, tensors, strict=False))
        moving = [value for value in primals if is_wanted(value)]

        def forward(*inputs: Tensor) -> tuple[Tensor, ...]:
            known = fixed | dict(zip(moving, inputs, strict=True))
            evaluate(core, known, len(state_gradients[0]))
            return tuple(known[value] for value in (*core.outputs[: len(states)], *given))

        pull = vjp(forward, *(fixed[value] for value in moving))[1]
        return pull((*state_gradients, *given_gradients))

    like = [*primals, *given, *states]
    names = [*(value.name for value in primals), *(f"grad_{value.name}" for value in (*given, *states))]
    graph = tidy(trace(backward, lambda rows: [_example(value, rows) for value in like], names))
    groups = _groups(graph.inputs, counts)
    twins = _twins(graph, core, dict(zip(graph.inputs, primals, strict=False)))
    _name_lines(graph, twins)
    stand_ins, after, saved = _kept(graph, twins, list(states), core.outputs[: len(states)])
    graph = _replaced(graph, stand_ins)
    graph.inputs = [*groups[0], *groups[1], *groups[2], *after, *saved, *groups[3], *groups[4]]
    graph = _in_layout(graph, [value for value in (*whole, *stepped) if is_wanted(value)])
    found = iter(graph.outputs)
    results = [next(found) if is_wanted(value) else None for value in (*whole, *stepped)]
    parts = split(graph, len(whole), len(states), finishes=lambda value: _goes_on(value, states[0].dtype))
    redone = [value for value in graph.values if value in twins]
    return Gradient(parts, groups[0], groups[1], groups[2], after, saved, groups[3], groups[4], results, redone)


def _goes_on(value: Value, dtype: torch.dtype) -> bool:
    """Whether the loop can compute what it need not: pointwise work on whole rows in its own kind of numbers."""
    if value.op not in POINTWISE and column_source(value, 0) is None:
        return False
    by_row = [source for source in value.inputs if source.by_row]
    alike = all(each.dtype in (dtype, torch.bool) and len(each.shape) == 2 for each in (value, *by_row))
    return value.by_row and alike and all(width(each) == width(value) or each.op is None for each in by_row)


def has_gradient(value: Value) -> bool:
    """Whether a value is a number, not a truth or a count."""
    return value.dtype.is_floating_point


def _name_lines(graph: Graph, twins: dict[Value, Value]) -> None:
    """Gives each value the line of the step it belongs to: its twin's, or that of what it is computed from."""
    for value in graph.values:
        near = [source.source for source in value.inputs if source.source != UNKNOWN]
        value.source = twins[value].source if value in twins else (near or [UNKNOWN])[-1]


def _kept(
    graph: Graph, twins: dict[Value, Value], states: list[Value], new_states: list[Value]
) -> tuple[dict[Value, Value], list[Value], dict[Value, Value]]:
    """Which values of the backward graph the forward pass has computed already, and what becomes of each that is used.

    A new state is there anyway; what follows from values at hand without a product is redone; the rest is saved. Saved
    too is what was searched for its largest element: redone before the loop, by PyTorch, it might differ in the last
    bit, and would not be found equal to that element.
    """
    searched = {operand(value) for value in graph.values if value in twins and value.op in _SEARCHES}
    used = {source for value in graph.values if value not in twins for source in value.inputs if source in twins}
    used |= {output for output in graph.outputs if output in twins}
    after = [_stand_in(value, "after") for value in states]
    stand_ins: dict[Value, Value] = {}
    saved: dict[Value, Value] = {}
    by_row = dependents(graph, [value for value in graph.inputs if value.by_row])
    at_hand = {*graph.inputs, *(value for value in graph.values if not value.by_row and value not in by_row)}
    for value in graph.values:
        if value not in twins:
            continue
        if twins[value] in new_states:
            stand_ins[value] = after[new_states.index(twins[value])]
            at_hand.add(value)
        elif is_pointwise(value) and value not in searched and all(source in at_hand for source in value.inputs):
            at_hand.add(value)
        elif value in used:
            stand_ins[value] = _stand_in(twins[value], "saved")
            saved[stand_ins[value]] = twins[value]
            at_hand.add(value)
    return stand_ins, after, saved


def _twins(graph: Graph, core: Graph, known: dict[Value, Value]) -> dict[Value, Value]:
    """Values of ``graph`` that compute what a value of ``core`` computes, by operator and arguments."""

    def key(value: Value, names: dict[Value, Any]) -> Any:
        return value.op, hashable(value.args, names), hashable(value.kwargs, names), value.shape

    in_core = {key(value, {}): value for value in core.values}
    twins = dict(known)
    for value in graph.values:
        if all(source in twins for source in value.inputs):
            twin = in_core.get(key(value, twins))
            if twin is not None:
                twins[value] = twin
    return {value: twin for value, twin in twins.items() if value.op is not None}


def _replaced(graph: Graph, stand_ins: dict[Value, Value]) -> Graph:
    """The graph with some values replaced by inputs, and without what nobody needs any more."""
    for value in graph.values:
        value.args = replaced(value.args, stand_ins)
        value.kwargs = {name: replaced(each, stand_ins) for name, each in value.kwargs.items()}
    outputs = [stand_ins.get(output, output) for output in graph.outputs]
    alive = ancestors(outputs)
    return Graph(graph.inputs, [value for value in graph.values if value in alive], outputs)


def _in_layout(graph: Graph, primals: Sequence[Value]) -> Graph:
    """The graph with the gradient of a transposed weight computed as the transpose of the weight's own gradient.

    It is the same product; but the parameter's ``grad`` then is made in the order in which it lies in memory.
    """
    values = list(graph.values)
    for primal, result in zip(primals, graph.outputs, strict=False):
        if primal.op is aten.permute.default and result.op is aten.mm.default and result in values:
            place = values.index(result)
            factors = [_transposed(each) for each in reversed(result.args)]
            product = Value(
                aten.mm.default, tuple(factors), {}, result.shape[::-1], result.dtype, f"{result}.T", result.source
            )
            result.op, result.args = aten.permute.default, (product, (1, 0))
            values[place:place] = [*factors, product]
    return Graph(graph.inputs, values, graph.outputs)


def _transposed(matrix: Value) -> Value:
    return Value(
        aten.permute.default, (matrix, (1, 0)), {}, matrix.shape[::-1], matrix.dtype, f"{matrix}.T", matrix.source
    )


def _stand_in(value: Value, name: str) -> Value:
    return Value(None, (), {}, value.shape, value.dtype, f"{name}_{value.name}", value.source)


def _example(value: Value, rows: int) -> Tensor:
    return torch.zeros([rows if size is ROWS else size for size in value.shape], dtype=value.dtype)


def _groups(items: Sequence[Any], counts: Sequence[int]) -> list[list[Any]]:
    groups, begin = [], 0
    for count in counts:
        groups.append(list(items[begin : begin + count]))
        begin += count
    return groups
