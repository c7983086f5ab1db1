"""Program: a traced step in its parts, with the plans of its loop and of the loop of its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .gradient import Gradient, differentiate, has_gradient
from .kinds import PRODUCTS, keeps_rows, width
from .plan import Plan, make_plan
from .reuse import Place, columns_read, find_places
from .split import Split, needed, split
from .trace import Graph, Refused, Value, operator_name, trace
from .verify import verify


@dataclass
class Program:
    """A traced step in its parts, with the plans of its loop: for inference, for training, and of the gradient.

    ``kept_inference`` and ``kept_training`` say of which states all steps are wanted, not the last one only. ``over``
    says which outputs of ``training`` may lie where a per-step input lay, ``over_backward`` the same of ``backward``,
    whose inputs may lie there already. ``held`` are the parts' results that the gradient reads.
    """

    inputs: list[Value]
    states: list[Value]
    parameters: list[Value]
    outputs: list[Value]
    parts: Split
    gradient: Gradient
    whole: list[Value]
    stepped: list[Value]
    inference: Plan
    training: Plan
    backward: Plan
    kept_inference: list[bool]
    kept_training: list[bool]
    over: dict[Value, Place]
    over_backward: dict[Value, Place]
    held: list[Value]
    seconds: float = 0.0
    """What it took to make."""
    whole_step: Any = None
    """The same cut for one step at a time, see ``step``; made when first asked for."""


def make_program(
    step: Callable[..., Sequence[Tensor]],
    parameters: Sequence[Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    names: Sequence[str] = (),
) -> Program:
    """Traces ``step(*parameters, *inputs, *states) -> (outputs..., new states...)`` and plans its loop.

    ``inputs`` and ``states`` are examples with the batch first; ``names`` are for all three, to be printed.
    Raises ``Refused`` with the reason where it cannot.
    """

    def examples(rows: int) -> list[Tensor]:
        return [*parameters, *(each.new_zeros(rows, *each.shape[1:]) for each in (*inputs, *states))]

    graph = trace(step, examples, names)
    for value in graph.values:
        if not keeps_rows(value):
            raise Refused(f"{operator_name(value)} may mix the rows of a batch ({value.source})")
    for value in graph.outputs:
        if not value.by_row:
            raise Refused(f"an output is the same for all rows of a batch ({value.source})")
    for old, new in zip(graph.inputs[-len(states) :], graph.outputs[-len(states) :], strict=True):
        if not has_gradient(old):
            raise Refused(f"a state of {old.dtype}; the loop carries floating point numbers")
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise Refused(f"a state of shape {old.shape} becomes one of {new.shape} ({new.source})")
    verify(graph, step, examples(1))
    first, last = len(parameters), len(graph.inputs) - len(states)
    parts = split(graph, first, len(states))
    state_values = graph.inputs[last:]
    core = parts.core
    results = graph.outputs[: len(graph.outputs) - len(states)]
    # What is made of the old state after the loop needs that state of every step: the loop hands it out.
    handed_out = [value for value in state_values if value in parts.post.inputs or value in results]
    core.inputs += [value for value in handed_out if value not in core.inputs]
    core.outputs += handed_out
    stepped = [value for value in core.inputs if value.by_row and value not in state_values]
    whole = [value for value in core.inputs if not value.by_row]
    inference = make_plan(core, state_values)
    try:
        gradient = differentiate(core, state_values, whole, stepped)
        backward = make_plan(gradient.parts.core, gradient.carried, backward=True)
    except Refused as reason:
        raise Refused(f"the step has a gradient that cannot be compiled: {reason}") from reason
    saving = Graph(core.inputs, core.values, [*core.outputs, *gradient.saved.values()])
    training = make_plan(saving, state_values)
    kept = [new in core.outputs[len(states) :] for new in core.outputs[: len(states)]]
    outside = (gradient.parts.once, gradient.parts.pre, gradient.parts.post)
    used = {value for part in (*outside, gradient.parts.core) for value in part.inputs}
    used |= {value for value in gradient.results if value is not None}
    over, over_backward = _reused(parts, results, stepped, gradient, training, backward, outside)
    buffers = {buffer for buffer, _ in (*over.values(), *over_backward.values())}
    stand_ins = zip((*whole, *stepped), (*gradient.whole, *gradient.stepped), strict=True)
    return Program(
        graph.inputs[first:last],
        state_values,
        graph.inputs[:first],
        results,
        parts,
        gradient,
        whole,
        stepped,
        inference,
        training,
        backward,
        kept,
        [each or not used.isdisjoint(pair) for each, *pair in zip(kept, gradient.before, gradient.after, strict=True)],
        over,
        over_backward,
        [value for value, stand_in in stand_ins if stand_in in used or value in buffers],
    )


def _reused(
    parts: Split,
    results: Sequence[Value],
    stepped: Sequence[Value],
    gradient: Gradient,
    training: Plan,
    backward: Plan,
    outside: Sequence[Graph],
) -> tuple[dict[Value, Place], dict[Value, Place]]:
    """Which outputs of the loop and of its gradient lie where the results of products before the loop lay."""
    # Nobody else has these: what a product gives its own derivative does not need.
    elsewhere = {*needed((*parts.pre.values, *parts.post.values), results)}
    ours = {value: (value, 0) for value in stepped if value.op in PRODUCTS and value not in elsewhere}
    later = dict(zip(gradient.stepped, stepped, strict=True))
    wanted = [(later[value], begin, size) for value, begin, size in columns_read(backward) if value in later]
    wanted += [(later[value], 0, width(value)) for part in outside for value in part.inputs if value in later]
    saved = [value for value in gradient.saved.values() if value not in parts.core.outputs]
    over = find_places(training, saved, ours, wanted)
    there = {stand_in: over[value] for stand_in, value in gradient.saved.items() if value in over}
    there |= {stand_in: ours[value] for stand_in, value in later.items() if value in ours}
    after = [(value, 0, width(value)) for part in outside for value in part.inputs if value in there]
    return over, find_places(backward, backward.outputs, there, after)
