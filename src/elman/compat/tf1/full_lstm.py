"""The step of TF1's LSTMCell: every one of its options, in any combination."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, sigmoid

from ...activations import pointwise
from ...cell import Cell, Gated


class FullLSTM(Cell, register=False):
    """LSTM with optional peepholes, clips and projection; ``elman.cells.LSTM`` with none of them.

    The weights are those of ``LSTMCell``, put in at each run (``with_parameters``): of its own it has none. The cells
    for general use are ``elman.cells.LSTM``, ``PeepholeLSTM`` and ``ProjectedLSTM``; TF1 alone has all of their options
    at once, and any activation.
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")

    weight_ci: Tensor
    weight_cf: Tensor
    weight_co: Tensor
    weight_hr: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str,
        peepholes: bool,
        cell_clip: float | None,
        projection_size: int | None,
        projection_clip: float | None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.activation = activation
        self.peepholes = peepholes
        self.cell_clip = cell_clip
        self.projection_size = projection_size
        self.projection_clip = projection_clip
        self._activation = pointwise(activation)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.projection_size or self.hidden_size, self.hidden_size

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        i, f, o = z.i, z.f, z.o
        if self.peepholes:
            i, f = i + self.weight_ci * c, f + self.weight_cf * c
        c = sigmoid(f) * c + sigmoid(i) * self._activation(z.g)
        if self.cell_clip is not None:
            c = c.clamp(-self.cell_clip, self.cell_clip)
        if self.peepholes:
            o = o + self.weight_co * c
        h = sigmoid(o) * self._activation(c)
        if self.projection_size is not None:
            h = F.linear(h, self.weight_hr)
        if self.projection_clip is not None:
            h = h.clamp(-self.projection_clip, self.projection_clip)
        return h, c
