"""Recurrent highway network: several highway layers inside one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class RHN(Cell):
    """Recurrent highway network with coupled carry gate, 1 - t: Zilly et al. 2017, arXiv:1607.03474.

    s_0 = y_{t-1}; y_t = s_L; for l = 1 to L: g_l = tanh(W_h x_t + R_hl s_{l-1} + b_hl),
    t_l = sigmoid(W_t x_t + R_tl s_{l-1} + b_tl), s_l = t_l g_l + (1 - t_l) s_{l-1}. The terms of x_t stand in l = 1
    only. R_h1 and R_t1 are ``weight_hh``, the later ones ``deeper``, rows h, t. Some libraries keep weights for the
    carry gate that they do not use once it is coupled; here there are none.

    Args:
        depth: highway layers L in a step, at least 1; default 3.
        transform_bias: value that the biases of all transform gates start from, so that a state is carried rather than
            changed at first (the paper takes values such as -2); ``None`` leaves them to ``init``.

    Raises ``UserError`` for a depth below 1, and for ``transform_bias`` where there are no biases.

    >>> y, s = RHN(3, 4, depth=5, transform_bias=-2.0)(torch.zeros(2, 3))
    >>> y.shape, y is s
    (torch.Size([2, 4]), True)
    """

    gates = ("h", "t")
    states = ("s",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        depth: int = 3,
        transform_bias: float | None = None,
        bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)
        if type(depth) is not int or depth < 1:
            raise UserError(f"RHN got depth={depth!r}; give a whole number of at least 1")
        if transform_bias is not None and not bias:
            raise UserError(f"RHN has no biases (bias=False), so transform_bias={transform_bias} has nothing to set")
        self.depth = depth
        self.transform_bias = transform_bias
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        self.deeper = nn.ModuleList(
            nn.Linear(hidden_size, 2 * hidden_size, bias=bias, **place) for _ in range(depth - 1)
        )

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.transform_bias is None:
            return
        with torch.no_grad():
            for name, bias in self.named_parameters():
                if name.rpartition(".")[2].startswith("bias"):
                    bias.chunk(2)[1].fill_(0.0 if name == "bias_hh" else self.transform_bias)

    @property
    def recurrent_weights(self) -> tuple[Tensor, ...]:
        return self.weight_hh, *(layer.weight for layer in self.deeper)  # type: ignore[arg-type]

    def step(self, x: Gated, s: Tensor) -> Tensor:
        z = x + self.recur(s)
        s = _highway(z.h, z.t, s)
        for layer in self.deeper:
            h, t = layer(s).chunk(2, -1)
            s = _highway(h, t, s)
        return s


def _highway(h: Tensor, t: Tensor, s: Tensor) -> Tensor:
    t = sigmoid(t)
    return t * tanh(h) + (1 - t) * s
