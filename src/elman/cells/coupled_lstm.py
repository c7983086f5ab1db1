"""LSTM that forgets exactly where it writes."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from ..cell import Cell, Gated


class CoupledLSTM(Cell):
    """LSTM with coupled gates, the input gate being 1 - f: "CIFG" of Greff et al. 2015, arXiv:1503.04069.

    c_t = f c_{t-1} + (1 - f) g; h_t = o tanh(c_t). Three gates in place of four.

    >>> import torch
    >>> y, (h, c) = CoupledLSTM(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        f = sigmoid(z.f)
        c = f * c + (1 - f) * tanh(z.g)
        return sigmoid(z.o) * tanh(c), c
