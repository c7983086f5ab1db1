"""Update-gate network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from ..activations import pointwise
from ..cell import Cell, Gated


class UGRNN(Cell):
    """Update-gate RNN (Collins et al. 2017, arXiv:1611.09913): a plain RNN whose units may keep what they hold.

    g = sigmoid and n = tanh of W x_t + U h_{t-1} + b; h_t = g h_{t-1} + (1 - g) n. TensorFlow 1's ``UGRNNCell`` adds 1
    to g's bias at run time: ``forget_bias=1.0``.

    Args:
        nonlinearity: the function of n: "tanh" (default), "relu", or any name of ``elman.activations``.

    >>> import torch
    >>> y, h = UGRNN(3, 4, forget_bias=1.0)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("g", "n")
    forget_gate = "g"

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.nonlinearity = nonlinearity
        self._nonlinearity = pointwise(nonlinearity)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        z = x + self.recur(h)
        g = sigmoid(z.g)
        return g * h + (1 - g) * self._nonlinearity(z.n)
