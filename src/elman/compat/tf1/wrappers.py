"""TF1's cells around cells: a stack, dropout, and a residual connection."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...structure import State
from .base import RNNCell, check_is_cell
from .cells import LSTMStateTuple


class MultiRNNCell(RNNCell):
    """Cells on top of each other: the output of each is the input of the next, the last one's is the output.

    Over a sequence, layer by layer: each is one compiled loop of its own.

    Args:
        cells: a list of cells, each an object of its own; a repeated one shares its weights, and that is warned of.
        state_is_tuple: the state is the tuple of the cells' states, else all of them in one tensor, which needs cells
            whose own state is one tensor.

    Raises ``UserError`` for no cells, for what is no cell, and for cells with tuples as states where
    ``state_is_tuple=False``.

    >>> from elman.compat.tf1 import BasicLSTMCell
    >>> stack = MultiRNNCell([BasicLSTMCell(size) for size in (4, 5)])
    >>> output, (first, second) = stack(torch.ones(2, 3), stack.zero_state(2, torch.float32))
    >>> output.shape, first.h.shape
    (torch.Size([2, 5]), torch.Size([2, 4]))
    """

    def __init__(self, cells: Sequence[RNNCell], state_is_tuple: bool = True) -> None:
        super().__init__()
        if not isinstance(cells, list | tuple) or not cells:
            raise UserError("MultiRNNCell takes a list of at least one cell")
        for cell in cells:
            check_is_cell("MultiRNNCell", cell)
        if len({id(cell) for cell in cells}) < len(cells):
            warnings.warn(
                "the same cell object stands in MultiRNNCell more than once, so layers share one set of weights; "
                "make one for each: [cell(n) for _ in range(layers)] and not [cell(n)] * layers",
                stacklevel=2,
            )
        sizes = [cell.state_size for cell in cells]
        if not state_is_tuple and not all(isinstance(size, int) for size in sizes):
            raise UserError(
                f"MultiRNNCell with state_is_tuple=False got cells whose states are tuples, of sizes {sizes}; leave "
                "state_is_tuple=True, or make the cells with state_is_tuple=False too"
            )
        self.cells = nn.ModuleList(cells)
        self.state_is_tuple = state_is_tuple

    @property
    def state_size(self) -> tuple[Any, ...] | int:
        sizes = tuple(cell.state_size for cell in self._cells())
        return sizes if self.state_is_tuple else sum(sizes)

    @property
    def output_size(self) -> int:
        return self._cells()[-1].output_size

    def run(
        self,
        x: Tensor,
        state: State,
        factors: Any = None,
        *,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> tuple[Tensor, State]:
        final = []
        for cell, before, factor in zip(self._cells(), self._split(state), self._split(factors), strict=True):
            x, after = cell.run(x, before, factor, lengths=lengths, reverse=reverse)
            final.append(after)
        return x, tuple(final) if self.state_is_tuple else torch.cat(final, -1)

    def _cells(self) -> list[RNNCell]:
        return list(self.cells)  # type: ignore[arg-type]

    def _split(self, state: Any) -> Sequence[Any]:
        """A state, or factors on it, cell by cell."""
        if state is None:
            return [None] * len(self.cells)
        return state if self.state_is_tuple else state.split([cell.state_size for cell in self._cells()], -1)


class DropoutWrapper(RNNCell):
    """Dropout around a cell, given as *keep* probabilities, as nowhere else in Elman; only in training mode.

    What is kept is divided by its keep probability. All masks are drawn from PyTorch's generator before the loop.

    Args:
        cell: the cell.
        input_keep_prob: of an input feature.
        output_keep_prob: of an output feature.
        state_keep_prob: of a feature of the state that is carried on; the c of an ``LSTMStateTuple`` is never dropped.
        variational_recurrent: one mask for all steps and rows of a run (Gal and Ghahramani 2016, arXiv:1512.05287),
            else a new one for every step and row. A run is a call of ``dynamic_rnn`` or its like.
        input_size: where given, what the inputs' features have to be; TF1 needs it for variational masks.
        dtype: where given, what the inputs' dtype has to be.

    All three keep probabilities are 1 unless given, and then nothing is dropped: that is warned of.

    Raises ``UserError`` for a keep probability that is not above 0 and at most 1, and inputs that do not fit.

    >>> from elman.compat.tf1 import BasicRNNCell
    >>> cell = DropoutWrapper(BasicRNNCell(4), output_keep_prob=0.5)
    >>> output, state = cell(torch.ones(1, 3), cell.zero_state(1, torch.float32))
    >>> bool(((output == 0) | torch.isclose(output, 2 * state)).all())
    True
    """

    def __init__(
        self,
        cell: RNNCell,
        input_keep_prob: float = 1.0,
        output_keep_prob: float = 1.0,
        state_keep_prob: float = 1.0,
        variational_recurrent: bool = False,
        input_size: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_is_cell("DropoutWrapper", cell)
        keep = {
            "input_keep_prob": input_keep_prob,
            "output_keep_prob": output_keep_prob,
            "state_keep_prob": state_keep_prob,
        }
        for name, probability in keep.items():
            if not 0 < probability <= 1:
                raise UserError(f"{name}={probability}; give the probability of keeping, above 0 and at most 1")
        if min(keep.values()) == 1:
            warnings.warn(
                "DropoutWrapper drops nothing: all its keep probabilities are 1; give e.g. output_keep_prob=0.8",
                stacklevel=2,
            )
        self.cell = cell
        self.input_keep_prob = input_keep_prob
        self.output_keep_prob = output_keep_prob
        self.state_keep_prob = state_keep_prob
        self.variational_recurrent = variational_recurrent
        self.input_size = input_size
        self.dtype = dtype

    @property
    def state_size(self) -> Any:
        return self.cell.state_size

    @property
    def output_size(self) -> int:
        return self.cell.output_size

    def run(
        self,
        x: Tensor,
        state: State,
        factors: Any = None,
        *,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> tuple[Tensor, State]:
        if (self.input_size or x.shape[-1], self.dtype or x.dtype) != (x.shape[-1], x.dtype):
            raise UserError(
                f"DropoutWrapper was made for input_size={self.input_size}, dtype={self.dtype}; it got inputs of "
                f"{x.shape[-1]} features, {x.dtype}"
            )
        if not self.training:
            return self.cell.run(x, state, factors, lengths=lengths, reverse=reverse)
        if self.input_keep_prob < 1:
            x = x * self._factor(x, x.shape[-1], self.input_keep_prob)
        if self.state_keep_prob < 1:
            factors = _product(factors, self._state_factors(x, self.state_size))
        y, final = self.cell.run(x, state, factors, lengths=lengths, reverse=reverse)
        if self.output_keep_prob < 1:
            y = y * self._factor(y, y.shape[-1], self.output_keep_prob)
        return y, final

    def _factor(self, like: Tensor, size: int, keep: float) -> Tensor:
        """0 or 1/keep for ``size`` features at every step and row of ``like`` (T, B, ...)."""
        time, batch = like.shape[:2]
        shape = (1, 1, size) if self.variational_recurrent else (time, batch, size)
        return like.new_empty(shape).bernoulli_(keep).div_(keep).expand(time, batch, size)

    def _state_factors(self, like: Tensor, size: Any) -> Any:
        if isinstance(size, int):
            return self._factor(like, size, self.state_keep_prob)
        if isinstance(size, LSTMStateTuple):
            return LSTMStateTuple(None, self._factor(like, size.h, self.state_keep_prob))
        return tuple(self._state_factors(like, each) for each in size)


def _product(a: Any, b: Any) -> Any:
    """Two nested factors multiplied; ``None`` is 1."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, Tensor):
        return a * b
    members = [_product(x, y) for x, y in zip(a, b, strict=True)]
    return LSTMStateTuple(*members) if isinstance(a, LSTMStateTuple) else tuple(members)


class ResidualWrapper(RNNCell):
    """A cell whose inputs are added to its outputs.

    Args:
        cell: the cell; without a ``residual_fn`` its output is to be as large as its input.
        residual_fn: ``residual_fn(inputs, outputs)`` in place of the sum: rows (N, I) and (N, O), each row for itself.

    Raises ``UserError`` where the sizes do not fit.

    >>> from elman.compat.tf1 import GRUCell
    >>> cell = ResidualWrapper(GRUCell(3))
    >>> x = torch.ones(2, 3)
    >>> output, state = cell(x, cell.zero_state(2, torch.float32))
    >>> torch.equal(output, x + state)
    True
    """

    def __init__(self, cell: RNNCell, residual_fn: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        check_is_cell("ResidualWrapper", cell)
        self.cell = cell
        self.residual_fn = residual_fn

    @property
    def state_size(self) -> Any:
        return self.cell.state_size

    @property
    def output_size(self) -> int:
        return self.cell.output_size

    def run(
        self,
        x: Tensor,
        state: State,
        factors: Any = None,
        *,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> tuple[Tensor, State]:
        if self.residual_fn is None and x.shape[-1] != self.output_size:
            raise UserError(
                f"ResidualWrapper adds inputs of {x.shape[-1]} features to outputs of {self.output_size}; make them "
                "equal, or give a residual_fn"
            )
        y, final = self.cell.run(x, state, factors, lengths=lengths, reverse=reverse)
        if self.residual_fn is None:
            return x + y, final
        return self.residual_fn(x.flatten(0, 1), y.flatten(0, 1)).unflatten(0, x.shape[:2]), final
