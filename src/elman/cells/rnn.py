"""The plain recurrent network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..activations import pointwise
from ..cell import Cell, Gated


class RNN(Cell):
    """Plain recurrent cell (Elman 1990, "Finding structure in time"): h_t = tanh(W x_t + U h_{t-1} + b).

    Args:
        nonlinearity: "tanh" (default), "relu", or any name of ``elman.activations``.

    >>> import torch
    >>> y, h = RNN(3, 4)(torch.zeros(2, 3))
    >>> y.shape, y is h
    (torch.Size([2, 4]), True)
    """

    gates = ("h",)

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.nonlinearity = nonlinearity
        self._nonlinearity = pointwise(nonlinearity)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        return self._nonlinearity(x.h + self.recur.h(h))
