"""Gated network whose gate and candidate share their weights."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class FastGRNN(Cell):
    """Gate and candidate from one product, for small devices: Kusupati et al. 2018, arXiv:1901.02358.

    a = W x_t + U h_{t-1}; z = sigmoid(a + b_z); n = tanh(a + b_n);
    h_t = (zeta (1 - z) + nu) n + z h_{t-1}. zeta and nu are one learned number each, the sigmoid of ``zeta_logit`` and
    ``nu_logit``, which start at 1 and -4 as in the authors' code. W is ``weight_ih`` (H, I), U ``weight_hh`` (H, H),
    b_z ``bias_z`` and b_n ``bias_n``. With a rank R, a matrix is the product of two: W = ``weight_ri`` ``weight_ih``
    of (H, R) and (R, I), U = ``weight_rh`` ``weight_hh`` of (H, R) and (R, H).

    Some libraries give the gate the candidate's function (tanh) in place of the sigmoid: not the paper's cell.

    Args:
        input_rank: rank of W; default full.
        recurrent_rank: rank of U; default full.

    Raises ``UserError`` for a rank below 1.

    >>> y, h = FastGRNN(3, 4, recurrent_rank=2)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("a",)
    forget_gate = "z"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        input_rank: int | None = None,
        recurrent_rank: int | None = None,
        bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=False, **options)
        ranks: dict[str, Any] = {"input_rank": input_rank, "recurrent_rank": recurrent_rank}
        for name, rank in ranks.items():
            if rank is not None and (not isinstance(rank, int) or rank < 1):
                raise UserError(
                    f"FastGRNN got {name}={rank!r}; give a whole number of at least 1, or None for full rank"
                )
        self.input_rank = input_rank
        self.recurrent_rank = recurrent_rank
        self.bias = bias
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        if input_rank is not None:
            self.weight_ih = nn.Parameter(torch.empty(input_rank, input_size, **place))
        if recurrent_rank is not None:
            self.weight_hh = nn.Parameter(torch.empty(recurrent_rank, hidden_size, **place))
        self.weight_ri = nn.Parameter(torch.empty(hidden_size, input_rank, **place)) if input_rank else None
        self.weight_rh = nn.Parameter(torch.empty(hidden_size, recurrent_rank, **place)) if recurrent_rank else None
        self.bias_z = nn.Parameter(torch.empty(hidden_size, **place)) if bias else None
        self.bias_n = nn.Parameter(torch.empty(hidden_size, **place)) if bias else None
        self.zeta_logit = nn.Parameter(torch.empty(1, **place))
        self.nu_logit = nn.Parameter(torch.empty(1, **place))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.zeta_logit, 1.0)
        nn.init.constant_(self.nu_logit, -4.0)

    @property
    def forget_biases(self) -> tuple[Tensor, ...]:
        return () if self.bias_z is None else (self.bias_z,)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        from_x = x.a if self.weight_ri is None else F.linear(x.a, self.weight_ri)
        from_h = self.recur.a(h) if self.weight_rh is None else F.linear(self.recur.a(h), self.weight_rh)
        a = from_x + from_h
        z = sigmoid(a if self.bias_z is None else a + self.bias_z)
        n = tanh(a if self.bias_n is None else a + self.bias_n)
        return (sigmoid(self.zeta_logit) * (1 - z) + sigmoid(self.nu_logit)) * n + z * h
