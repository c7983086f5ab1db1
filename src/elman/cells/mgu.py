"""Minimal gated unit."""

from __future__ import annotations

from torch import Tensor, sigmoid, tanh

from ..cell import Cell, Gated


class MGU(Cell):
    """Minimal gated unit (Zhou et al. 2016, arXiv:1603.09420): one gate both resets the past and admits the new.

    f = sigmoid and n = tanh of W x_t + U v + b with v = h_{t-1} for f and v = f h_{t-1} for n;
    h_t = (1 - f) h_{t-1} + f n.

    The paper calls f the forget gate, yet where f is 1 nothing of h_{t-1} is kept, so ``forget_bias`` does not apply.
    Some libraries exchange the roles, h_t = f h_{t-1} + (1 - f) n, which no longer is the paper's cell: its f of 0
    must shut the past out of n and keep it in h.

    >>> import torch
    >>> y, h = MGU(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("f", "n")

    def step(self, x: Gated, h: Tensor) -> Tensor:
        f = sigmoid(x.f + self.recur.f(h))
        n = tanh(x.n + self.recur.n(f * h))
        return (1 - f) * h + f * n
