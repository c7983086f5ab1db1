"""Split: which part of a traced step runs once, which before the loop, in it, and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from .kinds import PRODUCTS, is_pointwise
from .trace import Graph, Value


@dataclass
class Split:
    """The four parts of a step, each a graph whose inputs are the step's own or values of earlier parts.

    ``once`` needs parameters only; ``pre`` inputs but no state; ``core`` is the loop, its first outputs the new states,
    the others what ``post`` or the caller takes from it; ``post`` feeds no later step and gives the step's results.
    """

    once: Graph
    pre: Graph
    core: Graph
    post: Graph


def split(
    graph: Graph, parameters: int, states: int, *, finishes: Callable[[Value], bool] = lambda value: False
) -> Split:
    """Splits a step's graph: inputs (parameters..., per-step inputs..., states...), outputs (results..., states...).

    What could be done after the loop is done in it where ``finishes`` says so and all it is made of is at hand there.

    >>> from elman.engine.trace import trace
    >>> import torch
    >>> step = lambda w, x, h: [(n := torch.tanh(x @ w + h)) * 2, n]
    >>> parts = split(trace(step, lambda b: [torch.zeros(3, 3), torch.zeros(b, 3), torch.zeros(b, 3)]), 1, 1)
    >>> [part.values for part in (parts.pre, parts.core, parts.post)]
    [[mm], [add, tanh], [mul]]
    """
    boundary = len(graph.inputs) - states
    of_state = dependents(graph, graph.inputs[boundary:])
    of_input = dependents(graph, graph.inputs[parameters:boundary])
    results, new_states = graph.outputs[: len(graph.outputs) - states], graph.outputs[len(graph.outputs) - states :]
    carried = ancestors(new_states)
    looped = {value for value in graph.values if value in of_state and value in carried}
    finished = _finished(graph, looped, of_state, finishes) | _put_together(graph, looped)
    in_core = looped | finished | _pulled_in(graph, looped | finished, of_state)
    core = [value for value in graph.values if value in in_core]
    post = [value for value in graph.values if value in of_state and value not in in_core]
    early = [value for value in graph.values if value not in of_state]
    wanted = ancestors([*needed(core, new_states), *needed(post, results)], but=looped)
    outside = _read_outside(early, core, post, results)
    pre = [value for value in early if value in of_input and value in wanted and value in outside]
    once = [value for value in early if value not in of_input and value in wanted and value in outside]
    return Split(
        once=_part(once, needed([*pre, *core, *post], graph.outputs)),
        pre=_part(pre, needed([*core, *post], graph.outputs)),
        core=_graph(core, [*new_states, *(value for value in needed(post, results) if value in in_core & of_state)]),
        post=_graph(post, results),
    )


def _pulled_in(graph: Graph, looped: set[Value], of_state: set[Value]) -> set[Value]:
    """Pointwise work on inputs that only the loop reads: done where it is read it needs no tensor of its own."""
    pulled: set[Value] = set()
    for value in reversed(graph.values):
        here = value.by_row and value not in of_state and is_pointwise(value)
        # Whole numbers have no place in the loop.
        fit = all(each.dtype.is_floating_point or each.dtype == torch.bool for each in (value, *value.inputs))
        if here and fit and any(value in reader.inputs for reader in looped | pulled):
            pulled.add(value)
    return pulled


def _finished(graph: Graph, looped: set[Value], of_state: set[Value], finishes: Callable[[Value], bool]) -> set[Value]:
    """Work on what the loop has at hand that goes on in it, so that what lies between needs no tensor of its own.

    Only in a loop without products: in one with them, more to write between these cost more than it saved.
    """
    found: set[Value] = set()
    if any(value.op in PRODUCTS for value in looped):
        return found
    for value in graph.values:
        if value in of_state and value not in looped and finishes(value):
            later = {source for source in value.inputs if source in of_state and source.op is not None}
            if later <= looped | found:
                found.add(value)
    return found


def _put_together(graph: Graph, looped: set[Value]) -> set[Value]:
    """What puts columns of the loop's values side by side for later: the loop writes them there at no cost."""
    cats = [value for value in graph.values if value.op is torch.ops.aten.cat.default and is_pointwise(value)]
    return {value for value in cats if looped.issuperset(value.inputs)}


def _read_outside(early: list[Value], core: list[Value], post: list[Value], results: list[Value]) -> set[Value]:
    """What is needed before or after the loop, whether or not the loop does it again where it reads it."""
    in_core = set(core)
    outside = {value for value in early if value not in in_core}
    readers = [*post, *outside]
    outside |= {value for value in early if value in results or any(value in reader.inputs for reader in readers)}
    return ancestors(outside)


def dependents(graph: Graph, roots: Iterable[Value]) -> set[Value]:
    """The roots and every value computed from them."""
    found = set(roots)
    for value in graph.values:
        if not found.isdisjoint(value.inputs):
            found.add(value)
    return found


def ancestors(values: Iterable[Value], but: Iterable[Value] = ()) -> set[Value]:
    """The values and everything they are computed from, not looking behind those of ``but``."""
    stop = set(but)
    found: set[Value] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if value not in found:
            found.add(value)
            stack += [] if value in stop else value.inputs
    return found


def needed(readers: Iterable[Value], outputs: Iterable[Value]) -> list[Value]:
    """What the readers read and the outputs are, each once, in order."""
    return list(dict.fromkeys([value for reader in readers for value in reader.inputs] + list(outputs)))


def _part(values: list[Value], wanted: list[Value]) -> Graph:
    own = set(values)
    return _graph(values, [value for value in wanted if value in own])


def _graph(values: list[Value], outputs: list[Value]) -> Graph:
    own = set(values)
    return Graph([value for value in needed(values, outputs) if value not in own], values, outputs)
