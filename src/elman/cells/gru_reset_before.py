"""Gated recurrent unit, reset before the product."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from ..activations import pointwise
from ..cell import Cell, Gated


class GRUResetBefore(Cell):
    """Gated recurrent unit, the reset gate applied before the recurrent product: Cho et al. 2014, arXiv:1406.1078v3.

    r, z = sigmoid of W x_t + U h_{t-1} + b; n = tanh((W x_t + b_ih)_n + (U (r h_{t-1}) + b_hh)_n);
    h_t = (1 - z) n + z h_{t-1}. TensorFlow 1's ``GRUCell`` and Keras with ``reset_after=False`` compute this.

    Args:
        activation: the function of n; default "tanh".

    >>> import torch
    >>> y, h = GRUResetBefore(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("r", "z", "n")

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = activation
        self._activation = pointwise(activation)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        r = sigmoid(x.r + self.recur.r(h))
        z = sigmoid(x.z + self.recur.z(h))
        n = self._activation(x.n + self.recur.n(r * h))
        return (1 - z) * n + z * h
