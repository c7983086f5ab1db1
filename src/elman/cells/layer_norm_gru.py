"""GRU with layer normalisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated


class LayerNormGRU(Cell):
    """GRU with layer normalisation (Ba et al. 2016, arXiv:1607.06450, supplement), the reset gate after the product.

    (r, z) = sigmoid(N1(W_rz x_t) + N2(U_rz h_{t-1})); n = tanh(N3(W_n x_t) + r N4(U_n h_{t-1}));
    h_t = (1 - z) n + z h_{t-1}. N1 and N2 take the mean and the deviation over the 2 H numbers of both gates together,
    N3 and N4 over H; each has a gain and a shift: ``norm_gates_ih``, ``norm_gates_hh``, ``norm_n_ih``, ``norm_n_hh``.

    The last line is that of the authors' code, of ``GRU`` and of Haste; the paper prints z and 1 - z exchanged. Haste
    normalises all three gates together, and some PyTorch versions each gate alone: those are other cells.

    Args:
        epsilon: added to the variance; default 1e-5.
        bias: biases before the normalisation; default False.

    >>> y, h = LayerNormGRU(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("r", "z", "n")

    def __init__(
        self, input_size: int, hidden_size: int, *, epsilon: float = 1e-5, bias: bool = False, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)
        self.epsilon = epsilon
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        self.norm_gates_ih = nn.LayerNorm(2 * hidden_size, eps=epsilon, **place)
        self.norm_gates_hh = nn.LayerNorm(2 * hidden_size, eps=epsilon, **place)
        self.norm_n_ih = nn.LayerNorm(hidden_size, eps=epsilon, **place)
        self.norm_n_hh = nn.LayerNorm(hidden_size, eps=epsilon, **place)

    def step(self, x: Gated, h: Tensor) -> Tensor:
        u = self.recur(h)
        gates = self.norm_gates_ih(torch.cat([x.r, x.z], -1)) + self.norm_gates_hh(torch.cat([u.r, u.z], -1))
        r, z = sigmoid(gates).chunk(2, -1)
        n = tanh(self.norm_n_ih(x.n) + r * self.norm_n_hh(u.n))
        return (1 - z) * n + z * h
