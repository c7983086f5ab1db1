"""The weights of one cell as another framework stores them: a table, read and written by the same code for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cell import Cell, find_cell
from ..cells.gru import GRU
from ..errors import UserError, nearest

Arrays = Mapping[str, Any]
"""Arrays by name: NumPy's, JAX's or PyTorch's."""

_BIASES = ("b_ih", "b_hh", "b")
# The reset gate of GRU multiplies U h + b_hh: there b_hh is no part of the sum b_ih + b_hh.
_BIAS_APART: dict[type[Cell], tuple[str, ...]] = {GRU: ("n",)}


class Sizes(NamedTuple):
    """Features of the input, of the cell, and of its output where that is a projection."""

    inputs: int
    units: int
    outputs: int


@dataclass(frozen=True)
class Stored:
    """One array of a foreign cell.

    ``holds`` names what stands in it, one below the other along the first axis:

    - "W", the weights of the input (I rows), and "U", those of the state (H rows);
    - "b_ih" and "b_hh", the two biases, and "b", their sum: one row each, and a single one is a vector;
    - "R", the projection of the output (H rows), or a vector of our cell by its own name: both without gates.

    ``gates`` are our names of the gates, in the order in which their columns stand side by side.
    """

    name: str
    holds: tuple[str, ...]
    gates: str = ""

    @property
    def is_bias(self) -> bool:
        return self.holds[0] in _BIASES

    def rows(self, sizes: Sizes) -> list[int]:
        """How many rows each of ``holds`` has."""
        return [{"W": sizes.inputs, "U": sizes.outputs}.get(part, 1) for part in self.holds]

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """The array's shape, gates along the last axis."""
        if not self.gates:
            return (sizes.units, sizes.outputs) if self.holds == ("R",) else (sizes.units,)
        rows, columns = sum(self.rows(sizes)), len(self.gates) * sizes.units
        return (columns,) if self.is_bias and rows == 1 else (rows, columns)


@dataclass(frozen=True)
class Layout:
    """How a framework stores one cell.

    Args:
        name: the foreign cell, as messages call it.
        cell: our cell with the same equation.
        arrays: its arrays, in the framework's own order.
        gates_first: gates and units run along the first axis of a matrix, as PyTorch's, and not along the last.
        bias_optional: the foreign cell can be without biases.
        options: options without which our cell is not this one.
    """

    name: str
    cell: type[Cell]
    arrays: tuple[Stored, ...]
    gates_first: bool = False
    bias_optional: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stored.name for stored in self.arrays)

    @property
    def parts(self) -> set[str]:
        return {part for stored in self.arrays for part in stored.holds}

    def without_bias(self) -> Layout:
        return replace(self, arrays=tuple(stored for stored in self.arrays if not stored.is_bias))

    def of(self, names: Iterable[str]) -> Layout:
        """This layout, or the one without biases, whichever has just these names; raises ``UserError`` if neither."""
        given = set(names)
        bare = self.without_bias()
        if self.bias_optional and given == set(bare.names):
            return bare
        for name in self.names:
            if name not in given:
                raise UserError(f"{self.name}: no array {name!r}; got {', '.join(sorted(given)) or 'none'}")
        for name in sorted(given - set(self.names)):
            raise UserError(f"{self.name} has no array {name!r}; {nearest(name, self.names)}")
        return self

    def turned(self, tensor: Tensor) -> Tensor:
        """From the framework's axes to gates along the last one, and back, which is the same turn."""
        return tensor.t() if self.gates_first and tensor.dim() == 2 else tensor


def layout_named(layouts: Iterable[Layout], cell: str | type[Cell], framework: str) -> Layout:
    """The framework's first layout of a cell, given by name or class; raises ``UserError`` where it has none."""
    cls = find_cell(cell) if isinstance(cell, str) else cell
    known = list(layouts)
    for layout in known:
        if layout.cell is cls:
            return layout
    have = ", ".join(dict.fromkeys(layout.cell.__name__ for layout in known))
    raise UserError(f"{framework} has no counterpart of {cls.__name__}; weights can be exchanged for {have}")


def layout_fitting(layouts: Iterable[Layout], names: Iterable[str]) -> Layout:
    """The layout with just these names of arrays, or the closest: what ``read`` says of it is the most to the point."""
    given = set(names)
    return min(layouts, key=lambda layout: len(given ^ set(layout.names)))


def layout_of(layouts: Iterable[Layout], cell: Any, framework: str) -> Layout:
    """The framework's layout of a cell that is there; raises ``UserError`` where it has none."""
    known = list(layouts)
    layout = layout_named(known, type(cell), framework)
    layout = next((each for each in known if each.cell is type(cell) and not _unlike(each, cell)), layout)
    return layout if cell.bias or not layout.bias_optional else layout.without_bias()


def read(layout: Layout, arrays: Arrays, **options: Any) -> Cell:
    """Our cell with the weights of foreign arrays; a bias that the framework keeps as one becomes (b, 0).

    Raises ``UserError`` naming the array that is missing, unknown, of another shape than expected, or no floats.

    >>> from elman.cells import RNN
    >>> layout = Layout("Another RNN", RNN, (Stored("w", ("W", "U"), "h"), Stored("b", ("b",), "h")))
    >>> cell = read(layout, {"w": np.array([[1.0], [2.0]]), "b": np.array([3.0])})
    >>> [parameter.item() for parameter in cell.parameters()]
    [1.0, 2.0, 3.0, 0.0]
    """
    layout = layout.of(arrays)
    tensors = {name: _as_tensor(f"{layout.name}: {name}", arrays[name]) for name in layout.names}
    sizes = _sizes(layout, tensors)
    found: dict[tuple[str, str], Tensor] = {}
    for stored in layout.arrays:
        tensor = layout.turned(tensors[stored.name])
        if not stored.gates:
            found[stored.holds[0], ""] = tensor
            continue
        blocks = tensor.reshape(-1, tensor.shape[-1]).split(stored.rows(sizes))
        for part, block in zip(stored.holds, blocks, strict=True):
            for gate, columns in zip(stored.gates, block.chunk(len(stored.gates), -1), strict=True):
                found[part, gate] = columns
    known: dict[str, Any] = {**layout.options, **_checked(layout.cell, options)}
    if "R" in layout.parts:
        known["projection_size"] = sizes.outputs
    cell = layout.cell(
        sizes.inputs,
        sizes.units,
        bias=any(stored.is_bias for stored in layout.arrays),
        device=next(iter(tensors.values())).device,
        dtype=reduce(torch.promote_types, (tensor.dtype for tensor in tensors.values())),
        **known,
    )
    places = _places(cell)
    if odd := {part for part, _ in places.keys() ^ found.keys() if part not in _BIASES}:
        raise UserError(f"{layout.name} and our {cell} differ in {', '.join(sorted(odd))}; leave out the options")
    with torch.no_grad():
        for (part, _), place in places.items():
            if part in _BIASES:
                place.zero_()
        for (part, gate), tensor in found.items():
            place = places["b_ih" if part == "b" else part, gate]
            place.copy_(tensor.t() if place.dim() == 2 else tensor.reshape(-1))
    return cell


def write(layout: Layout, cell: Cell) -> dict[str, Tensor]:
    """The arrays that a framework stores for our cell, new tensors by name.

    Raises ``UserError`` for another kind of cell, and where something of it has no place in the layout.
    """
    if type(cell) is not layout.cell:
        raise UserError(f"{layout.name} holds the weights of a {layout.cell.__name__}, got a {type(cell).__name__}")
    if unlike := _unlike(layout, cell):
        raise UserError(f"{layout.name} is {type(cell).__name__}({unlike}), got {cell}")
    places = _places(cell)
    stored_parts = {(part, gate) for stored in layout.arrays for part in stored.holds for gate in stored.gates or ("",)}
    for (part, gate), place in places.items():
        in_sum = ("b", gate) in stored_parts and part in _summed(layout.cell, gate)
        if (part, gate) in stored_parts or in_sum:
            continue
        if part not in _BIASES:
            raise UserError(f"{layout.name} has no place for {part}")
        if place.any():
            name = part.replace("b_", "bias_")
            raise UserError(
                f"{layout.name} has no place for {name} of gate {gate!r}, which is not zero; set it to zero"
            )
    sizes = Sizes(cell.input_size, cell.hidden_size, cell.output_size)
    written = {}
    for stored in layout.arrays:
        gates = stored.gates or ("",)
        rows = [torch.cat([_columns(places, part, gate, layout.cell) for gate in gates], -1) for part in stored.holds]
        written[stored.name] = layout.turned(torch.cat(rows).reshape(stored.shape(sizes))).contiguous()
    return written


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The tensor as a NumPy array; bfloat16, which NumPy does not know, as float32."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()


def _places(cell: Cell) -> dict[tuple[str, str], Tensor]:
    """Views of a cell's parameters by part and gate: "W" (H, I), "U" (H, P), "b_ih", "b_hh" (H,); the others whole."""
    parts = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    places: dict[tuple[str, str], Tensor] = {}
    for name, parameter in cell.named_parameters():
        whole = parameter.detach()
        if name in parts and (whole.dim() == 2 or name.startswith("bias")):
            for gate, rows in zip(cell.gates, whole.chunk(len(cell.gates)), strict=True):
                places[parts[name], gate] = rows
        else:
            places[{"weight_hr": "R"}.get(name, name), ""] = whole
    return places


def _columns(places: dict[tuple[str, str], Tensor], part: str, gate: str, cell: type[Cell]) -> Tensor:
    """One part of one gate as a framework has it, (rows, H); zeros for a bias that our cell is without."""
    if part in _BIASES:
        zero = places["W", gate].new_zeros(1, len(places["W", gate]))
        parts = _summed(cell, gate) if part == "b" else (part,)
        return sum((places.get((each, gate), zero) for each in parts), zero)
    place = places[part, gate]
    return place.t() if place.dim() == 2 else place[None]


def _summed(cell: type[Cell], gate: str) -> tuple[str, ...]:
    """The biases of a gate that act as one sum."""
    return ("b_ih",) if gate in _BIAS_APART.get(cell, ()) else ("b_ih", "b_hh")


def _unlike(layout: Layout, cell: Cell) -> str:
    """The options of the layout that the cell does not have, in words; empty where it has all."""
    return ", ".join(f"{name}={value!r}" for name, value in layout.options.items() if getattr(cell, name) != value)


def _sizes(layout: Layout, tensors: dict[str, Tensor]) -> Sizes:
    """The sizes that the matrices have; raises ``UserError`` for the first array whose shape they contradict."""
    for stored in layout.arrays:
        tensor = tensors[stored.name]
        if {"W", "U", "R"} & {*stored.holds} and tensor.dim() != 2:
            raise UserError(f"{layout.name}: {stored.name} has shape {tuple(tensor.shape)}; expected a matrix")
    first = {part: stored for stored in reversed(layout.arrays) for part in stored.holds}
    rows, columns = layout.turned(tensors[first["W"].name]).shape
    units = columns // len(first["W"].gates)
    outputs = layout.turned(tensors[first["R"].name]).shape[1] if "R" in first else units
    sizes = Sizes(rows - outputs * ("U" in first["W"].holds), units, outputs)
    for stored in layout.arrays:
        shape = stored.shape(sizes)
        expected = shape[::-1] if layout.gates_first and len(shape) == 2 else shape
        got = tuple(tensors[stored.name].shape)
        if min(sizes) < 1:
            raise UserError(f"{layout.name}: {stored.name} has shape {got}, which is too small for any cell")
        if got != expected:
            gates = f", gates {', '.join(stored.gates)}" if len(stored.gates) > 1 else ""
            raise UserError(
                f"{layout.name}: {stored.name} has shape {got}; expected {expected} for {sizes.inputs} inputs "
                f"and {sizes.units} units{gates}"
            )
    return sizes


def _checked(cell: type[Cell], options: dict[str, Any]) -> dict[str, Any]:
    """The options, all of them such as the cell has and arrays do not say."""
    valid = [name for name in cell.option_names() if name not in ("bias", "device", "dtype", "projection_size")]
    for name in options:
        if name not in valid:
            raise UserError(f"{cell.__name__} has no option {name!r} to be given here; {nearest(name, valid)}")
    return options


def _as_tensor(what: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if not value.is_floating_point():
            raise UserError(f"{what} holds {value.dtype}; expected floats")
        return value.detach()
    array = np.array(value)  # a copy: JAX hands out memory that must not be written
    if array.dtype.name == "bfloat16":  # of a package of its own, unknown to PyTorch
        return torch.from_numpy(array.astype(np.float32)).bfloat16()
    if array.dtype.name not in ("float16", "float32", "float64"):
        raise UserError(f"{what} holds {array.dtype}; expected floats")
    return torch.from_numpy(array)
