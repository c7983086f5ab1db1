"""The cell under test: builds it, and makes inputs and states for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..engine import scan
from ..engine.steps import default_state
from ..errors import UserError
from ..structure import State, map_leaves

TIME, BATCH = 7, 3
WIDE = 17  # units that fill no whole number of vectors


class Wrong(Exception):
    """Raised by a check that fails, with what went wrong."""


class DoesNotApply(Exception):
    """Raised by a check that asks for nothing here, with the reason."""


@dataclass(frozen=True)
class Subject:
    """Makes cells, and inputs and states for them, from whatever was given."""

    cell: Any
    input_size: int
    hidden_size: int
    options: dict[str, Any]
    make_inputs: Callable[[int, int], Any] | None
    make_state: Callable[[int], State] | None
    compiled: bool

    @property
    def is_built(self) -> bool:
        return isinstance(self.cell, nn.Module)

    @property
    def is_cell(self) -> bool:
        return isinstance(self.cell, Cell) or (isinstance(self.cell, type) and issubclass(self.cell, Cell))

    def build(self, dtype: torch.dtype = torch.float64, hidden: int | None = None) -> Any:
        """A fresh cell, or a copy of the one that was given."""
        if self.is_built:
            return copy.deepcopy(self.cell).to(dtype)
        place = {"dtype": dtype} if self.is_cell and "dtype" in self.cell.option_names() else {}
        made = self.cell(self.input_size, hidden or self.hidden_size, **self.options, **place)
        if not isinstance(made, nn.Module):
            raise UserError(f"{name_of(self.cell)} made a {type(made).__name__}; a cell is a torch.nn.Module")
        return made.to(dtype)

    def inputs(self, cell: Any, time: int = TIME, batch: int = BATCH) -> Any:
        """A sequence (T, B, ...), or a tuple of such."""
        if self.make_inputs is not None:
            made = self.make_inputs(time, batch)
        elif hasattr(cell, "example_inputs"):
            made = cell.example_inputs(time, batch)
        else:
            made = torch.randn(time, batch, getattr(cell, "input_size", self.input_size))
        return _cast(made, cell)

    def start(self, cell: Any, batch: int = BATCH) -> State:
        """The state that a sequence starts from."""
        return _cast(default_state(cell, batch) if self.make_state is None else self.make_state(batch), cell)

    def reached(self, cell: Any, batch: int = BATCH) -> State:
        """A state that the cell comes to after three steps, rather than any numbers of the right shape.

        Zeros become small numbers: at zero a ReLU has no derivative to compare.
        """
        with torch.no_grad():
            _, state = scan(cell, self.inputs(cell, 3, batch), self.start(cell, batch), backend="eager")

        def moved(leaf: Tensor) -> Tensor:
            return torch.where(leaf == 0, 0.01 * torch.randn_like(leaf), leaf) if leaf.is_floating_point() else leaf

        return map_leaves(moved, state)

    def sizes(self) -> list[int]:
        """The numbers of units to try."""
        return [self.hidden_size] if self.is_built else [*dict.fromkeys((self.hidden_size, 1, 2, 5, 16, WIDE))]


def name_of(cell: Any) -> str:
    """What a report calls whatever was given."""
    if isinstance(cell, str):
        return cell
    return str(getattr(cell, "__name__", None) or type(cell).__name__)


def _cast(tensors: State, cell: Any) -> State:
    """Floating point numbers in the dtype of a cell's parameters."""
    dtype = next((each.dtype for each in cell.parameters()), torch.float64)
    return map_leaves(lambda each: each.to(dtype) if each.is_floating_point() else each, tensors)
