"""Simple recurrent unit: light recurrence and a highway around it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn, sigmoid

from ..cell import Cell, Gated
from ..errors import UserError
from ..linear_recurrence import linear_scan


class SRU(Cell):
    """Simple recurrent unit: Lei et al. 2018, "Simple recurrent units for highly parallelizable recurrence",
    arXiv:1709.02755, equations 1 to 4.

    f = sigmoid((W x_t + b)_f + v_f c_{t-1}); c_t = f c_{t-1} + (1 - f) W_c x_t;
    r = sigmoid((W x_t + b)_r + v_r c_{t-1}); h_t = r c_t + (1 - r) alpha x_t. Both gates see the old c. The output h is
    no state. W_c is ``candidate.weight``, v_f ``weight_cf``, v_r ``weight_cr`` (H,). With I != H the highway carries
    ``highway(x_t)``, a learned product without bias, in place of x_t. alpha = sqrt(1 + 2 exp(highway_bias)) keeps the
    variance of the output near that of the input at the start.

    With ``peephole=False`` c is linear in the one before, and ``parallel`` computes all steps at once, equal to
    ``elman.scan``. As published it is not: there is then no parallel form over time.

    Args:
        peephole: the gates see c through v_f and v_r, as published; default ``True``.
        highway_bias: the start of r's bias, and by it alpha; default 0.

    Raises ``UserError`` for a highway bias without biases.

    >>> y, c = SRU(3, 4)(torch.zeros(2, 3))
    >>> y.shape, c.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    gates = ("f", "r")
    states = ("c",)
    output = "h"
    forget_gate = "f"
    recurrent_matrix = False

    def __init__(
        self, input_size: int, hidden_size: int, *, peephole: bool = True, highway_bias: float = 0.0, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if highway_bias and not self.bias:
            raise UserError(f"SRU got highway_bias={highway_bias} with bias=False; there is no bias to start from it")
        self.peephole = peephole
        self.highway_bias = highway_bias
        self._alpha = math.sqrt(1 + 2 * math.exp(highway_bias))
        place: dict[str, Any] = {"device": self.weight_ih.device, "dtype": self.weight_ih.dtype}
        self.candidate = nn.Linear(input_size, hidden_size, bias=False, **place)
        self.highway = None if input_size == hidden_size else nn.Linear(input_size, hidden_size, bias=False, **place)
        self.weight_cf = nn.Parameter(torch.empty(hidden_size, **place)) if peephole else None
        self.weight_cr = nn.Parameter(torch.empty(hidden_size, **place)) if peephole else None

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias_ih is not None:
            nn.init.constant_(self.bias_ih.detach().chunk(2)[1], self.highway_bias)

    def step(self, x: Gated, c: Tensor) -> tuple[Tensor, Tensor]:
        of_f, of_r = x.f, x.r
        if self.weight_cf is not None and self.weight_cr is not None:
            of_f, of_r = of_f + self.weight_cf * c, of_r + self.weight_cr * c
        f = sigmoid(of_f)
        c = f * c + (1 - f) * self.candidate(x.raw)
        return self._read(x, sigmoid(of_r), c), c

    def all_steps(self, x: Gated, c: Tensor) -> tuple[Tensor, Tensor]:
        if self.peephole:
            raise UserError("SRU has no parallel form over time with peephole=True: its gates see the state; use scan")
        f = sigmoid(x.f)
        c = linear_scan(f, (1 - f) * self.candidate(x.raw), c)
        return self._read(x, sigmoid(x.r), c), c

    def _read(self, x: Gated, r: Tensor, c: Tensor) -> Tensor:
        carried = x.raw if self.highway is None else self.highway(x.raw)
        return r * c + (1 - r) * (self._alpha * carried)
