"""Library: the loop and its gradient as operators of ``torch.library``, for graphs that other compilers make.

An operator takes tensors, numbers and text, so the program goes by a name. ``_Loop`` does the work in both directions;
its shapes without the work, for tensors that have no data, are told here.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .cpu.kernel import run_on_cpu
from .loop import _Call, _Loop, _readable, _readable_rows, scan_compiled
from .program import Program
from .trace import Value

_programs: dict[str, Program] = {}


def register(program: Program) -> str:
    """Keeps a program for graphs to call; returns its name, which tells what it computes and is so in any process.

    Inductor keeps graphs on disk, and with them these names.
    """
    parts = program.parts
    graphs = (parts.once, parts.pre, parts.core, parts.post)
    ends = (program.parameters, program.inputs, program.states, program.outputs)
    dtypes = [value.dtype for graph in graphs for value in (*graph.inputs, *graph.values)]
    name = hashlib.sha256("\n".join(map(str, (*graphs, *ends, dtypes))).encode()).hexdigest()[:16]
    _programs[name] = program
    return name


def _program(name: str) -> Program:
    if name not in _programs:
        raise UserError(f"the graph calls the scan {name}, which another process made; compile the model in this one")
    return _programs[name]


@torch.compiler.allow_in_graph
def call_program(
    name: str,
    parameters: list[Tensor],
    inputs: list[Tensor],
    states: list[Tensor],
    reverse: bool,
    lengths: Tensor | None,
    resets: Tensor | None,
    reset_states: list[Tensor],
    bf16: bool,
) -> tuple[Tensor, ...]:
    """A program's scan, its outputs and then the final states; to dynamo one call that it does not look into."""
    traced = torch._C._len_torch_dispatch_stack() > 0
    results, final = scan_compiled(
        _program(name),
        run_on_cpu,
        parameters,
        inputs,
        states,
        reverse=reverse,
        lengths=lengths,
        resets=resets,
        reset_states=None if resets is None else reset_states,
        bf16=bf16,
        loop=functools.partial(_by_operator, name) if traced else None,
    )
    return (*results, *final)


def _by_operator(name: str, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
    """``_Loop.apply`` by way of the operator."""
    options = call.time, call.reverse, call.lengths, call.resets, call.reset_states or [], call.bf16
    made = torch.ops.elman.loop(tensors, call.training, name, *options)
    return tuple(made[: len(call.program.parts.core.outputs)])


class _PureCall(_Call):
    """A run that leaves the tensors it is given as they are, as an operator must."""

    def over(self, places: Any) -> Any:
        return {}


def _pure_call(
    training: bool,
    name: str,
    time: int,
    reverse: bool,
    lengths: Tensor | None,
    resets: Tensor | None,
    reset_states: list[Tensor],
    bf16: bool,
) -> _PureCall:
    again = None if resets is None else reset_states
    return _PureCall(_program(name), run_on_cpu, time, reverse, lengths, resets, again, training, [], bf16)


class _Context:
    """In the place of autograd's: holds what ``_Loop`` keeps between its two passes."""

    saved_tensors: tuple[Tensor, ...] = ()
    call: _Call
    counts: list[int]

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """``None`` stays ``None`` in any case."""


_OPTIONS = "str name, SymInt time, bool reverse, Tensor? lengths, Tensor? resets, Tensor[] reset_states, bool bf16"


def _loop(tensors: list[Tensor], training: bool, *options: Any) -> list[Tensor]:
    """What ``_Loop`` returns and, in training, what it saves beyond ``tensors``: stacks of states, then values."""
    context = _Context()
    with torch.no_grad():
        made = _Loop.forward(context, _pure_call(training, *options), *tensors)
    given = sum(context.counts[:3]) if training else 0  # of sources, states and held tensors
    return _apart([*made, *context.saved_tensors[given:]])


def _like_loop(tensors: list[Tensor], training: bool, name: str, time: int, *_: Any) -> list[Tensor]:
    program = _program(name)
    states = tensors[len(tensors) - len(program.states) :]
    steps = time, states[0].shape[0]
    made = [state.new_empty(state.shape) for state in states]
    made += [_empty(value, steps, states[0]) for value in program.parts.core.outputs[len(states) :]]
    if training:
        kept = [state for state, each in zip(states, program.kept_training, strict=True) if each]
        made += [state.new_empty(time + 1, *state.shape) for state in kept]
        made += [_empty(value, steps, states[0]) for value in program.gradient.saved.values()]
    return made


def _loop_backward(
    states: list[Tensor],
    held: list[Tensor],
    saved: list[Tensor],
    gradients: list[Tensor | None],
    name: str,
    *options: Any,
) -> list[Tensor]:
    """The gradients of ``_Loop``'s tensors, those that there are."""
    program = _program(name)
    like, kept = states[0], sum(program.kept_training)
    context = _Context()
    context.call = _pure_call(True, name, *options)
    context.counts = [0, len(states), len(held), kept, len(saved) - kept]
    readable = [
        _readable(each, like) if value in program.whole else _readable_rows(each, like, context.call.time)
        for value, each in zip(program.held, held, strict=True)
    ]
    context.save_for_backward(*states, *readable, *saved)
    with torch.no_grad():
        _, *found = _Loop.backward(context, *gradients)
    return _apart([each for each in found if each is not None])


def _like_loop_backward(
    states: list[Tensor], held: list[Tensor], saved: list[Tensor], gradients: Any, name: str, time: int, *_: Any
) -> list[Tensor]:
    program = _program(name)
    values = (*program.whole, *program.stepped)
    wanted = [value for value, result in zip(values, program.gradient.results, strict=True) if result is not None]
    rows = (time * states[0].shape[0],)
    return [*(_empty(value, rows, states[0]) for value in wanted), *(state.new_empty(state.shape) for state in states)]


def _empty(value: Value, rows: tuple[int, ...], like: Tensor) -> Tensor:
    """A tensor in the shape of a value, with ``rows`` in the place of the batch where it has one."""
    shape = (*rows, *value.shape[1:]) if value.by_row else value.shape
    return like.new_empty(shape, dtype=torch.bool if value.dtype == torch.bool else like.dtype)


def _apart(made: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, copied where they share memory or begin in the middle of it, as an operator's results may not."""
    seen: set[int] = set()
    results = []
    for each in made:
        place = each.untyped_storage().data_ptr()
        copy = place in seen or each.storage_offset() > 0
        results.append(each.clone(memory_format=torch.contiguous_format) if copy else each.contiguous())
        seen.add(place)
    return results


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    tensors, _, name, time, reverse, lengths, resets, reset_states, bf16 = inputs
    program = _program(name)
    by_value = dict(zip((*program.whole, *program.stepped), tensors, strict=False))
    states = tensors[len(by_value) :]
    held = [by_value[value] for value in program.held]
    saved = output[len(program.parts.core.outputs) :]
    ctx.set_materialize_grads(False)
    ctx.counts = len(states), len(held), len(saved)
    ctx.options = name, time, reverse, bf16
    ctx.save_for_backward(*states, *held, *saved, lengths, resets, *reset_states)


def _derive(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    kept = iter(ctx.saved_tensors)
    states, held, saved = ([next(kept) for _ in range(count)] for count in ctx.counts)
    lengths, resets, *reset_states = kept
    name, time, reverse, bf16 = ctx.options
    program = _program(name)
    given = gradients[: len(program.parts.core.outputs)]
    options = name, time, reverse, lengths, resets, reset_states, bf16
    found = iter(torch.ops.elman.loop_backward(states, held, saved, given, *options))
    whole_and_stepped = [None if result is None else next(found) for result in program.gradient.results]
    return [*whole_and_stepped, *found], None, None, None, None, None, None, [None] * len(reset_states), None


_operator = torch.library.custom_op(
    "elman::loop",
    _loop,
    mutates_args=(),
    schema=f"(Tensor[] tensors, bool training, {_OPTIONS}) -> Tensor[]",
)
_operator.register_fake(_like_loop)
_operator.register_autograd(_derive, setup_context=_save)
torch.library.custom_op(
    "elman::loop_backward",
    _loop_backward,
    mutates_args=(),
    schema=f"(Tensor[] states, Tensor[] held, Tensor[] saved, Tensor?[] gradients, {_OPTIONS}) -> Tensor[]",
).register_fake(_like_loop_backward)
