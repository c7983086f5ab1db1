"""Weights to and from Flax: nnx's cells with ``RNN`` and ``Bidirectional``, and the parameters of linen's cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from torch import Tensor, nn

from ..cell import Cell
from ..cells.gru import GRU
from ..cells.lstm import LSTM
from ..cells.rnn import RNN
from ..errors import UserError
from ..layers import Recurrent
from .foreign import Foreign, Slot, cells_of, refuse_options, stack
from .layout import Layout, Stored, layout_fitting, layout_named, read, to_numpy
from .torch_nn import as_ours

_SIMPLE = Layout(
    "Flax SimpleCell",
    RNN,
    (
        Stored("dense_i.kernel", ("W",), "h"),
        Stored("dense_i.bias", ("b",), "h"),
        Stored("dense_h.kernel", ("U",), "h"),
    ),
)
_LSTM = Layout(
    "Flax LSTMCell",
    LSTM,
    (
        *(Stored(f"{name}.kernel", ("W",), gate) for name, gate in zip(("ii", "if_", "ig", "io"), "ifgo", strict=True)),
        *(Stored(f"h{gate}.kernel", ("U",), gate) for gate in "ifgo"),
        *(Stored(f"h{gate}.bias", ("b",), gate) for gate in "ifgo"),
    ),
)
_OPTIMIZED_LSTM = Layout(
    "Flax OptimizedLSTMCell",
    LSTM,
    (
        Stored("dense_i.kernel", ("W",), "ifgo"),
        Stored("dense_h.kernel", ("U",), "ifgo"),
        Stored("dense_h.bias", ("b",), "ifgo"),
    ),
)
# The docstring of nnx.GRUCell shows a bias b_hn; the cell has none.
_GRU = Layout(
    "Flax GRUCell",
    GRU,
    (
        Stored("dense_i.kernel", ("W",), "rzn"),
        Stored("dense_i.bias", ("b",), "rzn"),
        Stored("dense_h.kernel", ("U",), "rzn"),
    ),
)
_LINEN_SIMPLE = Layout(
    "Flax linen SimpleCell",
    RNN,
    (Stored("i.kernel", ("W",), "h"), Stored("i.bias", ("b",), "h"), Stored("h.kernel", ("U",), "h")),
)
_LINEN_LSTM = Layout(
    "Flax linen LSTMCell",
    LSTM,
    (
        *(Stored(f"i{gate}.kernel", ("W",), gate) for gate in "ifgo"),
        *(Stored(f"h{gate}.kernel", ("U",), gate) for gate in "ifgo"),
        *(Stored(f"h{gate}.bias", ("b",), gate) for gate in "ifgo"),
    ),
)
_LINEN_GRU = Layout(
    "Flax linen GRUCell",
    GRU,
    (
        *(Stored(f"i{gate}.kernel", ("W",), gate) for gate in "rzn"),
        *(Stored(f"i{gate}.bias", ("b",), gate) for gate in "rzn"),
        *(Stored(f"h{gate}.kernel", ("U",), gate) for gate in "rzn"),
        Stored("hn.bias", ("b_hh",), "n"),
    ),
)
LAYOUTS = (_SIMPLE, _LSTM, _OPTIMIZED_LSTM, _GRU, _LINEN_SIMPLE, _LINEN_LSTM, _LINEN_GRU)

# JAX's names of the activations that are the same functions here; its gelu is another, an approximation.
ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "identity": "identity",
    "elu": "elu",
    "silu": "silu",
    "softplus": "softplus",
    "soft_sign": "softsign",
    "hard_tanh": "hardtanh",
    "hard_sigmoid": "hardsigmoid",
}
_CELLS = {"SimpleCell": _SIMPLE, "LSTMCell": _LSTM, "OptimizedLSTMCell": _OPTIMIZED_LSTM, "GRUCell": _GRU}
_KINDS = (*_CELLS, "RNN", "Bidirectional")


def from_flax(source: Any, cell: str | type[Cell] | None = None, **options: Any) -> Cell | Recurrent:
    """Our cell or layer with the weights of a Flax module, or of the parameters of one cell.

    Args:
        source: an ``nnx.RNN``, an ``nnx.Bidirectional`` of two, or a list of these, which become a ``Recurrent``; an
            ``nnx.SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``, which becomes a ``Cell``; or the
            nested dict of arrays of one cell, of nnx or linen.
        cell: our cell, "rnn", "lstm" or "gru"; only with arrays, which do not say it.
        **options: options of the cell, also only with arrays.

    Raises ``UserError`` for an option that has no counterpart here, and for arrays that do not fit.

    >>> import numpy as np
    >>> dense_h = {"kernel": np.ones((2, 8)), "bias": np.zeros(8)}
    >>> from_flax({"dense_i": {"kernel": np.ones((3, 8))}, "dense_h": dense_h}, "lstm").input_size
    3
    """
    if isinstance(source, Mapping):
        if cell is None:
            raise UserError('parameters do not say their cell; say it, as in from_flax(params, "lstm")')
        arrays = _flat(source)
        return read(_layout_of(arrays, cell), arrays, **options)
    if cell is not None or options:
        raise UserError(f"a {type(source).__name__} says its cell and options itself; give it alone")
    return _foreign(source).build()


def to_flax(source: Cell | Recurrent | nn.Module, target: Any) -> Any:
    """The weights of our cell or layer, put into a Flax module, which is returned; or in a new dict like ``target``.

    Args:
        source: a ``Cell``, a ``Recurrent``, or a recurrent module of ``torch.nn``.
        target: a module of nnx, or a list of layers, of the same cells and sizes; or the nested dict of arrays of one
            cell, of nnx or linen, which stays as it is: the result is a new dict of NumPy arrays with the same names.

    A cell's two biases become one, their sum. ``GRU``'s b_hh of gate n is in no sum: linen keeps it apart; nnx, which
    has no such bias, takes only a GRU where it is zero.

    Raises ``UserError`` where the two do not fit; the target is then as it was.

    >>> import elman
    >>> import numpy as np
    >>> cell = elman.cells.RNN(3, 2)
    >>> like = {"i": {"kernel": np.ones((3, 2)), "bias": np.ones(2)}, "h": {"kernel": np.ones((2, 2))}}
    >>> np.allclose(to_flax(cell, like)["h"]["kernel"].T, cell.weight_hh.detach())
    True
    """
    ours = as_ours(source)
    if not isinstance(target, Mapping):
        _foreign(target).fill(ours)
        return target
    layers = cells_of(ours)
    if [len(layer) for layer in layers] != [1]:
        raise UserError("a dict takes the weights of one cell; convert the cells of a stack one by one")
    (cell,) = layers[0]
    like = _flat(target)
    new: dict[str, Any] = {}
    Foreign([(Slot(_layout_of(like, type(cell)), like, new.update),)]).fill(cell)
    return _nested({name: to_numpy(array) for name, array in new.items()})


def _layout_of(arrays: Mapping[str, Any], cell: str | type[Cell]) -> Layout:
    """The layout of nnx or linen that has these names."""
    cls = layout_named(LAYOUTS, cell, "Flax").cell
    return layout_fitting([layout for layout in LAYOUTS if layout.cell is cls], arrays)


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in params.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        layer, _, array = name.partition(".")
        nested.setdefault(layer, {})[array] = value
    return nested


def _foreign(module: Any) -> Foreign:
    """The slots of a module of nnx."""
    if isinstance(module, list | tuple):
        return stack([_foreign(each) for each in module], "Flax layers")
    kind = _kind(module)
    if kind == "RNN":
        refuse_options("Flax RNN", module, {"reverse": False}, "wrap two of them in nnx.Bidirectional")
        return Foreign([(_slot(module.cell),)], batch_first=not module.time_major)
    if kind == "Bidirectional":
        merge = getattr(module.merge_fn, "__name__", repr(module.merge_fn))
        if merge != "_concatenate" or not module.merge_fn.__module__.startswith("flax."):
            raise UserError(f"Flax Bidirectional has merge_fn={merge!r}; only its default, concatenation, is known")
        pair = _slot(module.forward_rnn.cell), _slot(module.backward_rnn.cell)
        return Foreign([pair], batch_first=not module.time_major)
    return Foreign([(_slot(module),)], is_cell=True)


def _slot(cell: Any) -> Slot:
    kind = _kind(cell)
    if kind not in _CELLS:
        raise UserError(f"got an nnx.{kind} inside a layer; expected one of {', '.join(_CELLS)}")
    layout = _CELLS[kind]
    instead = "take the weights alone: from_flax(nnx.state(cell, nnx.Param), ...)"
    refuse_options(layout.name, cell, {"residual": False, "carry_init": None}, instead)
    if cell.dtype not in (None, cell.param_dtype):
        raise UserError(f"{layout.name} keeps {cell.param_dtype} and computes in {cell.dtype}; {instead}")
    activation = _activation(layout, "activation_fn", cell.activation_fn)
    if kind != "SimpleCell" and _activation(layout, "gate_fn", cell.gate_fn) != "sigmoid":
        raise UserError(f"{layout.name} has gate_fn={cell.gate_fn.__name__!r}; ours has 'sigmoid'")
    options = {"nonlinearity" if layout.cell is RNN else "activation": activation}
    variables = {name: reduce(getattr, name.split("."), cell) for name in layout.names}

    def assign(arrays: dict[str, Tensor]) -> None:
        for name, array in arrays.items():
            variables[name][...] = to_numpy(array).astype(variables[name][...].dtype)

    return Slot(layout, {name: variable[...] for name, variable in variables.items()}, assign, options)


def _kind(module: Any) -> str:
    """The name of a class of nnx, known without importing Flax; a subclass may compute anything."""
    cls = type(module)
    if cls.__name__ not in _KINDS or not cls.__module__.startswith("flax.nnx."):
        raise UserError(f"got a {cls.__module__}.{cls.__name__}; expected a module of Flax nnx: {', '.join(_KINDS)}")
    return cls.__name__


def _activation(layout: Layout, option: str, function: Any) -> str:
    name = getattr(function, "__name__", "")
    if name not in ACTIVATIONS or getattr(function, "__module__", "").partition(".")[0] != "jax":
        raise UserError(f"{layout.name} has {option}={name or function!r}; valid: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
