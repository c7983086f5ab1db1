"""Layers of other frameworks as slots for cells: built anew as ours, or filled with the weights of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..cell import Cell
from ..errors import UserError
from ..layers import Recurrent
from .layout import Arrays, Layout, read, write


@dataclass(frozen=True)
class Slot:
    """One foreign cell: its layout, its arrays by name, how they are replaced, and its options by our names."""

    layout: Layout
    arrays: Arrays
    assign: Callable[[dict[str, Tensor]], object] = lambda arrays: None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Foreign:
    """A foreign layer: one slot a layer, or a pair (forward, backward).

    Args:
        layers: the slots.
        merge: how the directions' outputs become one, as in ``Recurrent``.
        dropout: probability of dropping between two layers.
        batch_first: the layer takes (B, T, I).
        is_cell: it is one step and not a layer.
    """

    layers: Sequence[tuple[Slot, ...]]
    merge: str = "concat"
    dropout: float = 0.0
    batch_first: bool = False
    is_cell: bool = False

    def build(self) -> Cell | Recurrent:
        """Our cell or layer with the foreign weights; raises ``UserError`` where they do not fit each other."""
        cells = [tuple(read(slot.layout, slot.arrays, **slot.options) for slot in layer) for layer in self.layers]
        if self.is_cell:
            return cells[0][0]
        return Recurrent.from_cells(
            [layer[0] if len(layer) == 1 else (layer[0], layer[1]) for layer in cells],
            merge=self.merge,
            dropout=self.dropout if len(cells) > 1 else 0.0,
            batch_first=self.batch_first,
        )

    def fill(self, source: Cell | Recurrent) -> None:
        """Puts the weights of our cell or layer into the slots, all or, where anything does not fit, none."""
        cells = cells_of(source)
        ours, theirs = [len(layer) for layer in cells], [len(layer) for layer in self.layers]
        if ours != theirs:
            raise UserError(f"the source has {_layers(ours)}, the target {_layers(theirs)}; build them alike")
        merge, dropout = getattr(source, "merge", "concat"), getattr(source, "dropout", 0.0)
        if 2 in ours and merge != self.merge:
            raise UserError(f"the source merges its directions by {merge!r}, the target by {self.merge!r}")
        if len(ours) > 1 and dropout != self.dropout:
            raise UserError(
                f"the source has dropout={dropout} between its layers, the target {self.dropout}; give both the same"
            )
        slots = [slot for layer in self.layers for slot in layer]
        flat = [cell for layer in cells for cell in layer]
        written = [_written(slot, cell) for slot, cell in zip(slots, flat, strict=True)]
        for slot, arrays in zip(slots, written, strict=True):
            slot.assign(arrays)


def stack(parts: Sequence[Foreign], what: str) -> Foreign:
    """Several foreign layers, one after the other, as one; raises ``UserError`` where they are no stack."""
    if not parts or any(part.is_cell for part in parts):
        raise UserError(f"a list of {what} is a stack of layers; got {'cells in it' if parts else 'an empty one'}")
    merges = {part.merge for part in parts if len(part.layers[0]) == 2} or {"concat"}
    if len(merges) > 1:
        raise UserError(f"the layers merge their directions by {' and '.join(sorted(merges))}; one stack has one way")
    if len({part.batch_first for part in parts}) > 1:
        raise UserError("some layers are time first and some batch first; one stack has one way")
    return Foreign(
        [layer for part in parts for layer in part.layers], merge=merges.pop(), batch_first=parts[0].batch_first
    )


def cells_of(source: Cell | Recurrent) -> list[tuple[Cell, ...]]:
    """The cells of our cell or layer, layer by layer; raises ``UserError`` for what no other framework has."""
    if isinstance(source, Cell):
        return [(source,)]
    if not isinstance(source, Recurrent):
        raise UserError(f"got a {type(source).__name__}; expected a Cell, a Recurrent, or a recurrent module of torch")
    if source.start != "zeros":
        raise UserError(f"initial_state={source.start!r} has no counterpart elsewhere; only zeros has")
    return [tuple(layer) for layer in source.layers]  # type: ignore[arg-type]


def refuse_options(what: str, holder: Any, neutral: dict[str, Any], instead: str) -> None:
    """Raises ``UserError`` for the first attribute of ``holder`` that is there and not at its neutral value."""
    for name, value in neutral.items():
        got = getattr(holder, name, value)
        if got is not value and got != value:
            raise UserError(f"{what} has {name}={got!r}, which has no counterpart here; {instead}")


def _written(slot: Slot, cell: Cell) -> dict[str, Tensor]:
    layout = slot.layout.of(slot.arrays)
    arrays = write(layout, cell)
    for name, value in slot.options.items():
        if getattr(cell, name) != value:
            raise UserError(f"{layout.name} has {name}={value!r}, our {type(cell).__name__} {getattr(cell, name)!r}")
    for name, array in arrays.items():
        expected = tuple(slot.arrays[name].shape)
        if tuple(array.shape) != expected:
            raise UserError(
                f"{layout.name}: {name} would get shape {tuple(array.shape)}; expected {expected}; our "
                f"{type(cell).__name__} has {cell.input_size} inputs and {cell.hidden_size} units"
            )
    return arrays


def _layers(directions: list[int]) -> str:
    kinds = ", ".join("both directions" if count == 2 else "one direction" for count in directions)
    return f"{len(directions)} layer{'s' if len(directions) != 1 else ''} ({kinds})"
