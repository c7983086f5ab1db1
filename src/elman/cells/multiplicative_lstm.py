"""LSTM whose recurrent weights depend on the input."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated


class MultiplicativeLSTM(Cell):
    """LSTM that sees h through a product with the input, "mLSTM": Krause et al. 2016, arXiv:1609.07959.

    m = (W_mx x_t) (W_mh h_{t-1}), unit by unit; i, f, o = sigmoid and g = tanh of W x_t + U m + b, gate by gate;
    c_t = f c_{t-1} + i g; h_t = o tanh(c_t). W_mx is ``weight_mx`` (H, I), W_mh ``weight_mh`` (H, H); m has no bias.

    So the authors' Chainer code. Their first code, in Matlab, leaves g without the tanh and has h_t = tanh(o c_t); some
    libraries add biases to both factors of m. Not the matrix-memory "mLSTM" of 2024.

    >>> y, (h, c) = MultiplicativeLSTM(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        self.weight_mx = nn.Parameter(torch.empty(hidden_size, input_size, **place))
        self.weight_mh = nn.Parameter(torch.empty(hidden_size, hidden_size, **place))

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        m = F.linear(x.raw, self.weight_mx) * F.linear(h, self.weight_mh)
        z = x + self.recur(m)
        i, f, o = sigmoid(z.i), sigmoid(z.f), sigmoid(z.o)
        c = f * c + i * tanh(z.g)
        return o * tanh(c), c
