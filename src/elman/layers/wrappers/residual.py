"""A cell that adds its input to its output."""

from __future__ import annotations

from torch import Tensor, nn

from ...structure import State
from .wrapper import Inputs, Wrapper, check_same_size, vectors


class Residual(Wrapper):
    """Adds x to the cell's output: y_t = x_t + output_t (He et al. 2015, arXiv:1512.03385); the state stays the cell's.

    Args:
        cell: any cell whose input and output are of one size.

    Raises ``UserError`` for sizes that differ, and for ids as x.

    >>> import torch, elman
    >>> x, cell = torch.randn(7, 2, 4), elman.cells.GRU(4, 4)
    >>> torch.equal(elman.scan(Residual(cell), x)[0], x + elman.scan(cell, x)[0])
    True
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__(cell)
        check_same_size(self)

    def step(self, x: Inputs, state: State, *drawn: Tensor) -> tuple[Tensor, State]:
        y, state = self.inner(x, state)
        return vectors(self, x, "adding it to the output") + y, state
