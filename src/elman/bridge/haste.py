"""Weights to and from Haste (github.com/lmnt-com/haste): LSTM, GRU and IndRNN of its PyTorch package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..cells.gru import GRU
from ..cells.indrnn import IndRNN
from ..cells.lstm import LSTM
from ..errors import UserError
from ..layers import Recurrent
from .foreign import Foreign, Slot, cells_of, refuse_options, stack
from .layout import Layout, Stored, layout_fitting, layout_of, read, write
from .torch_nn import as_ours

LAYOUTS = (
    Layout(
        "Haste LSTM",
        LSTM,
        (
            Stored("kernel", ("W",), "igfo"),
            Stored("recurrent_kernel", ("U",), "igfo"),
            Stored("bias", ("b",), "igfo"),
        ),
    ),
    Layout(
        "Haste GRU",
        GRU,
        (
            Stored("kernel", ("W",), "zrn"),
            Stored("recurrent_kernel", ("U",), "zrn"),
            Stored("bias", ("b_ih",), "zrn"),
            Stored("recurrent_bias", ("b_hh",), "zrn"),
        ),
    ),
    Layout(
        "Haste IndRNN",
        IndRNN,
        (
            Stored("kernel", ("W",), "h"),
            Stored("recurrent_scale", ("weight_hh",)),
            Stored("bias", ("b",), "h"),
        ),
    ),
)
_OPTIONS = {LSTM: {"activation": "tanh"}, GRU: {"activation": "tanh"}, IndRNN: {"nonlinearity": "tanh"}}
_NEUTRAL = {"zoneout": 0.0, "dropout": 0.0}


def from_haste(source: Any) -> Cell | Recurrent:
    """Our cell or layer with the weights of Haste's.

    Args:
        source: an ``LSTM``, ``GRU`` or ``IndRNN`` of ``haste_pytorch``, or a list of them, which become a
            ``Recurrent``; or the arrays of one by name, whose names say which it is: they become a ``Cell``.

    Haste's forget bias stands in ``bias``: nothing is added when it runs.

    Raises ``UserError`` for other modules, for zoneout and for dropout of weights, and for arrays that do not fit.

    >>> import numpy as np
    >>> from_haste({"kernel": np.ones((3, 8)), "recurrent_kernel": np.ones((2, 8)), "bias": np.zeros(8)}).hidden_size
    2
    """
    if isinstance(source, Mapping):
        layout = layout_fitting(LAYOUTS, source)
        return read(layout, source, **_OPTIONS.get(layout.cell, {}))
    return _foreign(source).build()


def to_haste(source: Cell | Recurrent | nn.Module, target: Any = None) -> Any:
    """The weights of our cell or layer, put into ``target``, which is returned; or without it by name.

    Args:
        source: a ``Cell``, a ``Recurrent`` of one direction, or a recurrent module of ``torch.nn``.
        target: an ``LSTM``, ``GRU`` or ``IndRNN`` of ``haste_pytorch``, or a list of them. Without it the result is a
            dict of the arrays, for a stack a list of dicts.

    Raises ``UserError`` where the two do not fit; the target is then as it was.

    >>> import elman
    >>> {name: tuple(array.shape) for name, array in to_haste(elman.cells.LSTM(3, 4)).items()}
    {'kernel': (3, 16), 'recurrent_kernel': (4, 16), 'bias': (16,)}
    """
    ours = as_ours(source)
    if target is not None:
        _foreign(target).fill(ours)
        return target
    cells = cells_of(ours)
    if any(len(layer) == 2 for layer in cells):
        raise UserError("Haste has no layer of both directions; convert the cells of each direction by themselves")
    arrays = [write(layout_of(LAYOUTS, cell, "Haste"), cell) for (cell,) in cells]
    return arrays[0] if isinstance(ours, Cell) else arrays


def _foreign(layer: Any) -> Foreign:
    if isinstance(layer, list | tuple):
        return stack([_foreign(each) for each in layer], "Haste layers")
    cls = type(layer)
    layouts = {layout.name: layout for layout in LAYOUTS}
    layout = layouts.get(f"Haste {cls.__name__}")
    if layout is None or not cls.__module__.startswith("haste_pytorch"):
        raise UserError(f"got a {cls.__module__}.{cls.__name__}; expected haste_pytorch's LSTM, GRU or IndRNN")
    instead = "to take the weights alone, give its arrays: from_haste(layer.state_dict())"
    refuse_options(layout.name, layer, _NEUTRAL, instead)
    parameters = {name: getattr(layer, name) for name in layout.names}

    def assign(arrays: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, array in arrays.items():
                parameters[name].copy_(array)

    return Foreign([(Slot(layout, parameters, assign, _OPTIONS.get(layout.cell, {})),)], batch_first=layer.batch_first)
