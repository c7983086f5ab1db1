"""Quasi-recurrent network: gates from a window of inputs, and a pooling over time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError
from ..linear_recurrence import linear_scan


class QRNN(Cell):
    """Quasi-recurrent network with fo-pooling: Bradbury et al. 2017, arXiv:1611.01576, equations 3 and 4.

    z = tanh, f = sigmoid, o = sigmoid of W x_t + V [x_{t-1}, ..., x_{t-k+1}] + b, gate by gate;
    c_t = f c_{t-1} + (1 - f) z; h_t = o c_t. The output h is no state; the states are c and ``past``, the k - 1 inputs
    before, the newest first, zeros at the start. W is ``weight_ih`` and V ``weight_past`` (3H, (k - 1) I). c is linear
    in the one before, so ``parallel`` computes all steps at once, equal to ``elman.scan``.

    Args:
        window: inputs k that the gates see, at least 2; default 2.

    Raises ``UserError`` for a window below 2.

    >>> y, (c, past) = QRNN(3, 4)(torch.zeros(2, 3))
    >>> y.shape, past.shape
    (torch.Size([2, 4]), torch.Size([2, 3]))
    """

    gates = ("z", "f", "o")
    states = ("c", "past")
    internal = ("past",)
    output = "h"
    forget_gate = "f"
    recurrent_matrix = False

    def __init__(self, input_size: int, hidden_size: int, *, window: int = 2, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        if window < 2:
            raise UserError(f"QRNN got window={window!r}; give a whole number of at least 2")
        self.window = window
        like = self.weight_ih
        rows, columns = 3 * hidden_size, (window - 1) * input_size
        self.weight_past = nn.Parameter(torch.empty(rows, columns, device=like.device, dtype=like.dtype))

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, self.weight_past.shape[1]

    def step(self, x: Gated, c: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = x + Gated(F.linear(past, self.weight_past), self.gates)
        f = sigmoid(z.f)
        c = f * c + (1 - f) * tanh(z.z)
        return sigmoid(z.o) * c, c, torch.cat([x.raw, past[:, : -self.input_size]], -1)

    def all_steps(self, x: Gated, c: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        older = past.chunk(self.window - 1, -1)[::-1]
        inputs = torch.cat([torch.stack(older), x.raw])
        steps = len(inputs) - len(older) + 1  # what is past before each step, and after the last
        pasts = torch.cat([inputs[k : k + steps] for k in reversed(range(len(older)))], -1)
        z = x + Gated(F.linear(pasts[:-1], self.weight_past), self.gates)
        f = sigmoid(z.f)
        c = linear_scan(f, (1 - f) * tanh(z.z), c)
        return sigmoid(z.o) * c, c, pasts[1:]
