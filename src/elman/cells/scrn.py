"""Structurally constrained recurrent network: an RNN with a slow context layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn, sigmoid

from ..activations import pointwise
from ..cell import Cell, Gated
from ..errors import UserError, nearest
from ..linear_recurrence import linear_scan


class SCRN(Cell):
    """RNN with context features: Mikolov et al. 2015, "Learning longer memory in recurrent networks", arXiv:1412.7753.

    s_t = (1 - alpha) B x_t + alpha s_{t-1}; h_t = sigmoid(P s_t + A x_t + R h_{t-1}); the output is [h_t, s_t], so that
    a linear layer on it is the paper's U h_t + V s_t. A is ``weight_ih``, R ``weight_hh``, B ``context_in.weight`` and
    P ``context_out.weight``. The defaults are the paper's: the new context feeds h, sigmoid, no biases.
    Textbook code feeds the old context and uses tanh: ``context="old", nonlinearity="tanh"``.
    The context is linear in the one before and has a parallel form over time, ``all_contexts``; h has none.

    Args:
        context_size: units C of the context s; default: as many as hidden units.
        alpha: how much of the context stays at a step, strictly between 0 and 1 if learned, else 0 to 1; default 0.95.
        learn_alpha: learn one alpha a context unit, as a sigmoid of ``alpha_logit``, starting from ``alpha``.
        context: "new" (s_t, the paper) or "old" (s_{t-1}) feeds h_t.
        nonlinearity: "sigmoid" (the paper), "tanh", or any name of ``elman.activations``.

    Raises ``UserError`` for a size or an alpha out of range or another ``context``.

    >>> y, (h, s) = SCRN(3, 4, context_size=2)(torch.zeros(1, 3))
    >>> y.shape, s.shape
    (torch.Size([1, 6]), torch.Size([1, 2]))
    """

    gates = ("h",)
    states = ("h", "s")
    output = "y"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        context_size: int | None = None,
        alpha: float = 0.95,
        learn_alpha: bool = False,
        context: str = "new",
        nonlinearity: str = "sigmoid",
        bias: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)
        if not (0 < alpha < 1 if learn_alpha else 0 <= alpha <= 1):
            raise UserError(f"SCRN got alpha={alpha}; give a number between 0 and 1{' (ends excluded)' * learn_alpha}")
        if context_size is not None and context_size < 1:
            raise UserError(f"SCRN got context_size={context_size}; give a whole number of at least 1")
        if context not in ("new", "old"):
            raise UserError(f"SCRN got context={context!r}; {nearest(context, ('new', 'old'))}")
        self.context_size = context_size
        self.alpha = alpha
        self.learn_alpha = learn_alpha
        self.context = context
        self.nonlinearity = nonlinearity
        self._nonlinearity = pointwise(nonlinearity)
        size = context_size or hidden_size
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        self.context_in = nn.Linear(input_size, size, bias=False, **place)
        self.context_out = nn.Linear(size, hidden_size, bias=False, **place)
        self.alpha_logit = nn.Parameter(torch.empty(size, **place)) if learn_alpha else None

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.alpha_logit is not None:
            nn.init.constant_(self.alpha_logit, math.log(self.alpha / (1 - self.alpha)))

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, self.context_in.out_features

    @property
    def output_size(self) -> int:
        return sum(self.state_sizes)

    def step(self, x: Gated, h: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stays = self._stays()
        new = (1 - stays) * self.context_in(x.raw) + stays * s
        context = new if self.context == "new" else s
        h = self._nonlinearity(x.h + self.recur.h(h) + self.context_out(context))
        return torch.cat([h, new], -1), h, new

    def all_contexts(self, x: Tensor, s: Tensor | None = None) -> Tensor:
        """The contexts s_t (T, B, C) of all steps at once, as ``elman.scan`` steps to them, from x (T, B, I).

        ``s`` (B, C) is the context before the first step; default: zeros.

        >>> cell, x = SCRN(3, 4), torch.randn(7, 2, 3)
        >>> torch.allclose(cell.all_contexts(x)[-1], cell(x[6], (torch.zeros(2, 4), cell.all_contexts(x[:6])[-1]))[1].s)
        True
        """
        stays = self._stays()
        added = (1 - stays) * self.context_in(x)
        a = stays.expand(len(x), 1, -1) if isinstance(stays, Tensor) else added.new_full((len(x), 1, 1), stays)
        return linear_scan(a, added, s)

    def _stays(self) -> Tensor | float:
        return self.alpha if self.alpha_logit is None else sigmoid(self.alpha_logit)
