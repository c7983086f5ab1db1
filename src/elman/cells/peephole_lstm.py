"""LSTM whose gates see the cell state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated


class PeepholeLSTM(Cell):
    """LSTM with peephole connections (Gers and Schmidhuber 2000, "Recurrent nets that time and count").

    The gates i and f also see the old cell state c_{t-1}, the gate o the new one c_t, each through one weight a unit
    (``weight_ci``, ``weight_cf``, ``weight_co``, (H,) each). Some libraries show o the old state: that is another cell.

    >>> y, (h, c) = PeepholeLSTM(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        like = self.weight_hh
        self.weight_ci = nn.Parameter(torch.empty(hidden_size, device=like.device, dtype=like.dtype))
        self.weight_cf = nn.Parameter(torch.empty_like(self.weight_ci))
        self.weight_co = nn.Parameter(torch.empty_like(self.weight_ci))

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        i = sigmoid(z.i + self.weight_ci * c)
        f = sigmoid(z.f + self.weight_cf * c)
        c = f * c + i * tanh(z.g)
        o = sigmoid(z.o + self.weight_co * c)
        return o * tanh(c), c
