"""Weights to and from ``torch.nn``: RNN, LSTM, GRU and their cells, ours in ``elman.nn`` included."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..cells.gru import GRU
from ..cells.lstm import LSTM
from ..cells.projected_lstm import ProjectedLSTM
from ..cells.rnn import RNN
from ..errors import UserError
from ..layers import Recurrent
from .foreign import Foreign, Slot, cells_of
from .layout import Layout, Stored, layout_named, layout_of, write

_NAME = re.compile(r"(?P<array>\w+?)(?:_l(?P<layer>\d+)(?P<reverse>_reverse)?)?")


def _layout(cell: type[Cell], gates: str, *further: Stored, **options: Any) -> Layout:
    arrays = (
        Stored("weight_ih", ("W",), gates),
        Stored("weight_hh", ("U",), gates),
        *further,
        Stored("bias_ih", ("b_ih",), gates),
        Stored("bias_hh", ("b_hh",), gates),
    )
    return Layout(f"torch.nn.{cell.__name__}", cell, arrays, gates_first=True, bias_optional=True, options=options)


LAYOUTS = (
    _layout(RNN, "h"),
    _layout(LSTM, "ifgo"),
    _layout(ProjectedLSTM, "ifgo", Stored("weight_hr", ("R",)), peepholes=False),
    _layout(GRU, "rzn"),
)
_KINDS: dict[type[nn.Module], type[Cell]] = {
    nn.RNN: RNN,
    nn.RNNCell: RNN,
    nn.LSTM: LSTM,
    nn.LSTMCell: LSTM,
    nn.GRU: GRU,
    nn.GRUCell: GRU,
}


def from_torch(
    source: nn.Module | Mapping[str, Tensor], cell: str | type[Cell] | None = None, **options: Any
) -> Cell | Recurrent:
    """Our cell or layer with the weights of a recurrent module of ``torch.nn``, or of its ``state_dict``.

    Args:
        source: an RNN, LSTM or GRU, ``torch.nn``'s or ours, which becomes a ``Recurrent``; one of their cells, which
            becomes a ``Cell``; or a ``state_dict`` of either.
        cell: our cell, "rnn", "lstm", "projectedlstm" or "gru"; only with a ``state_dict``, which does not say it.
        **options: options of the cells, also only with a ``state_dict``.

    An LSTM with ``proj_size`` becomes a ``ProjectedLSTM``.

    Raises ``UserError`` for other modules, and for arrays that do not fit.

    >>> theirs = torch.nn.GRUCell(3, 4)
    >>> x = torch.randn(2, 3)
    >>> y, state = from_torch(theirs)(x)
    >>> torch.allclose(y, theirs(x), atol=1e-6)
    True
    >>> len(from_torch(torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)).layers)
    2
    """
    if isinstance(source, Mapping):
        if cell is None:
            raise UserError('a state_dict does not say its cell; say it, as in from_torch(state_dict, "lstm")')
        return _of_arrays(source, layout_named(LAYOUTS, cell, "torch.nn"), options).build()
    if cell is not None or options:
        raise UserError(f"a {type(source).__name__} says its cell and options itself; give it alone")
    return _foreign(source).build()


def to_torch(source: Cell | Recurrent | nn.Module, target: nn.Module | None = None) -> Any:
    """The weights of our cell or layer, put into ``target``, which is returned; or without it as a ``state_dict``.

    Args:
        source: a ``Cell``, a ``Recurrent``, or a module of ``torch.nn``.
        target: a module of ``torch.nn`` with the same cell, sizes, layers, directions and dropout.

    Raises ``UserError`` where the two do not fit; the target is then as it was.

    >>> import elman
    >>> sorted(to_torch(elman.cells.GRU(3, 4)))
    ['bias_hh', 'bias_ih', 'weight_hh', 'weight_ih']
    >>> to_torch(elman.Recurrent("lstm", 3, 4), torch.nn.LSTM(3, 4))
    LSTM(3, 4)
    """
    ours = as_ours(source)
    if target is not None:
        _foreign(target).fill(ours)
        return target
    cells = cells_of(ours)
    if getattr(ours, "merge", "concat") != "concat" and any(len(layer) == 2 for layer in cells):
        raise UserError(f"merge={ours.merge!r}; torch.nn's layers only concatenate their directions")
    arrays: dict[str, Tensor] = {}
    for depth, layer in enumerate(cells):
        for direction, cell in enumerate(layer):
            suffix = "" if isinstance(ours, Cell) else _suffix(depth, direction)
            written = write(layout_of(LAYOUTS, cell, "torch.nn"), cell)
            arrays |= {f"{name}{suffix}": tensor for name, tensor in written.items()}
    return arrays


def as_ours(source: Any) -> Cell | Recurrent:
    """A cell or layer of ours as it is; a module of ``torch.nn`` turned into one."""
    return from_torch(source) if isinstance(source, nn.RNNBase | nn.RNNCellBase) else source


def _foreign(module: nn.Module) -> Foreign:
    cell = next((cell for kind, cell in _KINDS.items() if isinstance(module, kind)), None)
    owner = type(module).__module__.partition(".")[0]
    if cell is None or owner not in ("torch", "elman"):  # a user's subclass may compute anything
        raise UserError(
            f"got a {type(module).__module__}.{type(module).__name__}; expected an RNN, LSTM or GRU of torch.nn or "
            "elman.nn, one of their cells, or a state_dict"
        )
    options: dict[str, Any] = {
        RNN: {"nonlinearity": getattr(module, "nonlinearity", "")},
        LSTM: {"activation": "tanh"},
        GRU: {"activation": "tanh"},
    }.get(cell, {})
    if getattr(module, "proj_size", 0):
        cell, options = ProjectedLSTM, {"cell_clip": None, "projection_clip": None}
    layout = layout_named(LAYOUTS, cell, "torch.nn")
    if isinstance(module, nn.RNNBase):
        return _of_arrays(
            dict(module.named_parameters()), layout, options, dropout=module.dropout, batch_first=module.batch_first
        )
    return _of_arrays(dict(module.named_parameters()), layout, options)


def _of_arrays(arrays: Mapping[str, Tensor], layout: Layout, options: dict[str, Any], **layer_options: Any) -> Foreign:
    """The slots of a ``state_dict``: its names say layer and direction, or that it is a cell where they say neither."""
    groups: dict[tuple[int, int], dict[str, Tensor]] = {}
    is_cell = False
    for name, tensor in arrays.items():
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise UserError(f"{layout.name} has no array {name!r}")
        is_cell = parts["layer"] is None
        groups.setdefault((int(parts["layer"] or 0), int(bool(parts["reverse"]))), {})[parts["array"]] = tensor
    if not groups:
        raise UserError(f"{layout.name}: got no arrays; expected {', '.join(layout.names)}")
    depth, directions = (1 + max(place[k] for place in groups) for k in range(2))
    layers = []
    for layer, direction in product(range(depth), range(directions)):
        group = groups.get((layer, direction))
        if group is None:
            raise UserError(f"{layout.name}: no arrays that end in {_suffix(layer, direction)!r}")
        layers.append(Slot(layout, group, partial(_copy, group), options))
    pairs = [tuple(layers[k : k + directions]) for k in range(0, len(layers), directions)]
    return Foreign(pairs, is_cell=is_cell, **layer_options)


def _copy(old: Mapping[str, Tensor], new: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in new.items():
            old[name].copy_(tensor)


def _suffix(layer: int, direction: int) -> str:
    return f"_l{layer}{'_reverse' if direction else ''}"
