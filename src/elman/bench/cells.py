"""The cells that are measured: those of the package by name, and three of this file's own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated, find_cell
from ..errors import UserError, nearest


class LayerNormLSTM(Cell, register=False):
    """LSTM with layer normalisation (Ba et al. 2016, arXiv:1607.06450) of every gate and of the state that is read.

    As ``LayerNormBasicLSTMCell`` of TensorFlow 1: each gate's pre-activation (B, H) is normalised over its H units, and
    h_t = o tanh(norm(c_t)). No biases but the normalisations' own.

    >>> y, (h, c) = LayerNormLSTM(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **{"bias": False} | options)
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        self.norm_i = nn.LayerNorm(hidden_size, **place)
        self.norm_f = nn.LayerNorm(hidden_size, **place)
        self.norm_g = nn.LayerNorm(hidden_size, **place)
        self.norm_o = nn.LayerNorm(hidden_size, **place)
        self.norm_c = nn.LayerNorm(hidden_size, **place)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for norm in (self.norm_i, self.norm_f, self.norm_g, self.norm_o, self.norm_c):
            norm.reset_parameters()

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        i, f, o = sigmoid(self.norm_i(z.i)), sigmoid(self.norm_f(z.f)), sigmoid(self.norm_o(z.o))
        c = f * c + i * tanh(self.norm_g(z.g))
        return o * tanh(self.norm_c(c)), c


class MGU(Cell, register=False):
    """Minimal gated unit (Zhou et al. 2016, arXiv:1603.09420): one gate both forgets the past and admits the new.

    f = sigmoid and n = tanh of W x_t + U v + b with v = h_{t-1} for f and v = f h_{t-1} for n;
    h_t = (1 - f) h_{t-1} + f n.

    >>> y, h = MGU(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("f", "n")

    def step(self, x: Gated, h: Tensor) -> Tensor:
        f = sigmoid(x.f + self.recur.f(h))
        n = tanh(x.n + self.recur.n(f * h))
        return (1 - f) * h + f * n


class TwoPace(Cell, register=False):
    """A cell that nobody ships, made up for this table: a fast state h and a memory m that follows it, each at a pace.

    u = sigmoid of W x_t + U h_{t-1} + b and n = tanh of W x_t + U (u m_{t-1}) + b; h_t = u h_{t-1} + (1 - u) n;
    m_t = m_{t-1} + softplus(p) / (1 + softplus(p)) (h_t - m_{t-1}) with one learned p a unit (``pace``, (H,)).

    >>> y, (h, m) = TwoPace(3, 4)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("u", "n")
    states = ("h", "m")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.pace = nn.Parameter(torch.empty(hidden_size, device=self.weight_hh.device, dtype=self.weight_hh.dtype))

    def step(self, x: Gated, h: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        pace = F.softplus(self.pace)
        u = sigmoid(x.u + self.recur.u(h))
        n = tanh(x.n + self.recur.n(u * m))
        h = u * h + (1 - u) * n
        return h, m + pace / (1 + pace) * (h - m)


OWN: dict[str, type[Cell]] = {"layernormlstm": LayerNormLSTM, "mgu": MGU, "twopace": TwoPace}
NAMES = (
    "lstm",
    "gru",
    "rnn",
    "peepholelstm",
    "coupledlstm",
    "layernormlstm",
    "scrn",
    "gruresetbefore",
    "mgu",
    "twopace",
)
"""The cells of the table, in its order."""


def cell_class(name: str) -> type[Cell]:
    """The class of a cell of the table; raises ``UserError`` naming the nearest.

    >>> cell_class("mgu").__name__
    'MGU'
    """
    if name not in NAMES:
        raise UserError(f"no cell {name!r} in the benchmark; {nearest(name, NAMES)}")
    return OWN[name] if name in OWN else find_cell(name)
