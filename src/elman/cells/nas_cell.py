"""The cell that neural architecture search found."""

from __future__ import annotations

from typing import Any

from torch import Tensor, relu, sigmoid, tanh

from ..cell import Cell, Gated


class NASCell(Cell):
    """Cell found by architecture search (Zoph and Le 2017, arXiv:1611.01578), as TensorFlow's ``contrib.rnn.NASCell``.

    With a_k = (W x_t)_k, u_k = (U h_{t-1})_k and z_k = a_k + u_k for the eight gates k = 0 to 7:
    c_t = tanh(c_{t-1} + tanh(sigmoid(z_0) relu(z_1))) tanh(sigmoid(z_2) + relu(a_3 u_3));
    h_t = tanh(c_t tanh(tanh(tanh(z_4) sigmoid(z_5)) + sigmoid(tanh(z_6) + sigmoid(z_7)))).
    Gate 3 multiplies input and state; libraries that add them there too compute another cell. TensorFlow's one bias
    is ``bias_hh``, with ``bias_ih`` zero; its ``num_proj`` is not offered.

    Args:
        bias: whether there are biases; default no, as in TensorFlow.

    >>> import torch
    >>> y, (h, c) = NASCell(3, 4)(torch.zeros(2, 3))
    >>> c.shape
    torch.Size([2, 4])
    """

    gates = ("g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7")
    states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = False, **options: Any) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        u = self.recur(h)
        z = x + u
        old = tanh(c + tanh(sigmoid(z.g0) * relu(z.g1)))
        c = old * tanh(sigmoid(z.g2) + relu(x.g3 * u.g3))
        left = tanh(tanh(z.g4) * sigmoid(z.g5))
        right = sigmoid(tanh(z.g6) + sigmoid(z.g7))
        return tanh(c * tanh(left + right)), c
