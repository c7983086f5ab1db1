"""In graph: a scan as ``torch.compile`` sees it.

Dynamo traces ``scan`` into ``scan_in_graph``. There the cell is taken apart into plain values, which dynamo knows and
guards on. From these ``_program_of``, which dynamo runs while it traces, puts a like module together and makes its
program. What enters the graph is one call, ``library.call_program``. With ``backend="eager"`` it runs as outside
``torch.compile``; AOTAutograd traces it in turn, so that the products before and after the loop become part of the
graph, and the loop an operator.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from ..errors import UserError
from ..structure import State, leaves
from .dispatch import autocasts_to_bf16
from .library import call_program, register
from .prepare import _HOOKS, _OF_EVERY_MODULE, prepare
from .trace import Refused

_PLAIN = (
    bool,
    int,
    float,
    str,
    type(None),
    type,
    torch.dtype,
    torch.device,
    types.FunctionType,
    types.BuiltinFunctionType,
)
_is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)


def scan_in_graph(
    backend: str,
    cell: Callable[..., Any],
    inputs: Sequence[Tensor],
    state: State,
    is_tuple: bool,
    all_states: bool,
    reverse: bool,
    lengths: Tensor | None,
    resets: Tensor | None,
    reset_state: State,
) -> tuple[list[Tensor], list[Tensor]] | None:
    """``operator.scan_compiled`` for dynamo to trace; ``None`` where the eager loop runs.

    Raises ``UserError`` with the reason where backend "cpu" was asked for by name and cannot run.
    """
    if backend == "eager":
        return None
    parameters: list[Tensor] = []
    buffers: list[Tensor] = []
    name, reason = "", _obstacle(reset_state, state)
    if not reason:
        reason, parts = _taken_apart(cell, parameters, buffers)
        if not reason:
            kinds = (_kinds(parameters, 0), _kinds(buffers, 0), _kinds(inputs, 2), _kinds(leaves(state), 1))
            name, reason = _program_of(parts, kinds, _outline(state), is_tuple, all_states)
    if reason:
        if backend == "cpu":
            raise UserError(f"backend 'cpu' cannot run this scan: {reason}; use 'auto' or 'eager'")
        return None
    again = [] if resets is None else leaves(reset_state)
    # Like autocast, which leaves float64 alone.
    options = reverse, lengths, resets, again, autocasts_to_bf16() and leaves(state)[0].dtype == torch.float32
    made = call_program(name, [*parameters, *buffers], list(inputs), leaves(state), *options)
    count = len(made) - len(leaves(state))
    return list(made[:count]), list(made[count:])


def _obstacle(reset_state: State, state: State) -> str:
    if torch.is_autocast_enabled("cpu") and not autocasts_to_bf16():
        return "autocast to another dtype than bfloat16 is on"
    if any(leaf.requires_grad for leaf in leaves(reset_state)):
        return "the state that rows are reset to wants a gradient"
    if any(a.dtype != b.dtype for a, b in zip(leaves(reset_state), leaves(state), strict=False)):
        return "the state that rows are reset to is of another dtype"
    return ""


def _taken_apart(module: Any, parameters: list[Tensor], buffers: list[Tensor]) -> tuple[str, Any]:
    """``("", the module as plain values)``, its tensors added to the two lists; or ``(why not, None)``."""
    if not isinstance(module, nn.Module):
        return "a plain function: what it refers to may change from call to call; make it a torch.nn.Module", None
    kind = type(module)
    if any(len(getattr(module, hooks)) for hooks in _HOOKS):
        return f"{kind.__name__} has hooks, which run in Python at every step", None
    attributes = [(name, value) for name, value in vars(module).items() if name not in _OF_EVERY_MODULE]
    for name, value in attributes:
        if not _is_plain(value):
            return f"{kind.__name__}.{name} is an object, and torch.compile cannot see whether it changes", None
    parameters += [each for each in module._parameters.values() if each is not None]
    buffers += [each for each in module._buffers.values() if each is not None]
    children = []
    for name, child in module._modules.items():
        reason, parts = ("", None) if child is None else _taken_apart(child, parameters, buffers)
        if reason:
            return reason, None
        children.append((name, parts))
    plain = [(name, _fixed(value)) for name, value in attributes]
    names = [[(name, each is None) for name, each in group.items()] for group in (module._parameters, module._buffers)]
    return "", (kind, module.training, plain, *names, children)


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return all(_is_plain(each) for each in value)
    return isinstance(value, _PLAIN)


def _fixed(value: Any) -> Any:
    """The value with its numbers inside slices: to dynamo a number may be a symbol, what a slice holds never is."""
    if type(value) in (tuple, list):
        return [type(value), *[_fixed(each) for each in value]]
    return slice(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _released(value: Any) -> Any:
    if isinstance(value, list):
        return value[0](_released(each) for each in value[1:])
    return value.stop if isinstance(value, slice) else value


def _put_together(parts: Any, parameters: Iterator[Tensor], buffers: Iterator[Tensor]) -> nn.Module:
    """A module like the one that was taken apart, with these tensors."""
    kind, training, attributes, names, buffer_names, children = parts
    module: nn.Module = object.__new__(kind)
    nn.Module.__init__(module)
    vars(module).update({name: _released(value) for name, value in attributes})
    module.training = training
    for name, missing in names:
        module._parameters[name] = None if missing else nn.Parameter(next(parameters), requires_grad=False)
    for name, missing in buffer_names:
        module._buffers[name] = None if missing else next(buffers)
    for name, child in children:
        module._modules[name] = None if child is None else _put_together(child, parameters, buffers)
    return module


def _outline(state: State) -> Any:
    """The structure of a state as plain values; ``True`` stands for a tensor."""
    if isinstance(state, dict):
        return type(state), list(state), [_outline(member) for member in state.values()]
    if isinstance(state, tuple | list):
        return type(state), None, [_outline(member) for member in state]
    return None if state is None else True


def _filled(outline: Any, tensors: Iterator[Tensor]) -> State:
    """A state of that structure with these leaves."""
    if not isinstance(outline, tuple):
        return next(tensors) if outline else None
    kind, keys, members = outline
    made = [_filled(member, tensors) for member in members]
    if keys is not None:
        return kind(zip(keys, made, strict=True))
    return kind(*made) if hasattr(kind, "_fields") else kind(made)


def _kinds(tensors: Sequence[Tensor], free: int) -> list[Any]:
    """What a program knows of tensors: class, device, dtype and sizes, those of the first ``free`` axes left out."""
    return [
        (type(each), each.device.type, each.dtype, free, [slice(size) for size in each.shape[free:]])
        for each in tensors
    ]


def _example(kind: Any) -> Tensor:
    _, _, dtype, free, sizes = kind
    shape = [1] * free + [size.stop for size in sizes]
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype, device="cpu")
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype, device="cpu")


@torch.compiler.assume_constant_result
def _program_of(
    parts: Any, kinds: tuple[list[Any], ...], outline: Any, is_tuple: bool, all_states: bool
) -> tuple[str, str]:
    """``(name of the program, "")`` of such a module for such tensors, or ``("", why there is none)``.

    ``kinds`` are those of the parameters, buffers, inputs and states.
    """
    if _is_exporting():
        return "", "torch.export is tracing, and another process would not know the program"
    if any(kind[0] not in (Tensor, nn.Parameter) for group in kinds for kind in group):
        return "", "tensors of a class of their own"
    if any(kind[1] != "cpu" for group in kinds for kind in group):
        return "", "tensors that are not on the CPU"
    # While dynamo traces, these two are as they will be when the graph runs.
    if torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0:
        return "", "a transform of torch.func (vmap, grad, jvp) is under way"
    parameters, buffers, inputs, states = ([_example(kind) for kind in group] for group in kinds)
    module = _put_together(parts, iter(parameters), iter(buffers))
    state = _filled(outline, iter(states))
    try:
        prepared = prepare(module, inputs, state, is_tuple=is_tuple, all_states=all_states)
    except Refused as reason:
        return "", str(reason)
    return register(prepared.program), ""
