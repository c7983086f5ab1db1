"""Clockwork RNN: groups of units that work at different speeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, tanh

from ..cell import Cell, Gated
from ..errors import UserError

_LARGEST_CYCLE = 2**24  # up to which float32 counts every step


class ClockworkRNN(Cell):
    """RNN in groups of units with periods p: Koutnik et al. 2014, arXiv:1402.3511. A group works when t mod p = 0.

    h_t = tanh(W x_t + U h_{t-1} + b) in the groups whose turn it is, h_{t-1} in the others; t counts from 0, so that
    all work in the first step. A group sees itself and slower ones: the blocks of ``weight_hh`` from faster groups to
    slower ones are taken as 0, whatever they hold (the paper's block-triangular U). The output is h of all groups.

    The state ``t`` (B, 1) is the number of the step within the common cycle of all periods, a whole number: sequences
    cut in pieces keep their rhythm, and a reset row starts anew.

    Args:
        periods: the period of each group; a number g stands for 1, 2, 4, ..., 2^(g-1), the paper's choice; default: 8
            such groups, or as many as units. H units fall to g groups evenly, the first H mod g groups with one more.

    Raises ``UserError`` for periods below 1, more groups than units, and periods whose least common multiple is above
    2^24.

    >>> y, (h, t) = ClockworkRNN(3, 6, periods=(1, 3))(torch.zeros(2, 3))
    >>> y.shape, t.tolist()
    (torch.Size([2, 6]), [[1.0], [1.0]])
    """

    gates = ("h",)
    states = ("h", "t")
    internal = ("t",)

    period: Tensor

    def __init__(
        self, input_size: int, hidden_size: int, *, periods: int | Sequence[int] | None = None, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        count = min(8, hidden_size) if periods is None else periods
        self._periods = [2**k for k in range(count)] if isinstance(count, int) else list(count)
        if not self._periods or not all(isinstance(period, int) and period >= 1 for period in self._periods):
            raise UserError(f"ClockworkRNN got periods={periods!r}; give whole numbers of at least 1")
        if len(self._periods) > hidden_size:
            raise UserError(f"ClockworkRNN got {len(self._periods)} groups for {hidden_size} units; give fewer periods")
        self._cycle = math.lcm(*self._periods)
        if self._cycle > _LARGEST_CYCLE:
            raise UserError(
                f"ClockworkRNN got periods={periods!r}, which meet again after {self._cycle} steps; "
                f"give periods with a least common multiple of at most {_LARGEST_CYCLE}"
            )
        self.periods = periods
        self.register_buffer("period", self.weight_hh.new_empty(hidden_size), persistent=False)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for part, period in zip(self.period.tensor_split(len(self._periods)), self._periods, strict=True):
            part.fill_(period)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, 1

    def step(self, x: Gated, h: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.floor(t + 0.5)  # a state that starts from noise still counts
        from_slower = self.period >= self.period.unsqueeze(1)
        new = tanh(x.h + F.linear(h, self.weight_hh * from_slower, self.bias_hh))
        h = torch.where(_remainder(t, self.period) < 0.5, new, h)
        return h, _remainder(t + 1, self._cycle)


def _remainder(t: Tensor, period: Tensor | int) -> Tensor:
    """t mod period for whole numbers; the half keeps a rounded quotient on the right side."""
    return t - period * torch.floor((t + 0.5) / period)
