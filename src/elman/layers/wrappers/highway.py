"""A cell with a gate between its output and its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...structure import State
from .wrapper import Inputs, Wrapper, check_same_size, vectors


class Highway(Wrapper):
    """A learned gate lets x through beside the cell's output (Srivastava et al. 2015, arXiv:1505.00387, eq. 3).

    y_t = g * output_t + (1 - g) * x_t with g = sigmoid(W x_t + b), the "transform gate", ``gate`` (I, I); the state
    stays the cell's.

    Args:
        cell: any cell whose input and output are of one size.
        transform_bias: where b starts; default -1: at first mostly x gets through, as the paper advises.

    Raises ``UserError`` for sizes that differ or are not told, and for ids as x.

    >>> import elman
    >>> y, h = elman.scan(Highway(elman.cells.GRU(4, 4)), torch.randn(7, 2, 4))
    >>> y.shape
    torch.Size([7, 2, 4])
    """

    def __init__(self, cell: nn.Module, *, transform_bias: float = -1.0) -> None:
        super().__init__(cell)
        size = check_same_size(self)
        if size is None:
            raise UserError(f"{type(cell).__name__} does not tell its sizes; give it an attribute input_size")
        like = next(cell.parameters(), torch.empty(0))
        self.gate = nn.Linear(size, size, device=like.device, dtype=like.dtype)
        self.transform_bias = float(transform_bias)
        nn.init.constant_(self.gate.bias, self.transform_bias)

    def step(self, x: Inputs, state: State, *drawn: Tensor) -> tuple[Tensor, State]:
        y, state = self.inner(x, state)
        first = vectors(self, x, "mixing it with the output")
        g = torch.sigmoid(self.gate(first))
        return g * y + (1 - g) * first, state

    def extra_repr(self) -> str:
        return f"transform_bias={self.transform_bias}"
