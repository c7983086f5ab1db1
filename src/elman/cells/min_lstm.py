"""Minimal LSTM whose gates do not see the state."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid
from torch.nn.functional import logsigmoid

from ..cell import Cell, Gated
from ..linear_recurrence import linear_scan
from .min_gru import positive_part


class MinLSTM(Cell):
    """Minimal LSTM: Feng et al. 2024, "Were RNNs all we needed?", arXiv:2410.01201, section 3.2.

    f, i = sigmoid of (W x_t + b), gate by gate; f' = f / (f + i), i' = i / (f + i);
    h_t = f' h_{t-1} + i' (W x_t + b)_n: there is no cell state and no output gate, and the two gates sum to 1. f' is
    computed as sigmoid(log f - log i), which cannot become 0 / 0. The state is linear in the one before, so
    ``parallel`` computes all steps at once, equal to ``elman.scan``.

    Args:
        positive: admit g((W x_t + b)_n), the form of appendix B; see ``MinGRU``. Default ``False``.

    >>> import torch
    >>> cell, x = MinLSTM(3, 4, forget_bias=1.0), torch.randn(7, 2, 3)
    >>> y, h = cell.parallel(x)
    >>> torch.allclose(h, cell(x[6], y[5])[1], atol=1e-6)
    True
    """

    gates = ("f", "i", "n")
    forget_gate = "f"
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
        keep = sigmoid(logsigmoid(x.f) - logsigmoid(x.i))
        return keep, (1 - keep) * (positive_part(x.n) if self.positive else x.n)
