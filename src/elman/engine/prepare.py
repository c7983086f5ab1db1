"""Which steps can be compiled, and their programs, each made once."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..cell import Cell
from ..structure import State, leaves, rebuild
from .cpu.emit import check
from .evaluate import without_autocast
from .program import Program, make_program
from .steps import read_result
from .trace import Refused

_KEPT = 256
# Tracing swaps parts of PyTorch for its own, so one thread at a time.
_tracing = threading.Lock()
_programs: OrderedDict[Any, Program | Refused] = OrderedDict()
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def _renew_lock() -> None:
    """The lock of a forked process: the thread that held it is not there."""
    global _tracing
    _tracing = threading.Lock()


class _Making(threading.local):
    """Whether this thread makes a program."""

    now = False

    def begin(self) -> None:
        self.now = True


_making = _Making()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@dataclass(frozen=True)
class Prepared:
    """A program and the tensors of this very module that it takes as parameters."""

    program: Program
    parameters: list[Tensor]


def prepare(
    cell: Callable[..., Any], inputs: Sequence[Tensor], state: State, *, is_tuple: bool, all_states: bool
) -> Prepared:
    """The program of a module's step for inputs (T, B, ...) and a state; raises ``Refused`` with the reason if none.

    ``all_states`` makes the new states results too, beside the output.
    """
    if _making.now:
        raise Refused("the scan is part of a step that is being traced")
    if not isinstance(cell, nn.Module):
        raise Refused(
            f"a plain function{_place(cell)}: what it refers to may change from call to call; make it a torch.nn.Module"
        )
    # While a thread traces a module, others would find its stand-ins in the parameters' places.
    with _tracing:
        return _prepared(cell, inputs, state, is_tuple, all_states)


def _prepared(cell: nn.Module, inputs: Sequence[Tensor], state: State, is_tuple: bool, all_states: bool) -> Prepared:
    named = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
    parameters = list(named.values())
    tensors = [*parameters, *inputs, *leaves(state)]
    if any(type(each) not in (Tensor, nn.Parameter) or each.layout != torch.strided for each in tensors):
        raise Refused("tensors of a class or layout of their own")
    # Parameters may be of other kinds, numbers beside tensors of float64 perhaps: PyTorch promotes them in the trace.
    numbers = [each for each in (*inputs, *leaves(state)) if each.is_floating_point()]
    kinds = {(each.device.type, each.dtype) for each in numbers}
    devices = {each.device.type for each in tensors}
    if not leaves(state):
        raise Refused("there is no state to carry")
    if len(kinds) != 1:
        raise Refused(
            f"tensors of several kinds: {', '.join(sorted(f'{dtype} on {device}' for device, dtype in kinds))}"
        )
    ((_, dtype),) = kinds
    if devices != {"cpu"} or dtype not in (torch.float32, torch.float64):
        raise Refused(f"{dtype} on {', '.join(sorted(devices))}: backend cpu works in float32 and float64")
    key = (
        _identity(cell),
        tuple((name, tuple(each.shape), each.dtype) for name, each in named.items()),
        tuple((tuple(each.shape[2:]), each.dtype) for each in inputs),
        _nesting(state),
        is_tuple,
        all_states,
        torch.get_default_dtype(),
    )
    if key not in _programs:
        # In a thread of its own, where hooks on saved tensors, autocast or a compiler's tracing are not on.
        with ThreadPoolExecutor(1, initializer=_making.begin) as other_thread:
            made = other_thread.submit(_made, cell, named, inputs, state, is_tuple, all_states)
        _programs[key] = made.result()
        while len(_programs) > _KEPT:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    found = _programs[key]
    if isinstance(found, Refused):
        raise found
    return Prepared(found, parameters)


def _made(
    cell: nn.Module, named: dict[str, Tensor], inputs: Sequence[Tensor], state: State, is_tuple: bool, all_states: bool
) -> Program | Refused:
    count, split = len(named), len(named) + len(inputs)

    def step(*tensors: Tensor) -> list[Tensor]:
        x = tuple(tensors[count:split])
        old = rebuild(state, tensors[split:])
        given = dict(zip(named, tensors[:count], strict=True))
        result = functional_call(cell, given, (x if is_tuple else x[0], old))
        y, new = read_result(cell, result, old)
        return [y, *(leaves(new) if all_states else ()), *leaves(new)]

    before = [(module, dict(vars(module))) for module in cell.modules()]
    begin = time.perf_counter()
    try:
        # Anomaly mode looks for NaN, which a tensor without values cannot have.
        with torch.no_grad(), without_autocast(), torch.autograd.set_detect_anomaly(False):
            examples = [each.detach() for each in named.values()]
            rows = [each.new_empty(each.shape[1:]) for each in inputs]
            names = [*named, *_names(cell, len(inputs), state)]
            program: Program | Refused = make_program(step, examples, rows, leaves(state), names)
            assert isinstance(program, Program)
            for plan in (program.inference, program.training, program.backward):
                check(plan)
    except Refused as reason:
        program = reason
    changed = [f"{type(module).__name__}.{name}" for module, old in before for name in _changes(old, vars(module))]
    for module, attributes in before:
        vars(module).clear()
        vars(module).update(attributes)
    if changed:
        return Refused(f"the step sets attributes of its module: {', '.join(changed)}")
    if isinstance(program, Program):
        program.seconds = time.perf_counter() - begin
    return program


def _nesting(state: State) -> Any:
    """A state's structure, sizes and dtypes, whatever the batch."""
    if isinstance(state, dict):
        return type(state), tuple((name, _nesting(member)) for name, member in state.items())
    if isinstance(state, tuple | list):
        return type(state), tuple(map(_nesting, state))
    return None if state is None else (tuple(state.shape[1:]), state.dtype)


def _names(cell: nn.Module, inputs: int, state: State) -> list[str]:
    """What the per-step inputs and the states are called where a graph is printed."""
    count = len(leaves(state))
    if isinstance(cell, Cell) and (len(cell.inputs), len(cell.states)) == (inputs, count):
        return [*cell.inputs, *cell.states]
    return [*_numbered("x", inputs), *_numbered("state", count)]


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{k}" for k in range(count)]


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The attributes that are not what they were, by name."""
    missing = object()
    return [name for name in {**old, **new} if old.get(name, missing) is not new.get(name, missing)]


def _place(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    return "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"


def _identity(cell: nn.Module) -> Any:
    """What decides a module's step besides its tensors: classes and plain attributes, or else the object itself.

    Raises ``Refused`` for hooks.
    """
    parts: list[Any] = []
    for name, module in cell.named_modules():
        parts += [name, type(module), module.training]
        for attribute, value in vars(module).items():
            if attribute in _OF_EVERY_MODULE:
                continue
            parts.append((attribute, _frozen(value)))
        if any(getattr(module, hooks) for hooks in _HOOKS):
            raise Refused(f"{type(module).__name__} has hooks, which run in Python at every step")
    return tuple(parts)


def _frozen(value: Any, depth: int = 4) -> Any:
    """An attribute as something to compare with later, when the attribute itself may have changed."""
    if isinstance(value, bool | int | float | str):
        return type(value), repr(value)  # 1, 1.0 and True are equal, but not to a step
    if value is None or callable(value) or isinstance(value, torch.dtype | torch.device):
        return value
    if isinstance(value, Tensor) or not depth:
        return type(value), id(value)
    if isinstance(value, tuple | list | set | frozenset):
        return type(value), tuple(_frozen(each, depth - 1) for each in value)
    members = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return type(value), id(value), tuple((name, _frozen(each, depth - 1)) for name, each in members.items())
