"""The loop as one differentiable operation, and a whole compiled scan around it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .evaluate import evaluate
from .gradient import Gradient, differentiate
from .operators import keeps_rows
from .plan import Plan, make_plan
from .split import Split, needed, split
from .trace import Graph, Refused, Value, operator_name, trace


class Kernel(Protocol):
    """A compiled plan: runs all steps, filling the stacks of states (T + 1, B, N) and the outputs (T, B, N)."""

    def __call__(
        self,
        plan: Plan,
        whole: dict[Value, Tensor],
        stepped: dict[Value, Tensor],
        stacks: list[Tensor],
        outputs: list[Tensor],
        *,
        reverse: bool,
        lengths: Tensor | None,
        resets: Tensor | None,
        reset_states: list[Tensor] | None,
        backward: bool = False,
    ) -> None: ...


@dataclass
class Program:
    """A traced step in its parts, with the plans of its loop: for inference, for training, and of the gradient."""

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


def make_program(
    step: Callable[..., Sequence[Tensor]],
    parameters: Sequence[Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
) -> Program:
    """Traces ``step(*parameters, *inputs, *states) -> (outputs..., new states...)`` and plans its loop.

    ``inputs`` and ``states`` are examples with the batch first. Raises ``Refused`` with the reason where it cannot.
    """

    def examples(rows: int) -> list[Tensor]:
        return [*parameters, *(each.new_zeros(rows, *each.shape[1:]) for each in (*inputs, *states))]

    graph = trace(step, examples)
    for value in graph.values:
        if not keeps_rows(value):
            raise Refused(f"{operator_name(value)} may mix the rows of a batch ({value.source})")
    for value in graph.outputs:
        if not value.by_row:
            raise Refused(f"an output is the same for all rows of a batch ({value.source})")
    for old, new in zip(graph.inputs[-len(states) :], graph.outputs[-len(states) :], strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise Refused(f"a state of shape {old.shape} becomes one of {new.shape} ({new.source})")
    first, last = len(parameters), len(graph.inputs) - len(states)
    parts = split(graph, first, len(states))
    state_values = graph.inputs[last:]
    core = parts.core
    if any(value in parts.post.inputs or value in graph.outputs for value in state_values):
        raise Refused("the step's output is computed from the old state by something that feeds no later step")
    stepped = [value for value in core.inputs if value.by_row and value not in state_values]
    whole = [value for value in core.inputs if not value.by_row]
    gradient = differentiate(core, state_values, whole, stepped)
    kept = Graph(core.inputs, core.values, [*core.outputs, *gradient.saved.values()])
    results = graph.outputs[: len(graph.outputs) - len(states)]
    return Program(
        graph.inputs[first:last],
        state_values,
        graph.inputs[:first],
        results,
        parts,
        gradient,
        whole,
        stepped,
        make_plan(core, state_values),
        make_plan(kept, state_values),
        make_plan(gradient.parts.core, gradient.carried, backward=True),
    )


def scan_compiled(
    program: Program,
    kernel: Kernel,
    parameters: Sequence[Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    *,
    reverse: bool = False,
    lengths: Tensor | None = None,
    resets: Tensor | None = None,
    reset_states: Sequence[Tensor] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs (T, B, ...) and final states of a scan over ``inputs`` (T, B, ...)."""
    time, batch = inputs[0].shape[:2]
    known = dict(zip(program.parameters, parameters, strict=True))
    known |= {value: each.flatten(0, 1) for value, each in zip(program.inputs, inputs, strict=True)}
    evaluate(program.parts.once, known, time * batch)
    evaluate(program.parts.pre, known, time * batch)
    stepped = [known[value].unflatten(0, (time, batch)) for value in program.stepped]
    tensors = [*(known[value] for value in program.whole), *stepped, *states]
    # Asked here, as inside the operation gradients are always off.
    training = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    again = None if reset_states is None else list(reset_states)
    made = _Loop.apply(_Call(program, kernel, time, reverse, lengths, resets, again, training), *tensors)
    final, outputs = made[: len(states)], made[len(states) :]
    looped = program.parts.core.outputs[len(states) :]
    known |= {value: each.flatten(0, 1) for value, each in zip(looped, outputs, strict=True)}
    evaluate(program.parts.post, known, time * batch)
    results = [known[value].unflatten(0, (time, batch)) for value in program.outputs]
    if lengths is not None:
        idle = _idle(time, lengths)
        results = [each.masked_fill(idle.view(time, batch, *[1] * (each.dim() - 2)), 0) for each in results]
    return results, list(final)


@dataclass
class _Call:
    """What one run of the loop is told besides tensors that may need gradients."""

    program: Program
    kernel: Kernel
    time: int
    reverse: bool
    lengths: Tensor | None
    resets: Tensor | None
    reset_states: list[Tensor] | None
    training: bool


class _Loop(torch.autograd.Function):
    """(whole..., stepped..., states...) -> (final states..., outputs...)."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        program = call.program
        given = iter(tensors)
        whole = [each.contiguous() for each in itertools.islice(given, len(program.whole))]
        stepped = list(itertools.islice(given, len(program.stepped)))
        states = list(given)
        stepped = [_readable(each, states[0]) for each in stepped]
        plan = program.training if call.training else program.inference
        time, batch = call.time, len(states[0])
        stacks = [each.new_empty(time + 1, *each.shape) for each in states]
        for stack, state in zip(stacks, states, strict=True):
            stack[time if call.reverse else 0] = state
        like = states[0]
        outputs = [
            like.new_empty(time, batch, *value.shape[1:], dtype=torch.bool if value.dtype == torch.bool else None)
            for value in plan.outputs
        ]
        call.kernel(
            plan,
            dict(zip(program.whole, whole, strict=True)),
            dict(zip(program.stepped, stepped, strict=True)),
            stacks,
            outputs,
            reverse=call.reverse,
            lengths=call.lengths,
            resets=call.resets,
            reset_states=call.reset_states,
        )
        ctx.set_materialize_grads(False)
        by_value = dict(zip(plan.outputs, outputs, strict=True))
        if call.training:
            ctx.call, ctx.counts = call, (len(tensors), len(stacks))
            # The tensors as they came, not their contiguous copies, so that a second derivative finds their history.
            ctx.save_for_backward(*tensors, *stacks, *(by_value[twin] for twin in program.gradient.saved.values()))
        after = [(stack[:-1] if call.reverse else stack[1:]) for stack in stacks]
        made = by_value | dict(zip(plan.core.outputs, after, strict=False))
        final = [stack[0 if call.reverse else time].clone() for stack in stacks]
        return (*final, *(made[value] for value in program.parts.core.outputs[len(states) :]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        program, gradient = call.program, call.program.gradient
        whole_count, stepped_count, count = len(program.whole), len(program.stepped), len(program.states)
        kept = iter(ctx.saved_tensors)
        primals, stacks = (list(itertools.islice(kept, n)) for n in ctx.counts)
        if torch.is_grad_enabled():  # create_graph=True: the loop again in ordinary PyTorch, which can go on deriving
            return (None, *_derived_in_pytorch(call, primals, gradients))
        whole, stepped = primals[:whole_count], primals[whole_count : whole_count + stepped_count]
        time, batch = stacks[0].shape[0] - 1, stacks[0].shape[1]
        before = [stack[1:] if call.reverse else stack[:-1] for stack in stacks]
        if call.resets is not None and call.reset_states is not None:
            flags = call.resets.unsqueeze(-1)
            before = [torch.where(flags, state, each) for state, each in zip(call.reset_states, before, strict=True)]
        after = [stack[:-1] if call.reverse else stack[1:] for stack in stacks]
        final, given = gradients[:count], gradients[count:]
        known: dict[Value, Tensor] = dict(zip(gradient.whole, whole, strict=True))
        for values, group in ((gradient.stepped, stepped), (gradient.before, before), (gradient.after, after)):
            known |= {value: each.flatten(0, 1) for value, each in zip(values, group, strict=True)}
        known |= {value: each.flatten(0, 1) for value, each in zip(gradient.saved, kept, strict=True)}
        for value, each in zip(gradient.given, given, strict=True):
            known[value] = (stacks[0].new_zeros(time, batch, *value.shape[1:]) if each is None else each).flatten(0, 1)
        evaluate(gradient.parts.once, known, time * batch)
        evaluate(gradient.parts.pre, known, time * batch)
        plan = program.backward
        carried = [stack.new_empty(stack.shape) for stack in stacks]
        for stack, each in zip(carried, final, strict=True):
            stack[0 if call.reverse else time] = 0 if each is None else each
        outputs = [stacks[0].new_empty(time, batch, *value.shape[1:]) for value in plan.outputs]
        call.kernel(
            plan,
            {value: known[value].contiguous() for value in plan.whole},
            {value: _readable(known[value], stacks[0]).unflatten(0, (time, batch)) for value in plan.stepped},
            carried,
            outputs,
            reverse=not call.reverse,
            lengths=call.lengths,
            resets=call.resets,
            reset_states=None,
            backward=True,
        )
        known |= {value: each.flatten(0, 1) for value, each in zip(plan.outputs, outputs, strict=True)}
        read = set(needed(gradient.parts.post.values, gradient.results))
        for value, stack in zip(gradient.carried, carried, strict=True):
            if value in read:
                each = stack[:-1] if call.reverse else stack[1:]
                if call.lengths is not None:
                    each = each.masked_fill(_idle(time, call.lengths).unsqueeze(-1), 0)
                known[value] = each.flatten(0, 1)
        evaluate(gradient.parts.post, known, time * batch)
        found = [known[value] for value in gradient.results]
        states = [stack[time if call.reverse else 0] for stack in carried]
        shaped = [each.unflatten(0, (time, batch)) for each in found[whole_count:]]
        return (None, *found[:whole_count], *shaped, *states)


def _derived_in_pytorch(
    call: _Call, primals: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    program = call.program
    count = len(program.states)
    # One tensor may be computed from another; as aliases they are not, so that nothing is counted twice.
    primals = [each.view_as(each) for each in primals]
    groups = iter(primals)
    whole = dict(zip(program.whole, itertools.islice(groups, len(program.whole)), strict=True))
    stepped = dict(zip(program.stepped, itertools.islice(groups, len(program.stepped)), strict=True))
    state = list(groups)
    time = call.time
    rows: list[list[Tensor]] = []
    for t in reversed(range(time)) if call.reverse else range(time):
        old = state
        if call.resets is not None and call.reset_states is not None:
            flags = call.resets[t].unsqueeze(-1)
            state = [torch.where(flags, new, each) for new, each in zip(call.reset_states, state, strict=True)]
        known = {**whole, **{value: each[t] for value, each in stepped.items()}}
        known |= zip(program.inference.states, state, strict=True)
        evaluate(program.parts.core, known, len(state[0]))
        made = [known[value] for value in program.parts.core.outputs]
        if call.lengths is not None:
            valid = (call.lengths > t).unsqueeze(-1)
            outputs = [torch.where(valid, each, torch.zeros_like(each)) for each in made[count:]]
            made = [*(torch.where(valid, a, b) for a, b in zip(made[:count], old, strict=True)), *outputs]
        state = made[:count]
        rows.append(made[count:])
    if call.reverse:
        rows.reverse()
    results = [*state, *(torch.stack(each) for each in zip(*rows, strict=True))]
    pairs = [(y, g) for y, g in zip(results, gradients, strict=True) if g is not None and y.requires_grad]
    wanted = [each for each in primals if each.requires_grad]
    found = iter(
        torch.autograd.grad([y for y, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if each.requires_grad else None for each in primals]


def _readable(tensor: Tensor, like: Tensor) -> Tensor:
    """As the loop reads it: counts, which are whole numbers, as numbers of the loop's own kind."""
    return (tensor if tensor.dtype == torch.bool else tensor.to(like.dtype)).contiguous()


def _idle(time: int, lengths: Tensor) -> Tensor:
    """(T, B): whether a row has ended before a step."""
    return torch.arange(time, device=lengths.device).unsqueeze(1) >= lengths
