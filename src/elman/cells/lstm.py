"""Long short-term memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from ..activations import pointwise
from ..cell import Cell, Gated


class LSTM(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000).

    i, f, o = sigmoid and g = tanh of W x_t + U h_{t-1} + b, gate by gate;
    c_t = f c_{t-1} + i g; h_t = o tanh(c_t).

    Args:
        activation: the function of g and of the read-out of c; default "tanh".

    >>> import torch
    >>> y, (h, c) = LSTM(3, 4, forget_bias=1.0)(torch.zeros(2, 3))
    >>> c.shape
    torch.Size([2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = activation
        self._activation = pointwise(activation)

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        i, f, o = sigmoid(z.i), sigmoid(z.f), sigmoid(z.o)
        c = f * c + i * self._activation(z.g)
        return o * self._activation(c), c
