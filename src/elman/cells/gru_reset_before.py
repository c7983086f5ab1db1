"""Gated recurrent unit, reset before the product."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from ..cell import Cell, Gated


class GRUResetBefore(Cell):
    """Gated recurrent unit, the reset gate applied before the recurrent product: Cho et al. 2014, arXiv:1406.1078v3.

    r, z = sigmoid of W x_t + U h_{t-1} + b; n = tanh((W x_t + b_ih)_n + (U (r h_{t-1}) + b_hh)_n);
    h_t = (1 - z) n + z h_{t-1}. TensorFlow 1's ``GRUCell`` and Keras with ``reset_after=False`` compute this.

    >>> import torch
    >>> y, h = GRUResetBefore(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("r", "z", "n")

    def step(self, x: Gated, h: Tensor) -> Tensor:
        r = sigmoid(x.r + self.recur.r(h))
        z = sigmoid(x.z + self.recur.z(h))
        n = tanh(x.n + self.recur.n(r * h))
        return (1 - z) * n + z * h
