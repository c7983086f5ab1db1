"""Gated recurrent unit, reset after the product."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from ..cell import Cell, Gated


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014) with the reset gate applied after the recurrent product.

    r, z = sigmoid of W x_t + b_ih + U h_{t-1} + b_hh; n = tanh((W x_t + b_ih)_n + r (U h_{t-1} + b_hh)_n);
    h_t = (1 - z) n + z h_{t-1}. This is the form of arXiv:1406.1078v1, cuDNN and ``torch.nn.GRU``;
    ``GRUResetBefore`` is the paper's third version.

    >>> import torch
    >>> y, h = GRU(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("r", "z", "n")

    def step(self, x: Gated, h: Tensor) -> Tensor:
        u = self.recur(h)
        r, z = sigmoid(x.r + u.r), sigmoid(x.z + u.z)
        n = tanh(x.n + r * u.n)
        return (1 - z) * n + z * h
