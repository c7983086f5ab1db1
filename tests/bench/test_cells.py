"""The cells of the benchmark's own, against their equations written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from elman.bench.cells import NAMES, OWN, cell_class
from elman.cell import Cell, cells
from elman.errors import UserError

INPUT, HIDDEN, BATCH = 3, 5, 4


def made(name: str) -> tuple[Cell, Tensor, list[Tensor], list[Tensor]]:
    """The cell, x, its states, and the product W x + U h + b_ih + b_hh taken apart by gate."""
    cell = OWN[name](INPUT, HIDDEN).double()
    x = torch.randn(BATCH, INPUT, dtype=torch.float64)
    states = [torch.randn(BATCH, HIDDEN, dtype=torch.float64) for _ in cell.states]
    z = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(states[0], cell.weight_hh, cell.bias_hh)
    return cell, x, states, list(z.chunk(len(cell.gates), -1))


def recurrent(cell: Cell, gate: int, v: Tensor) -> Tensor:
    assert cell.bias_hh is not None
    rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
    return v @ cell.weight_hh[rows].T + cell.bias_hh[rows]


def test_layer_norm_lstm() -> None:
    cell, x, (h, c), (i, f, g, o) = made("layernormlstm")
    for norm in (cell.norm_i, cell.norm_f, cell.norm_g, cell.norm_o, cell.norm_c):
        assert norm.weight.eq(1).all() and norm.bias.eq(0).all()
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)

    def normal(v: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
        v = (v - v.mean(-1, keepdim=True)) / (v.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        return v * norm.weight + norm.bias

    gates = torch.sigmoid(normal(i, cell.norm_i)), torch.sigmoid(normal(f, cell.norm_f))
    new = gates[1] * c + gates[0] * torch.tanh(normal(g, cell.norm_g))
    expected = torch.sigmoid(normal(o, cell.norm_o)) * torch.tanh(normal(new, cell.norm_c))
    y, state = cell(x, (h, c))
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.c, new, rtol=1e-12, atol=1e-12)


def test_mgu() -> None:
    cell, x, (h,), _ = made("mgu")
    x_f, x_n = F.linear(x, cell.weight_ih, cell.bias_ih).chunk(2, -1)
    f = torch.sigmoid(x_f + recurrent(cell, 0, h))
    n = torch.tanh(x_n + recurrent(cell, 1, f * h))
    torch.testing.assert_close(cell(x, h)[0], (1 - f) * h + f * n, rtol=1e-12, atol=1e-12)


def test_two_pace() -> None:
    cell, x, (h, m), _ = made("twopace")
    x_u, x_n = F.linear(x, cell.weight_ih, cell.bias_ih).chunk(2, -1)
    u = torch.sigmoid(x_u + recurrent(cell, 0, h))
    n = torch.tanh(x_n + recurrent(cell, 1, u * m))
    pace = torch.log1p(torch.exp(cell.pace))
    expected = u * h + (1 - u) * n
    y, state = cell(x, (h, m))
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.m, m + pace / (1 + pace) * (expected - m), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_class(name: str) -> None:
    assert cell_class(name).__name__.lower() == name


def test_the_package_does_not_know_the_benchmarks_own() -> None:
    assert not set(OWN.values()) & set(cells().values())


def test_an_unknown_cell() -> None:
    with pytest.raises(UserError, match="no cell 'lsmt' in the benchmark; did you mean 'lstm'"):
        cell_class("lsmt")
