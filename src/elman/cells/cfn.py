"""Chaos-free network."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated


class CFN(Cell):
    """Chaos-free network: Laurent and von Brecht 2016, "A recurrent neural network without chaos", arXiv:1612.06212.

    theta, eta = sigmoid of V x_t + U h_{t-1} + b; h_t = theta tanh(h_{t-1}) + eta tanh(W x_t). Units see each other
    through the gates alone, and without input h dies away. V is ``weight_ih``, U ``weight_hh``, W ``weight_ix`` (H, I);
    W x_t has no bias, in the paper as here. The paper starts the biases of theta at 1 and of eta at -1:
    ``forget_bias=1.0`` does the first.

    >>> y, h = CFN(3, 4, forget_bias=1.0)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("theta", "eta")
    forget_gate = "theta"

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        like = self.weight_hh
        self.weight_ix = nn.Parameter(torch.empty(hidden_size, input_size, device=like.device, dtype=like.dtype))

    def step(self, x: Gated, h: Tensor) -> Tensor:
        z = x + self.recur(h)
        return sigmoid(z.theta) * tanh(h) + sigmoid(z.eta) * tanh(F.linear(x.raw, self.weight_ix))
