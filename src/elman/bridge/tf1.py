"""Weights to and from checkpoints of TensorFlow 1: BasicRNNCell, BasicLSTMCell, LSTMCell and GRUCell."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cell import Cell
from ..cells.gru_reset_before import GRUResetBefore
from ..cells.lstm import LSTM
from ..cells.peephole_lstm import PeepholeLSTM
from ..cells.projected_lstm import ProjectedLSTM
from ..cells.rnn import RNN
from ..errors import UserError
from ..layers import Recurrent
from .foreign import Foreign, Slot, cells_of
from .layout import Layout, Stored, layout_fitting, layout_named, layout_of, to_numpy, write
from .torch_nn import as_ours

_LSTM = (Stored("kernel", ("W", "U"), "igfo"), Stored("bias", ("b",), "igfo"))
_PEEPHOLES = tuple(Stored(f"w_{gate}_diag", (f"weight_c{gate}",)) for gate in "ifo")
_PROJECTION = Stored("projection/kernel", ("R",))
LAYOUTS = (
    Layout("TF1 BasicRNNCell", RNN, (Stored("kernel", ("W", "U"), "h"), Stored("bias", ("b",), "h"))),
    Layout("TF1 BasicLSTMCell", LSTM, _LSTM),
    Layout("TF1 LSTMCell(use_peepholes=True)", PeepholeLSTM, (*_LSTM, *_PEEPHOLES)),
    Layout("TF1 LSTMCell(num_proj=P)", ProjectedLSTM, (*_LSTM, _PROJECTION), options={"peepholes": False}),
    Layout(
        "TF1 LSTMCell(use_peepholes=True, num_proj=P)",
        ProjectedLSTM,
        (*_LSTM, *_PEEPHOLES, _PROJECTION),
        options={"peepholes": True},
    ),
    Layout(
        "TF1 GRUCell",
        GRUResetBefore,
        (
            Stored("gates/kernel", ("W", "U"), "rz"),
            Stored("gates/bias", ("b",), "rz"),
            Stored("candidate/kernel", ("W", "U"), "n"),
            Stored("candidate/bias", ("b",), "n"),
        ),
    ),
)
# The scopes that TF1's cells give their variables.
_SCOPES: dict[str, tuple[type[Cell], ...]] = {
    "basic_rnn_cell": (RNN,),
    "basic_lstm_cell": (LSTM,),
    "lstm_cell": (LSTM, PeepholeLSTM, ProjectedLSTM),
    "gru_cell": (GRUResetBefore,),
}
_ARRAY = re.compile(rf"(?P<scope>(?:.*?/)??)(?P<array>{'|'.join({n for each in LAYOUTS for n in each.names})})(?::0)?")
_FORGET_BIAS = 1.0


def from_tf1(
    variables: Mapping[str, Any],
    cell: str | type[Cell] | None = None,
    *,
    forget_bias: float | None = None,
    **options: Any,
) -> Cell | Recurrent:
    """Our cell or layer with the weights of a TensorFlow 1 checkpoint.

    Args:
        variables: arrays by the names of their variables, with or without scopes, those of the recurrent cells alone.
            One cell becomes a ``Cell``; the cells of a ``MultiRNNCell`` (``cell_0``, ``cell_1``, ...) or of a
            bidirectional layer (``fw``, ``bw``) become a ``Recurrent``.
        cell: our cell, "rnn", "lstm", "peepholelstm", "projectedlstm" or "gruresetbefore", which is TF1's ``GRUCell``.
            Needed where neither scopes nor names say it.
        forget_bias: the argument of the LSTM cells that TF1 adds whenever they run and no checkpoint holds: it is added
            to the bias of gate f. Default 1.0, as in TF1.
        **options: options of the cells, such as ``activation`` and clips, which no checkpoint holds either.

    Raises ``UserError`` naming the variable that is missing, unknown or of a wrong shape.

    >>> lstm = from_tf1({"rnn/basic_lstm_cell/kernel": np.ones((5, 8)), "rnn/basic_lstm_cell/bias": np.zeros(8)})
    >>> lstm.input_size, lstm.bias_ih[2:4]  # gate f
    (3, tensor([1., 1.], dtype=torch.float64, grad_fn=<SliceBackward0>))
    """
    groups: dict[tuple[int, int], dict[str, Any]] = {}
    kinds: dict[tuple[int, int], tuple[type[Cell], ...]] = {}
    for name, value in variables.items():
        found = _ARRAY.fullmatch(name)
        if found is None:
            arrays = ", ".join(dict.fromkeys(n for layout in LAYOUTS for n in layout.names))
            raise UserError(
                f"TF1: {name!r} is no variable of a recurrent cell, whose names end in {arrays}; leave out other "
                "layers and what an optimiser keeps"
            )
        folders = found["scope"].split("/")
        place = _place(name, folders)
        group = groups.setdefault(place, {})
        if found["array"] in group:
            raise UserError(f"TF1: {name!r} is the second {found['array']} of its cell; give one layer or stack")
        group[found["array"]] = value
        kinds.update((place, _SCOPES[folder]) for folder in folders if folder in _SCOPES)
    if not groups:
        raise UserError("TF1: got no variables")
    named = None if cell is None else (layout_named(LAYOUTS, cell, "TF1").cell,)
    depth, directions = (1 + max(place[k] for place in groups) for k in range(2))
    layers = []
    for layer in range(depth):
        slots = []
        for direction in range(directions):
            place = layer, direction
            if place not in groups:
                way = f"/{'bw' if direction else 'fw'}" * (directions - 1)
                raise UserError(f"TF1: no variables of cell_{layer}{way}")
            layout = _layout_of(groups[place], named or kinds.get(place))
            slots.append(Slot(layout, groups[place], options=options))
        layers.append(tuple(slots))
    built = Foreign(layers, is_cell=len(groups) == 1).build()
    _shift_forget_bias([each for layer in cells_of(built) for each in layer], forget_bias, 1)
    return built


def to_tf1(source: Cell | Recurrent | nn.Module, *, forget_bias: float | None = None) -> dict[str, np.ndarray]:
    """The weights of our cell or layer as a TensorFlow 1 checkpoint names and stores them.

    Args:
        source: a ``Cell``, a ``Recurrent``, or a recurrent module of ``torch.nn``.
        forget_bias: what the LSTM cell of TF1 will add when it runs, taken off the bias of gate f; default 1.0.

    One cell gives ``kernel`` and ``bias``; a stack puts ``cell_0/`` before them, two directions ``fw/`` and ``bw/``.

    Raises ``UserError`` for cells that TF1 does not have; ``GRU``, whose reset gate acts after the product, is one.

    >>> import elman
    >>> {name: array.shape for name, array in to_tf1(elman.cells.GRUResetBefore(3, 2)).items()}
    {'gates/kernel': (5, 4), 'gates/bias': (4,), 'candidate/kernel': (5, 2), 'candidate/bias': (2,)}
    """
    ours = copy.deepcopy(as_ours(source))
    layers = cells_of(ours)
    cells = [cell for layer in layers for cell in layer]
    if not all(cell.bias for cell in cells):
        raise UserError("TF1's cells have biases; this one was built with bias=False")
    if any(len(layer) == 2 for layer in layers) and ours.merge != "concat":
        raise UserError(f"merge={ours.merge!r}; TF1 hands out both directions, which read() concatenates")
    _shift_forget_bias(cells, forget_bias, -1)
    arrays: dict[str, np.ndarray] = {}
    for depth, layer in enumerate(layers):
        for direction, cell in enumerate(layer):
            scope = f"cell_{depth}/" if len(layers) > 1 else ""
            scope += ("fw/", "bw/")[direction] if len(layer) == 2 else ""
            written = write(layout_of(LAYOUTS, cell, "TF1"), cell)
            arrays |= {f"{scope}{name}": to_numpy(tensor) for name, tensor in written.items()}
    return arrays


def _place(name: str, folders: list[str]) -> tuple[int, int]:
    """Layer and direction of a variable, as its scopes say."""
    depths = [k for k, folder in enumerate(folders) if re.fullmatch(r"cell_\d+", folder)]
    ways = [k for k, folder in enumerate(folders) if folder in ("fw", "bw")]
    depth = int(folders[depths[-1]].removeprefix("cell_")) if depths else 0
    if depth and ways and ways[-1] < depths[-1]:
        raise UserError(
            f"TF1: {name!r} is of a stack that runs as a whole in each direction; here every layer of a stack merges "
            "its directions: convert the stacks of fw and bw by themselves"
        )
    return depth, int(bool(ways) and folders[ways[-1]] == "bw")


def _layout_of(names: Iterable[str], cells: tuple[type[Cell], ...] | None) -> Layout:
    """The layout with these names of arrays, among those of the cells, if any are named."""
    if cells is None and len({layout.cell for layout in LAYOUTS if set(layout.names) == set(names)}) > 1:
        raise UserError(
            f'TF1: {", ".join(sorted(names))} do not say their cell; say it, as in from_tf1(variables, "lstm")'
        )
    return layout_fitting([layout for layout in LAYOUTS if cells is None or layout.cell in cells], names)


def _shift_forget_bias(cells: list[Cell], forget_bias: float | None, sign: int) -> None:
    """Adds TF1's run-time forget bias to the stored one, or takes it off."""
    gated = [cell for cell in cells if cell.forget_gate is not None]
    if forget_bias is not None and not gated:
        raise UserError(f"forget_bias={forget_bias}, but a {type(cells[0]).__name__} has no forget gate; leave it out")
    with torch.no_grad():
        for cell in gated:
            assert cell.bias_ih is not None and cell.forget_gate is not None
            row = cell.gates.index(cell.forget_gate)
            cell.bias_ih.chunk(len(cell.gates))[row].add_(sign * (_FORGET_BIAS if forget_bias is None else forget_bias))
