"""Gated recurrent unit, reset after the product."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from ..activations import pointwise
from ..cell import Cell, Gated


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014) with the reset gate applied after the recurrent product.

    r, z = sigmoid of W x_t + b_ih + U h_{t-1} + b_hh; n = tanh((W x_t + b_ih)_n + r (U h_{t-1} + b_hh)_n);
    h_t = (1 - z) n + z h_{t-1}. This is the form of arXiv:1406.1078v1, cuDNN and ``torch.nn.GRU``;
    ``GRUResetBefore`` is the paper's third version.

    Args:
        activation: the function of n; default "tanh".

    >>> import torch
    >>> y, h = GRU(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("r", "z", "n")

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = activation
        self._activation = pointwise(activation)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        u = self.recur(h)
        r, z = sigmoid(x.r + u.r), sigmoid(x.z + u.z)
        n = self._activation(x.n + r * u.n)
        return (1 - z) * n + z * h
