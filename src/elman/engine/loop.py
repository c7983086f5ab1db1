"""The loop as one differentiable operation, and a whole compiled scan around it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from .evaluate import evaluate
from .gradient import has_gradient
from .kinds import width
from .plan import Plan
from .program import Program
from .reuse import Place
from .split import needed
from .trace import Value

CHUNK_BYTES = 16 << 20  # of what is computed before the loop at a time, where nothing is kept for a gradient


class Kernel(Protocol):
    """A compiled plan: runs all steps, filling the stacks of states and the outputs (T, B, N).

    A stack (T + 1, B, N) keeps the state before step t in place t and that after it in place t + 1, in ``reverse`` the
    other way round; of a stack (2, B, N) the places are taken in turn. With ``lengths`` a row that has ended is left
    alone: of its places after the end only the first one counts, and its outputs there stay as they are. ``bf16``:
    products round their factors to bfloat16.
    """

    def __call__(
        self,
        plan: Plan,
        time: int,
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
        bf16: bool = False,
    ) -> None: ...


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
    bf16: bool = False,
    loop: Callable[..., tuple[Tensor, ...]] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs (T, B, ...) and final states of a scan over ``inputs`` (T, B, ...).

    ``bf16``: products, also those of the gradient, round their factors to bfloat16. ``loop`` stands in for
    ``_Loop.apply`` while a graph is traced, when tensors have no data.
    """
    time, batch = inputs[0].shape[:2]
    recorded = torch.is_grad_enabled() and any(each.requires_grad for each in (*parameters, *inputs, *states))
    if loop is None and not recorded and lengths is None:
        row = sum(width(value) for value in program.stepped) * states[0].element_size()
        steps = max(CHUNK_BYTES // max(row * batch, 1), 1)
        if steps < time:
            run = functools.partial(
                scan_compiled, program, kernel, parameters, reverse=reverse, reset_states=reset_states, bf16=bf16
            )
            return _in_chunks(run, steps, inputs, states, resets, reverse=reverse)
    known = dict(zip(program.parameters, parameters, strict=True))
    known |= {value: each.flatten(0, 1) for value, each in zip(program.inputs, inputs, strict=True)}
    evaluate(program.parts.once, known, time * batch, bf16=bf16)
    evaluate(program.parts.pre, known, time * batch, bf16=bf16)
    tensors = [*(known[value] for value in (*program.whole, *program.stepped)), *states]
    # Asked here, as inside the operation gradients are always off.
    training = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    if resets is not None and loop is None and not bool(resets.any()):
        resets = reset_states = None
    again = None if reset_states is None else [each.resolve_neg() for each in reset_states]
    call = _Call(program, kernel, time, reverse, lengths, resets, again, training, [*parameters, *inputs], bf16)
    made = (loop or _Loop.apply)(call, *tensors)
    final, outputs = made[: len(states)], made[len(states) :]
    looped = program.parts.core.outputs[len(states) :]
    found = dict(zip(looped, outputs, strict=True))
    if program.parts.post.values or not found.keys() >= set(program.outputs):
        known |= {value: each.flatten(0, 1) for value, each in found.items()}
        evaluate(program.parts.post, known, time * batch, bf16=bf16)
    results = [
        found[value] if value in found else known[value].unflatten(0, (time, batch)) for value in program.outputs
    ]
    if lengths is not None and (reverse or not found.keys() >= set(program.outputs)):
        # The loop leaves zeros behind the end of a row, but in reverse its first state lies there.
        idle = _idle(time, lengths)
        results = [each.masked_fill(idle.view(time, batch, *[1] * (each.dim() - 2)), 0) for each in results]
    return results, list(final)


def _in_chunks(
    run: Callable[..., tuple[list[Tensor], list[Tensor]]],
    steps: int,
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    resets: Tensor | None,
    *,
    reverse: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """A scan some steps at a time, so that what is computed before the loop is still in the cache in it."""
    begins = range(0, len(inputs[0]), steps)
    found: dict[int, list[Tensor]] = {}
    for begin in reversed(begins) if reverse else begins:
        piece = slice(begin, begin + steps)
        some = None if resets is None else resets[piece]
        found[begin], states = run([each[piece] for each in inputs], states, resets=some)
    return [torch.cat(each) for each in zip(*(found[begin] for begin in begins), strict=True)], list(states)


@dataclass
class _Call:
    """What one run of the loop is told besides tensors that may need gradients.

    ``sources`` are the parameters and inputs behind those tensors.
    """

    program: Program
    kernel: Kernel
    time: int
    reverse: bool
    lengths: Tensor | None
    resets: Tensor | None
    reset_states: list[Tensor] | None
    training: bool
    sources: list[Tensor]
    bf16: bool

    def over(self, places: dict[Value, Place]) -> dict[Value, Place]:
        """The places, if they may be used: what lies behind the end of a row must become zero."""
        return places if self.lengths is None else {}


class _Loop(torch.autograd.Function):
    """(whole..., stepped (T * B, ...)..., states...) -> (final states..., outputs (T, B, ...)...)."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        program = call.program
        given = iter(tensors)
        whole = list(itertools.islice(given, len(program.whole)))
        stepped = list(itertools.islice(given, len(program.stepped)))
        states = list(given)
        whole = [_readable(each, states[0]) for each in whole]
        stepped = [_readable_rows(each, states[0], call.time) for each in stepped]
        plan = program.training if call.training else program.inference
        kept = program.kept_training if call.training else program.kept_inference
        time, batch = call.time, len(states[0])
        stacks = [_stack(call, state, whole=each) for state, each in zip(states, kept, strict=True)]
        _begin(call, stacks, states, reverse=call.reverse)
        known = dict(zip((*program.whole, *program.stepped), (*whole, *stepped), strict=True))
        over = call.over(program.over) if call.training else {}
        outputs = [
            _columns(known, over[value], width(value))
            if value in over
            else _empty(call, states[0], (time, batch, *value.shape[1:]), value.dtype)
            for value in plan.outputs
        ]
        call.kernel(
            plan,
            time,
            {value: known[value] for value in program.whole},
            {value: known[value] for value in program.stepped},
            stacks,
            outputs,
            reverse=call.reverse,
            lengths=call.lengths,
            resets=call.resets,
            reset_states=call.reset_states,
            bf16=call.bf16,
        )
        ctx.set_materialize_grads(False)
        by_value = dict(zip(plan.outputs, outputs, strict=True))
        if call.training:
            groups = [
                call.sources,
                states,
                [known[value] for value in program.held],
                [stack for stack, each in zip(stacks, kept, strict=True) if each],
                [by_value[value] for value in program.gradient.saved.values() if value not in over],
            ]
            ctx.call, ctx.counts = replace(call, sources=[]), [len(group) for group in groups]
            ctx.save_for_backward(*itertools.chain(*groups))
        after = [(stack[:-1] if call.reverse else stack[1:]) for stack in stacks]
        made = by_value | dict(zip(plan.core.outputs, after, strict=False))
        final = _end(call, stacks, reverse=call.reverse)
        return (*final, *(made[value] for value in program.parts.core.outputs[len(states) :]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        program, gradient = call.program, call.program.gradient
        tensors = iter(ctx.saved_tensors)
        sources, states, held, kept, saved = (list(itertools.islice(tensors, n)) for n in ctx.counts)
        derive_again = torch.is_grad_enabled()  # create_graph=True
        if derive_again or any(map(_is_batched, gradients)):  # the loop again in ordinary PyTorch, which can do both
            with torch.enable_grad():
                return (None, *_derived_in_pytorch(call, sources, states, gradients, derive_again))
        time, batch, count = call.time, len(states[0]), len(states)
        final, looped = gradients[:count], program.parts.core.outputs[count:]
        held_by = dict(zip(program.held, held, strict=True))
        known: dict[Value, Tensor] = {}
        for value, stand_in in zip(program.whole, gradient.whole, strict=True):
            if value in held_by:
                known[stand_in] = held_by[value]
        for value, stand_in in zip(program.stepped, gradient.stepped, strict=True):
            if value in held_by:
                known[stand_in] = held_by[value].flatten(0, 1)
        stacks = iter(kept)
        for number, is_kept in enumerate(program.kept_training):
            if is_kept:
                stack = next(stacks)
                before, after = (stack[1:], stack[:-1]) if call.reverse else (stack[:-1], stack[1:])
                if call.resets is not None and call.reset_states is not None:
                    before = torch.where(call.resets.unsqueeze(-1), call.reset_states[number], before)
                known[gradient.before[number]] = before.flatten(0, 1)
                known[gradient.after[number]] = after.flatten(0, 1)
        over = call.over(program.over)
        others = iter(saved)
        for stand_in, value in gradient.saved.items():
            each = _columns(held_by, over[value], width(value)) if value in over else next(others)
            known[stand_in] = each.flatten(0, 1)
        given = [each for value, each in zip(looped, gradients[count:], strict=True) if has_gradient(value)]
        for value, each in zip(gradient.given, given, strict=True):
            known[value] = (states[0].new_zeros(time, batch, *value.shape[1:]) if each is None else each).flatten(0, 1)
        evaluate(gradient.parts.once, known, time * batch, bf16=call.bf16)
        evaluate(gradient.parts.pre, known, time * batch, bf16=call.bf16)
        plan = program.backward
        results = [value for value in gradient.results if value is not None]
        read = set(needed(gradient.parts.post.values, results))
        carried = [
            _stack(call, state, whole=value in read) for value, state in zip(gradient.carried, states, strict=True)
        ]
        first = [torch.zeros_like(state) if each is None else each for state, each in zip(states, final, strict=True)]
        _begin(call, carried, first, reverse=not call.reverse)
        # With retain_graph=True the saved tensors are still needed.
        over = {} if torch._C._autograd._get_current_graph_task_keep_graph() else call.over(program.over_backward)
        outputs = [
            _columns(held_by, over[value], width(value))
            if value in over
            else _empty(call, states[0], (time, batch, *value.shape[1:]), value.dtype)
            for value in plan.outputs
        ]
        call.kernel(
            plan,
            time,
            {value: _readable(known[value], states[0]) for value in plan.whole},
            {value: _readable_rows(known[value], states[0], time) for value in plan.stepped},
            carried,
            outputs,
            reverse=not call.reverse,
            lengths=call.lengths,
            resets=call.resets,
            reset_states=None,
            backward=True,
            bf16=call.bf16,
        )
        known |= {value: each.flatten(0, 1) for value, each in zip(plan.outputs, outputs, strict=True)}
        for value, stack in zip(gradient.carried, carried, strict=True):
            if value in read:
                each = stack[:-1] if call.reverse else stack[1:]
                if call.lengths is not None and call.reverse:  # a row's last place is beyond its end
                    each = each.masked_fill(_idle(time, call.lengths).unsqueeze(-1), 0)
                known[value] = each.flatten(0, 1)
        evaluate(gradient.parts.post, known, time * batch, bf16=call.bf16)
        found = [None if value is None else known[value] for value in gradient.results]
        return (None, *found, *_end(call, carried, reverse=not call.reverse))


def _columns(buffers: dict[Value, Tensor], place: Place, size: int) -> Tensor:
    """Columns of a buffer (T, B, N)."""
    buffer, begin = place
    return buffers[buffer][..., begin : begin + size]


def _stack(call: _Call, state: Tensor, *, whole: bool) -> Tensor:
    """Room for a state (B, ...) of all steps, or of two in turn."""
    return _empty(call, state, (call.time + 1 if whole else 2, *state.shape), state.dtype)


def _empty(call: _Call, like: Tensor, shape: tuple[Any, ...], dtype: torch.dtype) -> Tensor:
    """A buffer; zeros where rows end early, as the loop leaves what lies behind their ends alone."""
    dtype = torch.bool if dtype == torch.bool else like.dtype
    return like.new_empty(shape, dtype=dtype) if call.lengths is None else like.new_zeros(shape, dtype=dtype)


def _begin(call: _Call, stacks: Sequence[Tensor], states: Sequence[Tensor], *, reverse: bool) -> None:
    """Puts the first states where a loop finds them: in reverse behind the last step of each row."""
    for stack, state in zip(stacks, states, strict=True):
        if reverse and call.lengths is not None:
            stack[call.lengths % len(stack), torch.arange(len(state))] = state
        else:
            stack[call.time % len(stack) if reverse else 0] = state


def _end(call: _Call, stacks: Sequence[Tensor], *, reverse: bool) -> list[Tensor]:
    """The states after the last step of each row."""
    if reverse:
        return [stack[0].clone() for stack in stacks]
    if call.lengths is not None:
        return [stack[call.lengths % len(stack), torch.arange(stack.shape[1])] for stack in stacks]
    return [stack[call.time % len(stack)].clone() for stack in stacks]


def _derived_in_pytorch(
    call: _Call,
    sources: Sequence[Tensor],
    states: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    derive_again: bool,
) -> list[Tensor | None]:
    program, time, count = call.program, call.time, len(states)
    batch = len(states[0])
    known = dict(zip((*program.parameters, *program.inputs), sources, strict=True))
    known |= {value: known[value].flatten(0, 1) for value in program.inputs}
    evaluate(program.parts.once, known, time * batch, bf16=call.bf16)
    evaluate(program.parts.pre, known, time * batch, bf16=call.bf16)
    # One tensor may be computed from another; as aliases they are not, so that nothing is counted twice.
    whole = {value: known[value].view_as(known[value]) for value in program.whole}
    stepped = {value: known[value].view_as(known[value]) for value in program.stepped}
    state = [each.view_as(each) for each in states]
    primals = [*whole.values(), *stepped.values(), *state]
    rows: list[list[Tensor]] = []
    for t in reversed(range(time)) if call.reverse else range(time):
        old = state
        if call.resets is not None and call.reset_states is not None:
            flags = call.resets[t].unsqueeze(-1)
            state = [torch.where(flags, new, each) for new, each in zip(call.reset_states, state, strict=True)]
        known = {**whole, **{value: each[t * batch : (t + 1) * batch] for value, each in stepped.items()}}
        known |= zip(program.inference.states, state, strict=True)
        evaluate(program.parts.core, known, len(state[0]), bf16=call.bf16)
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
    results, given = [y for y, _ in pairs], [g for _, g in pairs]
    found = iter(torch.autograd.grad(results, wanted, given, create_graph=derive_again, allow_unused=True))
    return [next(found) if each.requires_grad else None for each in primals]


def _is_batched(gradient: Tensor | None) -> bool:
    """Whether it stands for many gradients: ``is_grads_batched=True``, or ``vmap`` around a backward pass."""
    wrapped, batched = torch._C._functorch.is_functorch_wrapped_tensor, torch._C._functorch.is_legacy_batchedtensor
    return gradient is not None and (wrapped(gradient) or batched(gradient))


def _readable(tensor: Tensor, like: Tensor) -> Tensor:
    """As the loop reads it: in its own kind of number, counts too, and with nothing left to do while reading."""
    return (tensor if tensor.dtype == torch.bool else tensor.to(like.dtype)).resolve_neg()


def _readable_rows(tensor: Tensor, like: Tensor, time: int) -> Tensor:
    """As the loop reads a per-step input (T * B, N): its rows may lie apart."""
    tensor = (tensor if tensor.dtype == torch.bool else tensor.to(like.dtype)).resolve_neg()
    together = tensor.dim() == 2 and (tensor.shape[1] == 1 or tensor.stride(1) == 1)
    return (tensor if together else tensor.contiguous()).unflatten(0, (time, len(like)))


def _idle(time: int, lengths: Tensor) -> Tensor:
    """(T, B): whether a row has ended before a step."""
    return torch.arange(time, device=lengths.device).unsqueeze(1) >= lengths
