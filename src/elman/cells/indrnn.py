"""Independently recurrent neural network: every unit sees its own past alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..activations import pointwise
from ..cell import Cell, Gated


class IndRNN(Cell):
    """RNN whose recurrent weight is one number a unit: Li et al. 2018, "IndRNN", arXiv:1803.04831, equation 2.

    h_t = relu(W x_t + u * h_{t-1} + b), element by element; u is ``weight_hh`` (H,) and b ``bias_ih``. u starts uniform
    between 0 and 1, with ``init="identity"`` at 1. The paper also keeps |u| below about 2**(1/T) for sequences of T
    steps: clamp ``weight_hh`` after each update where that matters.

    Args:
        nonlinearity: "relu" (the paper), "tanh", or any name of ``elman.activations``.

    >>> y, h = IndRNN(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("h",)
    recurrent_matrix = False

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "relu", **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.nonlinearity = nonlinearity
        self._nonlinearity = pointwise(nonlinearity)
        like = self.weight_ih
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, device=like.device, dtype=like.dtype))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.uniform_(self.weight_hh, 1.0 if self.init == "identity" else 0.0, 1.0)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        return self._nonlinearity(x.h + self.weight_hh * h)
