"""Weights to and from Keras 3: SimpleRNN, LSTM, GRU in both forms, their cells, Bidirectional and stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..cell import Cell
from ..cells.gru import GRU
from ..cells.gru_reset_before import GRUResetBefore
from ..cells.lstm import LSTM
from ..cells.rnn import RNN
from ..errors import UserError
from ..layers import Recurrent
from .foreign import Foreign, Slot, cells_of, refuse_options, stack
from .layout import Arrays, Layout, Stored, layout_named, layout_of, read, to_numpy, write
from .torch_nn import as_ours


def _layout(name: str, cell: type[Cell], gates: str, bias: tuple[str, ...] = ("b",)) -> Layout:
    arrays = (
        Stored("kernel", ("W",), gates),
        Stored("recurrent_kernel", ("U",), gates),
        Stored("bias", bias, gates),
    )
    return Layout(f"Keras {name}", cell, arrays, bias_optional=True)


_SIMPLE = _layout("SimpleRNN", RNN, "h")
_LSTM = _layout("LSTM", LSTM, "ifgo")
_GRU_AFTER = _layout("GRU(reset_after=True)", GRU, "zrn", ("b_ih", "b_hh"))
_GRU_BEFORE = _layout("GRU(reset_after=False)", GRUResetBefore, "zrn")
LAYOUTS = (_SIMPLE, _LSTM, _GRU_AFTER, _GRU_BEFORE)

# Keras's names of the activations that are the same functions here.
ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "linear": "identity",
    "elu": "elu",
    "gelu": "gelu",
    "silu": "silu",
    "softplus": "softplus",
    "softsign": "softsign",
    "hard_tanh": "hardtanh",
    "hard_sigmoid": "hardsigmoid",
}
_MERGES = {"concat": "concat", "sum": "sum", "mul": "mul", "ave": "mean"}
_TAKE_THE_ARRAYS = 'to take the weights alone, give its arrays: from_keras(layer.get_weights(), "lstm")'
_CELL_OPTIONS = {"dropout": 0.0, "recurrent_dropout": 0.0} | {
    f"{array}_{kind}": None for array in ("kernel", "recurrent", "bias") for kind in ("regularizer", "constraint")
}
_LAYER_OPTIONS = {"stateful": False, "activity_regularizer": None}


def from_keras(source: Any, cell: str | type[Cell] | None = None, **options: Any) -> Cell | Recurrent:
    """Our cell or layer with the weights of a Keras 3 layer, built already, or of plain arrays.

    Args:
        source: ``SimpleRNN``, ``LSTM``, ``GRU``, ``RNN`` of their cells, ``Bidirectional`` of these, or a list of such
            layers, which become a ``Recurrent`` with ``batch_first=True``; one of their cells, which becomes a
            ``Cell``; or the arrays of one cell, by name or in the order of ``get_weights()``.
        cell: our cell, "rnn", "lstm", "gru" (``reset_after=True``, Keras's default) or "gruresetbefore"; only with
            arrays, which do not say it.
        **options: options of the cell, also only with arrays.

    What a layer returns (``return_sequences``, ``return_state``), ``unroll``, initialisers and masks are no part of its
    weights: ours returns all outputs and the final states, and masks become ``lengths``.

    Raises ``UserError`` for an option that changes what is computed, in training too, and has no counterpart here, and
    for arrays that do not fit.

    >>> import numpy as np
    >>> kernel, recurrent_kernel, bias = np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)
    >>> from_keras([kernel, recurrent_kernel, bias], "lstm")
    LSTM(3, 2, activation='tanh', bias=True, init='torch', forget_bias=None)
    """
    plain = isinstance(source, Mapping) or (isinstance(source, list | tuple) and not _are_layers(source))
    if plain:
        if cell is None:
            raise UserError('arrays do not say their cell; say it, as in from_keras(layer.get_weights(), "lstm")')
        layout = layout_named(LAYOUTS, cell, "Keras")
        return read(layout, _named(layout, source), **options)
    if cell is not None or options:
        raise UserError(f"a {type(source).__name__} says its cell and options itself; give it alone")
    return _foreign(source).build()


def to_keras(source: Cell | Recurrent | nn.Module, target: Any = None) -> Any:
    """The weights of our cell or layer, put into a Keras 3 layer, which is returned; or without it as plain arrays.

    Args:
        source: a ``Cell``, a ``Recurrent``, or a recurrent module of ``torch.nn``.
        target: a Keras layer, cell or list of layers, built already, of the same cells, sizes and activations. Without
            it the result is a list of NumPy arrays in the order of ``get_weights()``, cell after cell, forward before
            backward.

    A cell with two biases gives Keras their sum, but for ``GRU``, whose two biases Keras keeps apart as well.

    Raises ``UserError`` where the two do not fit; the target is then as it was.

    >>> import elman
    >>> [array.shape for array in to_keras(elman.cells.GRU(3, 4))]
    [(3, 12), (4, 12), (2, 12)]
    """
    ours = as_ours(source)
    if target is not None:
        _foreign(target).fill(ours)
        return target
    arrays: list[np.ndarray] = []
    for cell in (cell for layer in cells_of(ours) for cell in layer):
        arrays += map(to_numpy, write(layout_of(LAYOUTS, cell, "Keras"), cell).values())
    return arrays


def _are_layers(members: Sequence[Any]) -> bool:
    return bool(members) and all(hasattr(member, "get_weights") for member in members)


def _named(layout: Layout, arrays: Any) -> Arrays:
    if isinstance(arrays, Mapping):
        return arrays
    if len(arrays) not in (2, 3):
        raise UserError(
            f"{layout.name}: got {len(arrays)} arrays; expected kernel, recurrent_kernel and, with use_bias, bias; "
            "the arrays of several cells are given cell by cell"
        )
    return dict(zip(layout.names, arrays, strict=False))


def _foreign(layer: Any) -> Foreign:
    """The slots of a Keras object."""
    if isinstance(layer, list | tuple):
        return stack([_foreign(each) for each in layer], "Keras layers")
    kind = _kind(layer)
    if kind.endswith("Cell"):
        return Foreign([(_slot(layer),)], is_cell=True)
    if kind == "Bidirectional":
        return _bidirectional(layer)
    return Foreign([(slot,) for slot in _slots(layer, go_backwards=False)], batch_first=True)


def _bidirectional(layer: Any) -> Foreign:
    if layer.merge_mode not in _MERGES:
        raise UserError(f"Keras Bidirectional has merge_mode={layer.merge_mode!r}; valid: {', '.join(_MERGES)}")
    forward, backward = _slots(layer.forward_layer, False), _slots(layer.backward_layer, True)
    if len(forward) != 1 or len(backward) != 1:
        raise UserError(
            "Keras Bidirectional runs a stack of cells as a whole in each direction; here every layer of a stack "
            "merges its directions: wrap each layer in a Bidirectional of its own"
        )
    return Foreign([(forward[0], backward[0])], merge=_MERGES[layer.merge_mode], batch_first=True)


def _slots(layer: Any, go_backwards: bool) -> list[Slot]:
    """The slots of a layer that runs one way; a Keras ``RNN`` can hold a stack of cells."""
    what = f"Keras {_kind(layer)}"
    refuse_options(what, layer, _LAYER_OPTIONS | {"go_backwards": go_backwards}, _TAKE_THE_ARRAYS)
    cells = layer.cell.cells if type(layer.cell).__name__ == "StackedRNNCells" else [layer.cell]
    return [_slot(cell) for cell in cells]


def _slot(cell: Any) -> Slot:
    kind = _kind(cell)
    what = f"Keras {kind.removesuffix('Cell')}"
    refuse_options(what, cell, _CELL_OPTIONS, _TAKE_THE_ARRAYS)
    variables = {variable.name: variable for variable in cell.weights}
    if not variables:
        raise UserError(f"{what} has no weights yet; build it first: layer.build((None, None, features))")
    if cell.compute_dtype != cell.variable_dtype:
        raise UserError(f"{what} keeps {cell.variable_dtype} and computes in {cell.compute_dtype}; {_TAKE_THE_ARRAYS}")
    activation = _activation(what, "activation", cell.activation)
    if kind != "SimpleRNNCell" and _activation(what, "recurrent_activation", cell.recurrent_activation) != "sigmoid":
        raise UserError(f"{what} has recurrent_activation={cell.recurrent_activation.__name__!r}; ours has 'sigmoid'")
    layout = {"SimpleRNNCell": _SIMPLE, "LSTMCell": _LSTM}.get(kind)
    if layout is None:
        layout = _GRU_AFTER if cell.reset_after else _GRU_BEFORE
    options = {"nonlinearity" if layout.cell is RNN else "activation": activation}

    def assign(arrays: dict[str, Tensor]) -> None:
        for name, array in arrays.items():
            variables[name].assign(to_numpy(array))

    return Slot(layout, {name: variable.value for name, variable in variables.items()}, assign, options)


_KINDS = ("SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional", "SimpleRNNCell", "LSTMCell", "GRUCell")


def _kind(layer: Any) -> str:
    """The name of a class of Keras 3, known without importing Keras; a subclass may compute anything."""
    cls = type(layer)
    if cls.__name__ not in _KINDS or not cls.__module__.startswith("keras.src.layers.rnn."):
        raise UserError(f"got a {cls.__module__}.{cls.__name__}; expected a layer of Keras 3: {', '.join(_KINDS)}")
    return cls.__name__


def _activation(what: str, option: str, function: Any) -> str:
    name = getattr(function, "__name__", "")
    if name not in ACTIVATIONS or getattr(function, "__module__", "") != "keras.src.activations.activations":
        raise UserError(f"{what} has {option}={name or function!r}; valid: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
