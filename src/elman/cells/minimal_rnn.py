"""Network that mixes its state with an encoding of the input."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated


class MinimalRNN(Cell):
    """State and input live in one space and are mixed by one gate: Chen 2017, arXiv:1711.06788.

    z = tanh(W x_t + b_z); u = sigmoid(U_h h_{t-1} + U_z z + b_u); h_t = u h_{t-1} + (1 - u) z. W is ``weight_ih``,
    b_z ``bias_ih``, U_h ``weight_hh``, b_u ``bias_hh``, U_z ``weight_zu`` (H, H). The paper leaves the encoder of x
    open; this is the one of its experiments. z and U_z z do not wait for h: they are computed for all steps at once.

    >>> y, h = MinimalRNN(3, 4, forget_bias=1.0)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("z",)
    forget_gate = "u"

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.weight_zu = nn.Parameter(torch.empty_like(self.weight_hh))

    @property
    def forget_biases(self) -> tuple[Tensor, ...]:
        return () if self.bias_hh is None else (self.bias_hh,)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        z = tanh(x.z)
        u = sigmoid(F.linear(h, self.weight_hh, self.bias_hh) + F.linear(z, self.weight_zu))
        return u * h + (1 - u) * z
