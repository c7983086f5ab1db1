"""``Recurrent``: any cell as a layer, stacked and in both directions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..cell import Cell, find_cell
from ..engine import scan
from ..engine.steps import default_state
from ..errors import UserError, nearest
from ..initialisation import truncated_normal_
from ..structure import State, leaves, map_leaves, rebuild
from .dropping import drop_units

CellMaker = str | type[Cell] | Callable[[int, int], nn.Module]
"""A cell's name, a ``Cell`` subclass, or a function of (input_size, hidden_size) that makes a cell."""

_MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda forward, backward: torch.cat([forward, backward], -1),
    "sum": lambda forward, backward: forward + backward,
    "mean": lambda forward, backward: (forward + backward) / 2,
    "mul": lambda forward, backward: forward * backward,
}


def place_of(cell_options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of cells those that say where a module is, for the layers around them.

    >>> place_of({"dtype": torch.float64, "forget_bias": 1.0})
    {'dtype': torch.float64}
    """
    return {name: cell_options[name] for name in ("device", "dtype") if name in cell_options}


class Recurrent(nn.Module):
    """A stack of recurrent layers of any cells, one or both directions each.

    ``y, states = layer(x, states=None, *, lengths=None, resets=None, return_states=False)`` with x (T, B, I), or
    (B, T, I) when ``batch_first``; x may be a tuple where the cells take several inputs, and the further ones then go
    to every layer. ``states`` has one entry a layer, a pair when bidirectional, its tensors (B, H) in either layout;
    ``lengths`` and ``resets`` are as in ``elman.scan``. ``return_states=True`` adds the states of every step as a third
    result, time first.

    Args:
        cell: a cell's name ("lstm", "file.py:MyCell"), a ``Cell`` subclass, a function of (input_size, hidden_size), or
            a list of these, one a layer.
        input_size: features of x.
        hidden_size: units, or a list, one a layer.
        num_layers: layers; default 1, or as many as the lists have.
        bidirectional: also run each layer backwards, with weights of its own.
        merge: how the two directions' outputs become one: "concat" (default), "sum", "mean" or "mul".
        dropout: probability of dropping an output between two layers, in training.
        locked: drop the same units of a row at all steps of a call.
        batch_first: x and y are (B, T, ...).
        initial_state: "zeros", "trained" (one vector a state, learned), or the sigma of noise (truncated normal) drawn
            whenever a sequence starts without a state.
        init: how parameters start, see ``elman.Cell``.
        **cell_options: options of the cells, and ``bias``, ``device``, ``dtype``; each goes to the cells that have it.

    Raises ``UserError`` for contradictory sizes, an unknown cell or option.

    >>> layer = Recurrent("gru", 3, 5, num_layers=2, bidirectional=True)
    >>> y, states = layer(torch.randn(7, 2, 3), lengths=[7, 4])
    >>> y.shape, len(states), y[4:, 1].abs().sum()
    (torch.Size([7, 2, 10]), 2, tensor(0., grad_fn=<SumBackward0>))
    """

    takes_sequences = True  # for explain: not a step

    def __init__(
        self,
        cell: CellMaker | Sequence[CellMaker],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int | None = None,
        *,
        bidirectional: bool = False,
        merge: str = "concat",
        dropout: float = 0.0,
        locked: bool = False,
        batch_first: bool = False,
        initial_state: str | float = "zeros",
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        _check_merge(merge)
        makers, sizes = _per_layer(cell, hidden_size, num_layers)
        check_options(makers, cell_options)
        layers: list[tuple[nn.Module, ...]] = []
        cell_options = {**cell_options, "init": init}
        for maker, size in zip(makers, sizes, strict=True):
            layers.append(tuple(_make(maker, input_size, size, cell_options) for _ in range(1 + bidirectional)))
            input_size = _merged_size(layers[-1], merge)
        self._setup(layers, merge, dropout, batch_first, initial_state)
        self.locked = locked

    @classmethod
    def from_cells(
        cls,
        cells: Sequence[nn.Module | tuple[nn.Module, nn.Module]],
        *,
        merge: str = "concat",
        dropout: float = 0.0,
        batch_first: bool = False,
        initial_state: str | float = "zeros",
    ) -> Recurrent:
        """A stack of cells already built: one a layer, or a pair (forward, backward).

        Raises ``UserError`` when one cell object appears twice: its weights would be shared, and its sizes rarely fit.

        >>> from elman.cells import LSTM, GRU
        >>> stack = Recurrent.from_cells([LSTM(3, 4), (GRU(4, 2), GRU(4, 2))])
        >>> stack(torch.randn(5, 1, 3))[0].shape
        torch.Size([5, 1, 4])
        """
        _check_merge(merge)
        layers = [tuple(cell) if isinstance(cell, tuple | list) else (cell,) for cell in cells]
        if any(len(layer) not in (1, 2) for layer in layers):
            raise UserError("a layer of a stack is one cell or a (forward, backward) pair")
        for before, after in pairwise(layers):
            size = _merged_size(before, merge)
            for cell in after:
                if getattr(cell, "input_size", size) != size:
                    raise UserError(
                        f"{type(cell).__name__} takes {cell.input_size} features, but the layer before gives {size}"
                    )
        stack = cls.__new__(cls)
        stack._setup(layers, merge, dropout, batch_first, initial_state)
        return stack

    def _setup(
        self,
        layers: Sequence[tuple[nn.Module, ...]],
        merge: str,
        dropout: float,
        batch_first: bool,
        initial_state: str | float,
    ) -> None:
        nn.Module.__init__(self)
        if not layers:
            raise UserError("a stack needs at least one layer")
        flat = [cell for layer in layers for cell in layer]
        if len({id(cell) for cell in flat}) != len(flat):
            raise UserError(
                "the same cell object stands in the stack twice, so that two layers would share one set of weights; "
                "build one cell a layer, e.g. [LSTM(i, h), LSTM(h, h)] and not [LSTM(i, h)] * 2"
            )
        if not 0 <= dropout <= 1:
            raise UserError(f"dropout={dropout}; give the probability of dropping, between 0 and 1")
        if dropout > 0 and len(layers) == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers and there is only one: nothing is dropped", stacklevel=3
            )
        if len(layers[-1]) == 2:
            _merged_size(layers[-1], merge)
        self.layers = nn.ModuleList(nn.ModuleList(layer) for layer in layers)
        self.merge = merge
        self.dropout = dropout
        self.locked = False
        self.batch_first = batch_first
        self.start = initial_state
        self.starts: nn.ParameterList | None = None
        if initial_state == "trained":
            self.starts = nn.ParameterList(
                nn.Parameter(leaf.detach()[0].clone()) for cell in flat for leaf in leaves(default_state(cell, 1))
            )
        elif initial_state != "zeros" and not (isinstance(initial_state, int | float) and initial_state >= 0):
            raise UserError(f'initial_state={initial_state!r}; expected "zeros", "trained" or the sigma of noise')

    @property
    def output_size(self) -> int:
        """Features of y."""
        return _merged_size(tuple(self.layers[-1]), self.merge)  # type: ignore[arg-type]

    def initial_state(self, batch_size: int) -> tuple[State, ...]:
        """The states that a sequence without states starts from, for ``batch_size`` rows, one entry a layer."""
        trained = iter(self.starts or ())
        started = []
        for layer in self.layers:
            states = []
            for cell in layer:  # type: ignore[attr-defined]
                state = default_state(cell, batch_size)
                if self.starts is not None:
                    state = rebuild(state, [next(trained).expand_as(leaf) for leaf in leaves(state)])
                elif self.start != "zeros":
                    sigma = float(self.start)
                    state = map_leaves(lambda leaf, sigma=sigma: truncated_normal_(leaf, sigma), state)  # type: ignore[misc]
                states.append(state)
            started.append(states[0] if len(states) == 1 else tuple(states))
        return tuple(started)

    def forward(
        self,
        x: Tensor | tuple[Tensor, ...],
        states: Sequence[State] | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        return_states: bool = False,
    ) -> Any:
        if isinstance(x, PackedSequence):
            raise UserError("got a PackedSequence; give the padded x and lengths=, as pad_packed_sequence returns them")
        inputs = x if isinstance(x, tuple) else (x,)
        if self.batch_first:
            inputs = tuple(each.transpose(0, 1) for each in inputs)
            resets = None if resets is None else resets.transpose(0, 1)
        if states is not None and len(states) != len(self.layers):
            raise UserError(f"got states for {len(states)} layers, this stack has {len(self.layers)}")
        fresh = self.initial_state(inputs[0].shape[1]) if states is None or resets is not None else None
        y, *extras = inputs
        final: list[State] = []
        every: list[State] = []
        for depth, layer in enumerate(self.layers):
            if depth and self.dropout:
                y = drop_units(y, self.dropout, self.training, self.locked)
            y, state, history = run_layer(
                tuple(layer),  # type: ignore[arg-type]
                (y, *extras) if extras else y,
                (fresh if states is None else states)[depth],  # type: ignore[index]
                merge=self.merge,
                lengths=lengths,
                resets=resets,
                reset_state=None if resets is None else fresh[depth],  # type: ignore[index]
                return_states=return_states,
            )
            final.append(state)
            every.append(history)
        if self.batch_first:
            y = y.transpose(0, 1)
        return (y, tuple(final), tuple(every)) if return_states else (y, tuple(final))

    def extra_repr(self) -> str:
        return (
            f"merge={self.merge!r}, dropout={self.dropout}, batch_first={self.batch_first}, "
            f"initial_state={self.start!r}"
        )


def run_layer(
    cells: tuple[nn.Module, ...],
    x: Tensor | tuple[Tensor, ...],
    state: State,
    *,
    merge: str = "concat",
    lengths: Tensor | Sequence[int] | None = None,
    resets: Tensor | None = None,
    reset_state: State = None,
    return_states: bool = False,
) -> tuple[Tensor, State, State]:
    """One layer, time first: one cell, or a forward and a backward one whose outputs are merged.

    Returns ``(y, final state, all states or None)``; states are pairs when there are two cells.
    """
    both = len(cells) == 2
    results = [
        scan(
            cell,
            x,
            state[k] if both and state is not None else state,
            lengths=lengths,
            resets=resets,
            reset_state=reset_state[k] if both and reset_state is not None else reset_state,
            reverse=k == 1,
            return_states=return_states,
        )
        for k, cell in enumerate(cells)
    ]
    if not both:
        y, final, *states = results[0]
        return y, final, states[0] if states else None
    outputs, finals, *histories = (tuple(each) for each in zip(*results, strict=True))
    return _MERGES[merge](*outputs), finals, histories[0] if histories else None


def _check_merge(merge: str) -> None:
    if merge not in _MERGES:
        raise UserError(f"unknown merge {merge!r}; {nearest(merge, _MERGES)}")


def makers_of(cell: CellMaker | Sequence[CellMaker]) -> list[CellMaker]:
    """One cell or several as a list.

    >>> makers_of("gru"), makers_of(("gru", "lstm"))
    (['gru'], ['gru', 'lstm'])
    """
    return list(cell) if isinstance(cell, list | tuple) else [cell]  # type: ignore[list-item]


def _per_layer(
    cell: CellMaker | Sequence[CellMaker], hidden_size: int | Sequence[int], num_layers: int | None
) -> tuple[list[CellMaker], list[int]]:
    """Cells and sizes as lists of one length; a single one is repeated, lists of different lengths are refused."""
    counts = {
        "cell": len(cell) if isinstance(cell, list | tuple) else None,
        "hidden_size": None if isinstance(hidden_size, int) else len(hidden_size),
        "num_layers": num_layers,
    }
    given = {name: count for name, count in counts.items() if count is not None}
    if len(set(given.values())) > 1 or 0 in given.values():
        raise UserError(f"layers do not fit: {', '.join(f'{name} says {count}' for name, count in given.items())}")
    layers = next(iter(given.values()), 1)
    makers = makers_of(cell)
    return makers * layers if len(makers) == 1 else makers, [hidden_size] * layers if isinstance(
        hidden_size, int
    ) else list(hidden_size)


def _cell_class(maker: CellMaker) -> type[Cell] | None:
    """The class behind a name or class; ``None`` for a function, which takes no options."""
    if isinstance(maker, str):
        return find_cell(maker)
    return maker if isinstance(maker, type) and issubclass(maker, Cell) else None


def check_options(makers: Iterable[CellMaker], options: Mapping[str, Any]) -> None:
    """Raises ``UserError`` for an option that none of a net's cells takes.

    >>> check_options(["gru", "lstm"], {"forget_bias": 1.0})
    >>> check_options(["gru"], {"forget_bias": 1.0})
    Traceback (most recent call last):
        ...
    elman.errors.UserError: no cell of this stack has a forget gate, so forget_bias=1.0 has nothing to set
    """
    classes = [cls for cls in map(_cell_class, makers) if cls is not None]
    known = {name for cls in classes for name in cls.option_names()}
    for name, value in options.items():
        if name not in known:
            hint = nearest(name, known) if known else "a function that makes cells sets their options itself"
            raise UserError(f"no cell of this stack has an option {name!r}; {hint}")
        if not any(_takes(cls, name) for cls in classes):
            raise UserError(f"no cell of this stack has a forget gate, so {name}={value} has nothing to set")


def options_taken(makers: Iterable[CellMaker], options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of a net's cells those that some of these cells take, for a part of the net.

    >>> options_taken(["gru"], {"forget_bias": 1.0, "bias": True})
    {'bias': True}
    """
    classes = [cls for cls in map(_cell_class, makers) if cls is not None]
    return {name: value for name, value in options.items() if any(_takes(cls, name) for cls in classes)}


def _takes(cls: type[Cell], option: str) -> bool:
    """Whether cells of this class have the option; every constructor knows ``forget_bias``, with or without a gate."""
    if option == "forget_bias" and cls.forget_gate is None and cls.forget_biases is Cell.forget_biases:
        return False
    return option in cls.option_names()


def _make(maker: CellMaker, input_size: int, hidden_size: int, options: Mapping[str, Any]) -> nn.Module:
    return (_cell_class(maker) or maker)(input_size, hidden_size, **options_taken([maker], options))  # type: ignore[operator]


def _output_size(cell: Any) -> int:
    for name in ("output_size", "hidden_size"):
        if hasattr(cell, name):
            return int(getattr(cell, name))
    raise UserError(
        f"{type(cell).__name__} does not say the size of its output; give it an attribute output_size or hidden_size"
    )


def _merged_size(cells: Sequence[nn.Module], merge: str) -> int:
    sizes = [_output_size(cell) for cell in cells]
    if len(sizes) == 2 and merge == "concat":
        return sum(sizes)
    if len(set(sizes)) > 1:
        raise UserError(f"merge={merge!r} needs both directions of one size, got {sizes[0]} and {sizes[1]}")
    return sizes[0]
