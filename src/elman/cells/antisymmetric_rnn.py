"""Network with an antisymmetric recurrent matrix."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class AntisymmetricRNN(Cell):
    """Euler steps of a stable differential equation: Chang et al. 2019, "AntisymmetricRNN", arXiv:1902.09689.

    A = U - U' - gamma I; h_t = h_{t-1} + epsilon tanh(W x_t + A h_{t-1} + b). Gated, h_t = h_{t-1} + epsilon s
    tanh(W x_t + A h_{t-1} + b) with s = sigmoid(V x_t + A h_{t-1} + b_s) and the same A: V and b_s are ``gate.weight``
    and ``gate.bias``. U is ``weight_hh``. ``bias_hh`` belongs to the tanh alone; nothing of it enters s.

    Args:
        epsilon: length of the step; default 0.1.
        gamma: damping; default 0.01.
        gated: whether the input gate s exists; default False.

    Raises ``UserError`` for ``epsilon`` not above 0 or ``gamma`` below 0.

    >>> import torch
    >>> y, h = AntisymmetricRNN(3, 4, gated=True)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.1,
        gamma: float = 0.01,
        gated: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if not epsilon > 0:
            raise UserError(f"AntisymmetricRNN got epsilon={epsilon}; give the length of a step, above 0")
        if not gamma >= 0:
            raise UserError(f"AntisymmetricRNN got gamma={gamma}; give the damping, at least 0")
        self.epsilon = epsilon
        self.gamma = gamma
        self.gated = gated
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        self.gate = nn.Linear(input_size, hidden_size, bias=self.bias, **place) if gated else None

    def step(self, x: Gated, h: Tensor) -> Tensor:
        a = F.linear(h, self.weight_hh - self.weight_hh.t()) - self.gamma * h
        new = tanh(x.h + (a if self.bias_hh is None else a + self.bias_hh))
        if self.gate is not None:
            new = sigmoid(self.gate(x.raw) + a) * new
        return h + self.epsilon * new
