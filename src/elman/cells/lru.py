"""Linear recurrent unit: a complex diagonal recurrence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell, Gated
from ..errors import UserError
from ..linear_recurrence import linear_scan


class LRU(Cell):
    """Linear recurrent unit: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences",
    arXiv:2303.06349, section 3.

    h_t = lambda h_{t-1} + gamma (B x_t), complex and element by element; y_t = Re(C h_t) + D x_t;
    lambda = exp(-exp(nu_log) + i exp(theta_log)), gamma = exp(gamma_log). The states are the real and the imaginary
    part of h. The rows of B, real part first, are ``weight_ih``; C is ``readout_re.weight`` + i ``readout_im.weight``;
    D, a full matrix, is ``skip.weight``. The state is linear in the one before, so ``parallel`` computes all steps at
    once, equal to ``elman.scan``.

    lambda starts uniform on the ring r_min <= |lambda| <= r_max with a phase from 0 to max_phase, and gamma at
    sqrt(1 - |lambda|^2), under every ``init``, which starts B, C and D.

    Args:
        r_min: inner radius of the ring; default 0.
        r_max: outer radius, at most 1; default 1. For long memory the paper takes a thin ring near 1.
        max_phase: largest phase at the start in radians; default 2 pi.
        bias: a bias of B x_t; default ``False``, as in the paper.

    Raises ``UserError`` unless 0 <= r_min < r_max <= 1 and 0 < max_phase <= 2 pi.

    >>> y, (re, im) = LRU(3, 4, r_min=0.9)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("re", "im")
    states = ("re", "im")
    output = "y"
    recurrent_matrix = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        bias: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)
        if not 0 <= r_min < r_max <= 1:
            raise UserError(f"LRU got r_min={r_min} and r_max={r_max}; give 0 <= r_min < r_max <= 1")
        if not 0 < max_phase <= 2 * math.pi:
            raise UserError(f"LRU got max_phase={max_phase}; give an angle above 0, up to 2 pi")
        self.r_min = r_min
        self.r_max = r_max
        self.max_phase = max_phase
        place: dict[str, Any] = {"device": self.weight_ih.device, "dtype": self.weight_ih.dtype}
        self.nu_log = nn.Parameter(torch.empty(hidden_size, **place))
        self.theta_log = nn.Parameter(torch.empty(hidden_size, **place))
        self.gamma_log = nn.Parameter(torch.empty(hidden_size, **place))
        self.readout_re = nn.Linear(hidden_size, hidden_size, bias=False, **place)
        self.readout_im = nn.Linear(hidden_size, hidden_size, bias=False, **place)
        self.skip = nn.Linear(input_size, hidden_size, bias=False, **place)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            # Away from 0 and 1, where logarithms end. |lambda|^2 is uniform, as lambda is on the area of the ring.
            drawn = torch.rand(2, self.hidden_size, device=self.nu_log.device, dtype=torch.float64)
            share, turn = drawn.clamp(1e-6, 1 - 1e-6)
            square = self.r_min**2 + share * (self.r_max**2 - self.r_min**2)
            self.nu_log.copy_(torch.log(-0.5 * torch.log(square)))
            self.theta_log.copy_(torch.log(turn * self.max_phase))
            self.gamma_log.copy_(0.5 * torch.log(1 - square))

    def step(self, x: Gated, re: Tensor, im: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        size, phase, gamma = torch.exp(-torch.exp(self.nu_log)), torch.exp(self.theta_log), torch.exp(self.gamma_log)
        cos, sin = size * torch.cos(phase), size * torch.sin(phase)
        re, im = cos * re - sin * im + gamma * x.re, sin * re + cos * im + gamma * x.im
        return self._read(x, re, im), re, im

    def all_steps(self, x: Gated, re: Tensor, im: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # As complex numbers, of which there are none of half precision.
        wide = torch.promote_types(re.dtype, torch.float32)
        parts = (-torch.exp(self.nu_log), torch.exp(self.theta_log), x.re, x.im, re, im)
        log_size, phase, x_re, x_im, re_0, im_0 = (each.to(wide) for each in parts)
        factor = torch.exp(torch.complex(log_size, phase)).expand(len(x_re), 1, -1)
        h = linear_scan(factor, torch.exp(self.gamma_log) * torch.complex(x_re, x_im), torch.complex(re_0, im_0))
        new_re, new_im = h.real.to(re.dtype), h.imag.to(im.dtype)
        return self._read(x, new_re, new_im), new_re, new_im

    def _read(self, x: Gated, re: Tensor, im: Tensor) -> Tensor:
        return self.readout_re(re) - self.readout_im(im) + self.skip(x.raw)
