"""Which steps can be compiled, and their programs, each made once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..structure import State, leaves, rebuild
from .cpu.emit import check
from .operator import Program, make_program
from .steps import read_result
from .trace import Refused

_KEPT = 256
_programs: OrderedDict[Any, Program | Refused] = OrderedDict()
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


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
    if not isinstance(cell, nn.Module):
        raise Refused("a plain function: what it refers to may change from call to call; make it a torch.nn.Module")
    named = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
    parameters = list(named.values())
    tensors = [*parameters, *inputs, *leaves(state)]
    numbers = [each for each in tensors if each.is_floating_point()]
    kinds = {(each.device.type, each.dtype) for each in numbers}
    if len(kinds) != 1:
        raise Refused(
            f"tensors of several kinds: {', '.join(sorted(f'{dtype} on {device}' for device, dtype in kinds))}"
        )
    device, dtype = next(iter(kinds))
    if device != "cpu" or dtype not in (torch.float32, torch.float64):
        raise Refused(f"{dtype} on {device}: backend cpu works in float32 and float64")
    key = (
        _identity(cell),
        tuple((name, tuple(each.shape), each.dtype) for name, each in named.items()),
        tuple((tuple(each.shape[2:]), each.dtype) for each in inputs),
        tuple(tuple(each.shape[1:]) for each in leaves(state)),
        is_tuple,
        all_states,
    )
    if key not in _programs:
        _programs[key] = _made(cell, named, inputs, state, is_tuple, all_states)
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

    try:
        with torch.no_grad():
            examples = [each.detach() for each in named.values()]
            program = make_program(step, examples, [each[0] for each in inputs], leaves(state))
            for plan in (program.inference, program.training, program.backward):
                check(plan)
            return program
    except Refused as reason:
        return reason


def _identity(cell: nn.Module) -> Any:
    """What decides a module's step besides its tensors: classes and plain attributes, or else the object itself."""
    parts: list[Any] = []
    for name, module in cell.named_modules():
        parts += [name, type(module), module.training]
        for attribute, value in vars(module).items():
            if attribute in _OF_EVERY_MODULE:
                continue
            plain = value is None or callable(value) or isinstance(value, bool | int | float | str | torch.dtype)
            # An attribute of another kind may change unseen: such a module has programs of its own.
            parts.append((attribute, value if plain else module))
        if any(getattr(module, hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")):
            raise Refused(f"{type(module).__name__} has hooks, which run in Python at every step")
    return tuple(parts)
