"""Minimal GRU whose gates do not see the state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, sigmoid

from ..cell import Cell, Gated
from ..linear_recurrence import linear_scan


def positive_part(x: Tensor) -> Tensor:
    """The function g of appendix B of arXiv:2410.01201: x + 0.5 from 0 on, sigmoid(x) below; positive everywhere.

    >>> positive_part(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0.2689, 0.5000, 2.5000])
    """
    return torch.where(x >= 0, x + 0.5, sigmoid(x))


class MinGRU(Cell):
    """Minimal GRU: Feng et al. 2024, "Were RNNs all we needed?", arXiv:2410.01201, section 3.1.

    z = sigmoid((W x_t + b)_z); h_t = (1 - z) h_{t-1} + z (W x_t + b)_n, without the tanh of the GRU: z admits the new,
    where PyTorch's GRU has z keep the old. The state is linear in the one before, so ``parallel`` computes all steps at
    once, equal to ``elman.scan``.

    Args:
        positive: admit g((W x_t + b)_n) instead, g(v) = v + 0.5 from 0 on and sigmoid(v) below: the form of appendix B,
            whose states stay positive. There the first state too goes through g (0 becomes 0.5); here a state is taken
            as it is. Default ``False``.

    >>> cell, x = MinGRU(3, 4), torch.randn(7, 2, 3)
    >>> y, h = cell.parallel(x)
    >>> torch.allclose(h, cell(x[6], y[5])[1], atol=1e-6)
    True
    """

    gates = ("z", "n")
    recurrent_matrix = False

    def __init__(self, input_size: int, hidden_size: int, *, positive: bool = False, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.positive = positive

    def step(self, x: Gated, h: Tensor) -> Tensor:
        keep, new = self._terms(x)
        return keep * h + new

    def all_steps(self, x: Gated, h: Tensor) -> Tensor:
        return linear_scan(*self._terms(x), h)

    def _terms(self, x: Gated) -> tuple[Tensor, Tensor]:
        z = sigmoid(x.z)
        return 1 - z, z * (positive_part(x.n) if self.positive else x.n)
