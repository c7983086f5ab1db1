"""LSTM whose units are open only in a part of a learned period of real time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class PhasedLSTM(Cell):
    """LSTM with a gate in time (Neil et al. 2016, arXiv:1610.09513), for events at any times: x and t are its inputs.

    phi = ((t - s) mod tau) / tau; k = 2 phi / r for phi < r / 2, 2 - 2 phi / r for phi < r, else alpha phi;
    c~, h~ are what an LSTM with peepholes makes of x_t, h, c (its o gate sees c~);
    c_t = k c~ + (1 - k) c_{t-1}; h_t = k h~ + (1 - k) h_{t-1}.
    Each unit learns its period tau = exp(``log_period``), shift s = ``shift`` and open ratio
    r = sigmoid(``ratio_logit``), so that tau stays above 0 and r between 0 and 1; others learn tau and r as they are,
    or use their absolute values. The paper subtracts the shift, the authors' code adds it. In training the leak alpha
    lets gradients through closed units; after ``cell.eval()`` alpha is 0, and a closed unit keeps its state to the
    last bit. TensorFlow's class leaks in both modes and has no peepholes by default.

    ``elman.scan(cell, (x, t))``: t (T, B, 1) are the times of the steps, in the unit of the periods and the dtype of x.
    float32 tells times apart to one part in 16 million: for clock times subtract the start.

    Args:
        period_min, period_max: the periods start log-uniform between these, the shifts uniform in [0, tau);
            default 1 and 1000.
        ratio_on: r to start from, between 0 and 1; default 0.05.
        leak: alpha in training, 0 to 1; default 0.001.
        peephole: whether gates see the cell state; default yes, as the paper.

    Raises ``UserError`` for an option out of range, and for times of another shape.

    >>> cell = PhasedLSTM(3, 4)
    >>> y, (h, c) = cell((torch.zeros(2, 3), torch.tensor([[0.3], [7.1]])))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    inputs = ("x", "t")
    forget_gate = "f"

    log_period: Tensor
    shift: Tensor
    ratio_logit: Tensor
    weight_ci: Tensor
    weight_cf: Tensor
    weight_co: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        period_min: float = 1.0,
        period_max: float = 1000.0,
        ratio_on: float = 0.05,
        leak: float = 0.001,
        peephole: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if not 0 < period_min <= period_max:
            raise UserError(f"PhasedLSTM got period_min={period_min}, period_max={period_max}; expected 0 < min <= max")
        if not 0 < ratio_on < 1:
            raise UserError(f"PhasedLSTM got ratio_on={ratio_on}; give a number between 0 and 1 (ends excluded)")
        if not 0 <= leak <= 1:
            raise UserError(f"PhasedLSTM got leak={leak}; give a number between 0 and 1")
        self.period_min = period_min
        self.period_max = period_max
        self.ratio_on = ratio_on
        self.leak = leak
        self.peephole = peephole
        names = ("log_period", "shift", "ratio_logit") + ("weight_ci", "weight_cf", "weight_co") * peephole
        for name in names:
            self.register_parameter(name, nn.Parameter(self.weight_hh.new_empty(hidden_size)))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.log_period.uniform_(math.log(self.period_min), math.log(self.period_max))
            self.shift.uniform_().mul_(self.log_period.exp())
            self.ratio_logit.fill_(math.log(self.ratio_on / (1 - self.ratio_on)))

    def example_inputs(self, time: int, batch_size: int) -> tuple[Tensor, ...]:
        """x, and times that rise by irregular steps of 1 on average."""
        x, t = super().example_inputs(time, batch_size)
        return x, t.abs().add(0.2).cumsum(0)

    def step(self, x: Gated, t: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if t.dim() != 2 or t.shape[1] != 1:
            raise UserError(
                f"PhasedLSTM got times {tuple(t.shape)} in a step; expected (B, 1), so t (T, B, 1) in a scan"
            )
        k = self._openness(t)
        z = x + self.recur(h)
        i = sigmoid(z.i + self.weight_ci * c if self.peephole else z.i)
        f = sigmoid(z.f + self.weight_cf * c if self.peephole else z.f)
        new = f * c + i * tanh(z.g)
        o = sigmoid(z.o + self.weight_co * new if self.peephole else z.o)
        return k * (o * tanh(new)) + (1 - k) * h, k * new + (1 - k) * c

    def _openness(self, t: Tensor) -> Tensor:
        """k (B, H) of the times t (B, 1)."""
        cycles = (t - self.shift) * torch.exp(-self.log_period)
        phase = cycles - torch.floor(cycles)
        slope = 2 * phase / sigmoid(self.ratio_logit)
        closed = self.leak * phase if self.training else 0.0
        return torch.where(slope < 1, slope, torch.where(slope < 2, 2 - slope, closed))
