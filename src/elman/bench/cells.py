"""The cells that are measured: those of the package by name, and one that nobody has written a kernel for."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated, cells, find_cell
from ..errors import UserError


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


OWN: dict[str, type[Cell]] = {"twopace": TwoPace}
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
    """The class of a cell: of the table, any other of the package, or one's own as file.py:ClassName.

    Raises ``UserError`` naming the nearest, and for a cell that takes more inputs than x.

    >>> cell_class("mgu").__name__
    'MGU'
    """
    if name in OWN:
        return OWN[name]
    cls = find_cell(name)
    if cls.inputs != ("x",):
        raise UserError(f"{cls.__name__} takes the inputs {', '.join(cls.inputs)}; the benchmark has cells of x alone")
    return cls


def with_all(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, "all" replaced by the table's cells and then every other one of the package that takes x alone.

    >>> "indrnn" in with_all(("all",)), with_all(("gru",))
    (True, ('gru',))
    """
    package = tuple(name for name, cls in cells().items() if cls.__module__.startswith("elman.cells."))
    every = (*NAMES, *(name for name in package if cells()[name].inputs == ("x",)))
    return tuple(dict.fromkeys(each for name in names for each in (every if name == "all" else (name,))))
