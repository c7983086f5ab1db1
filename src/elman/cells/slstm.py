"""sLSTM: the LSTM of xLSTM with exponential gates."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, exp, nn, sigmoid, tanh

from ..cell import Cell, Gated, Recurrence
from ..errors import UserError, nearest


class SLSTM(Cell):
    """sLSTM of xLSTM (Beck et al. 2024, arXiv:2405.04517, section 2.2): exponential gates, normaliser n, stabiliser m.

    With i~, f~, z~, o~ = W x_t + R h_{t-1} + b and log f = logsigmoid(f~), or f~ with ``forget="exp"``:
    m_t = max(log f + m_{t-1}, i~); i = exp(i~ - m_t); f = exp(log f + m_{t-1} - m_t);
    c_t = f c_{t-1} + i tanh(z~); n_t = f n_{t-1} + i; h_t = sigmoid(o~) c_t / n_t. Rows i, f, z, o.
    m leaves h as it is and keeps the exponentials at most 1. Where n = 0 nothing has been stored yet and m_{t-1} counts
    as minus infinity, so that n >= 1 ever after and nothing is divided by 0. The authors' code asks for n = 0 in the
    whole batch; code that merely starts m at 0 divides 0 by 0 for a large negative i~. The convolution before the cell
    and the norm after it belong to the paper's block.

    Args:
        forget: "sigmoid" (default, as the authors' code) or "exp"; the paper allows both.
        heads: blocks of H / heads units that see only themselves through R; ``weight_hh`` is then (4H, H / heads).

    Raises ``UserError`` for another ``forget``, and for heads that do not divide H.

    >>> y, (h, c, n, m) = SLSTM(3, 4, heads=2)(torch.zeros(2, 3))
    >>> y.shape, n.min() >= 1
    (torch.Size([2, 4]), tensor(True))
    """

    gates = ("i", "f", "z", "o")
    states = ("h", "c", "n", "m")
    internal = ("c", "n", "m")  # c and n are in units of exp(m)
    forget_gate = "f"

    def __init__(
        self, input_size: int, hidden_size: int, *, forget: str = "sigmoid", heads: int = 1, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if forget not in ("sigmoid", "exp"):
            raise UserError(f"SLSTM got forget={forget!r}; {nearest(forget, ('sigmoid', 'exp'))}")
        if type(heads) is not int or heads < 1 or hidden_size % heads:
            raise UserError(f"SLSTM got heads={heads!r}; give a whole number that divides the {hidden_size} units")
        self.forget = forget
        self.heads = heads
        if heads > 1:
            self.weight_hh = nn.Parameter(self.weight_hh.new_empty(4 * hidden_size, hidden_size // heads))

    def step(self, x: Gated, h: Tensor, c: Tensor, n: Tensor, m: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        v = x + (self.recur if self.heads == 1 else self._by_head())(h)
        log_f = F.logsigmoid(v.f) if self.forget == "sigmoid" else v.f
        kept = torch.where(n == 0, -math.inf, log_f + m)
        m = torch.maximum(kept, v.i)
        i, f = exp(v.i - m), exp(kept - m)
        c = f * c + i * tanh(v.z)
        n = f * n + i
        return sigmoid(v.o) * c / n, c, n, m

    def _by_head(self) -> Recurrence:
        """The recurrent product with the heads' blocks on the diagonal of each gate's matrix."""
        rows = self.hidden_size // self.heads
        blocks = [torch.block_diag(*gate.split(rows)) for gate in self.weight_hh.chunk(4)]
        return Recurrence(torch.cat(blocks), self.bias_hh, self.gates)
