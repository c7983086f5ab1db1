"""Checks of a cell as an object: options, copies, randomness, side effects, memory layout, memory of the past."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..engine import scan
from ..structure import leaves, map_leaves
from .comparing import Case, close, labels_of, loss_of, picked
from .subject import TIME, DoesNotApply, Subject, Wrong


def _options(s: Subject) -> None:
    """The options that the cell tells build an equal cell."""
    cell = s.build()
    if not isinstance(cell, Cell):
        raise DoesNotApply("only an elman.Cell tells its options")
    for name in cell.option_names():
        if name not in ("device", "dtype") and not hasattr(cell, name):
            raise Wrong(
                f"the option {name!r} is not stored; write self.{name} = {name} in __init__, "
                "or checkpoints cannot build the cell again"
            )
    wrong = {name: value for name, value in s.options.items() if cell.options.get(name) != value}
    if wrong:
        raise Wrong(f"built with {wrong}, the cell tells { ({name: cell.options.get(name) for name in wrong}) }")
    again = type(cell)(cell.input_size, cell.hidden_size, **cell.options).to(torch.float64)
    if again.options != cell.options:
        raise Wrong(f"built again with {cell.options}, the cell tells {again.options}")
    again.load_state_dict(cell.state_dict())
    x = s.inputs(cell)
    ours, theirs = (scan(each, x, backend="eager") for each in (again, cell))
    close("built again from its options, with the same weights, the cell gives other results", ours, theirs, 0)


def _copies(s: Subject) -> str:
    """Copies, by state_dict, deepcopy and pickle, compute the same and share no weights; states can be pickled."""
    cell, loaded = s.build(), s.build()
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1)
    loaded.load_state_dict(cell.state_dict())
    others = {"a copy by state_dict": loaded, "a copy by deepcopy": copy.deepcopy(cell)}
    is_found = _is_found(type(cell))
    if is_found:
        others["a pickled copy"] = pickle.loads(pickle.dumps(cell))
    x, start = s.inputs(cell), s.start(cell)
    expected = scan(cell, x, start, backend="eager")
    for what, other in others.items():
        found = scan(other, x, start, backend="eager")
        close(f"{what} gives other results", found, expected, 0)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1)
        again = scan(cell, x, start, backend="eager")
        close(f"{what} shares its weights with the cell", again, expected, 0)
    if not is_found:
        return "pickling was left out: no module has the class by its name, as it stands in a function or on a page"
    unpickled = pickle.loads(pickle.dumps(expected[1]))
    if type(unpickled) is not type(expected[1]):
        raise Wrong(f"a pickled state comes back as {type(unpickled).__name__}")
    close("a pickled state comes back with other numbers", unpickled, expected[1], 0)
    return ""


def _is_found(cls: type) -> bool:
    """Whether pickle finds the class: not within a function."""
    place: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        place = getattr(place, name, None)
    return place is cls


def _randomness(s: Subject) -> None:
    """A seed decides how a cell starts, and a step draws no random numbers."""
    cells = []
    for _ in range(2):
        torch.manual_seed(5)
        cells.append(s.build())
    for (name, ours), theirs in zip(cells[0].named_parameters(), cells[1].parameters(), strict=True):
        if not torch.equal(ours, theirs):
            raise Wrong(f"{name} starts differently though torch.manual_seed was the same")
    x, start = s.inputs(cells[0]), s.start(cells[0])
    before = torch.get_rng_state()
    first, second = (scan(each, x, start, backend="eager") for each in (cells[0], cells[0]))
    if not torch.equal(torch.get_rng_state(), before):
        raise Wrong("a step draws random numbers; draw masks and noise before the loop and hand them in as inputs")
    close("two scans of the same input give other results", first, second, 0)


def _purity(s: Subject) -> None:
    """A step changes nothing: not its inputs, not the state it is given, not the module."""
    cell = s.build()
    x, state = picked(s.inputs(cell, 1), 0), s.reached(cell)
    tensors = dict(zip(labels_of("input", cell, "inputs", x), leaves(x), strict=True))
    tensors |= zip(labels_of("state", cell, "states", state), leaves(state), strict=True)
    tensors |= {f"parameter {name}": each for name, each in cell.named_parameters()}
    tensors |= {f"buffer {name}": each for name, each in cell.named_buffers()}
    before = {name: (each._version, each.detach().clone()) for name, each in tensors.items()}
    attributes = {name: dict(vars(module)) for name, module in cell.named_modules()}
    with torch.no_grad():
        cell(x, state)
    for name, each in tensors.items():
        version, values = before[name]
        if each._version != version or not torch.equal(each, values):
            raise Wrong(f"a step changes {name} in place; make a new tensor: h = 0.5 * h, not h *= 0.5 or h.mul_(0.5)")
    for name, module in cell.named_modules():
        changed = [key for key, value in vars(module).items() if attributes[name].get(key, cell) is not value]
        if changed:
            raise Wrong(
                f"a step sets the attribute {changed[0]} of its module; what one step tells the next belongs in a state"
            )


def _layout(s: Subject) -> None:
    """Inputs and states may lie in memory in any way: every second number of a row, or one row for all."""
    cell = s.build()
    x, state = s.inputs(cell), s.reached(cell)

    def spread(each: Tensor) -> Tensor:
        return torch.stack([each, torch.zeros_like(each)], -1)[..., 0]

    def same_rows(leaf: Tensor) -> Tensor:
        return leaf[:1].expand_as(leaf)

    repeated = map_leaves(same_rows, state)
    for backend in ("eager", "auto"):
        expected = scan(cell, x, state, backend=backend)
        found = scan(cell, map_leaves(spread, x), map_leaves(spread, state), backend=backend)
        close("numbers that lie apart in memory give other results", found, expected)
        expected = scan(cell, x, map_leaves(torch.clone, repeated), backend=backend)
        close("a state expanded from one row gives other results", scan(cell, x, repeated, backend=backend), expected)


def _memory(s: Subject) -> None:
    """The last output has a gradient by the input of every step."""
    cell = s.build()
    case = Case(cell, s.inputs(cell, batch=16), s.start(cell, 16))
    first = leaves(case.x)[0]
    if not first.is_floating_point():
        raise DoesNotApply("the input is no floating point number")
    y, _ = case.results("eager")
    (gradient,) = torch.autograd.grad(loss_of(y[-1]), first, allow_unused=True, materialize_grads=True)
    dead = [t for t in range(TIME) if not gradient[t].any()]
    if dead:
        raise Wrong(
            f"no gradient goes from the output of step {TIME - 1} to the input of step{'s' * (len(dead) > 1)} "
            f"{', '.join(map(str, dead))}; is something detached, or does a state not come back?"
        )


CHECKS = (_options, _copies, _randomness, _purity, _layout, _memory)
