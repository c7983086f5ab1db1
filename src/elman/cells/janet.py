"""LSTM with nothing but its forget gate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class JANET(Cell):
    """LSTM with the forget gate alone: "JANET" of van der Westhuizen and Lasenby 2018, arXiv:1804.04849.

    s, a = W x_t + U h_{t-1} + b; h_t = sigmoid(s) h_{t-1} + (1 - sigmoid(s - beta)) tanh(a). With ``beta`` above 0 a
    unit takes in more than it lets go. The cell state is the output, so there is one state; libraries that return
    (h, c) return it twice.

    Args:
        beta: how far the input's gate stands open beyond the forget gate; default 1.0, as in the paper.
        chrono: the longest dependence to expect, in steps; the forget gate's bias then starts as log u with u uniform
            in [1, chrono - 1] (Tallec and Ollivier 2018, arXiv:1804.11188). Default ``None``: as ``init`` says.

    Raises ``UserError`` for ``chrono`` below 2, or together with ``forget_bias`` or without biases.

    >>> y, h = JANET(3, 4, chrono=784)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("f", "n")
    forget_gate = "f"

    def __init__(
        self, input_size: int, hidden_size: int, *, beta: float = 1.0, chrono: float | None = None, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if chrono is not None and not chrono >= 2:
            raise UserError(f"JANET got chrono={chrono}; give the longest dependence in steps, at least 2")
        if chrono is not None and (self.forget_bias is not None or not self.bias):
            other = f"forget_bias={self.forget_bias}" if self.bias else "bias=False"
            raise UserError(
                f"JANET got chrono={chrono} and {other}; chrono starts the forget gate's bias: leave one out"
            )
        self.beta = beta
        self.chrono = chrono

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.chrono is not None:
            with torch.no_grad():
                ours, other = self.forget_biases
                nn.init.uniform_(ours, 1.0, self.chrono - 1.0).log_()
                other.zero_()

    def step(self, x: Gated, h: Tensor) -> Tensor:
        z = x + self.recur(h)
        return sigmoid(z.f) * h + (1 - sigmoid(z.f - self.beta)) * tanh(z.n)
