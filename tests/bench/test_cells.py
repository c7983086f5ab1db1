"""The benchmark's own cell, against its equations written out, and the table's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from elman.bench.cells import NAMES, OWN, cell_class, with_all
from elman.cell import Cell, cells
from elman.errors import UserError

INPUT, HIDDEN, BATCH = 3, 5, 4


def test_two_pace() -> None:
    cell = cell_class("twopace")(INPUT, HIDDEN, dtype=torch.float64)
    x = torch.randn(BATCH, INPUT, dtype=torch.float64)
    h, m = torch.randn(2, BATCH, HIDDEN, dtype=torch.float64)
    x_u, x_n = F.linear(x, cell.weight_ih, cell.bias_ih).chunk(2, -1)
    (u_u, u_n), (b_u, b_n) = cell.weight_hh.chunk(2), cell.bias_hh.chunk(2)
    u = torch.sigmoid(x_u + h @ u_u.T + b_u)
    n = torch.tanh(x_n + (u * m) @ u_n.T + b_n)
    pace = torch.log1p(torch.exp(cell.pace))
    expected = u * h + (1 - u) * n
    y, state = cell(x, cell.pack((h, m)))
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.m, m + pace / (1 + pace) * (expected - m), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_class(name: str) -> None:
    assert cell_class(name).__name__.lower() == name


def test_the_package_does_not_know_the_benchmarks_own() -> None:
    assert not set(OWN.values()) & set(cells().values())


def test_all_cells_of_the_package_and_ones_own(tmp_path: Path) -> None:
    every = with_all(("all",))
    assert every[: len(NAMES)] == NAMES
    assert {*every} == {*OWN, *(name for name, cell in cells().items() if cell.inputs == ("x",) and in_package(cell))}
    assert with_all(("rnn", "all", "gru"))[:2] == ("rnn", "lstm")
    (tmp_path / "own.py").write_text(
        "import elman\n\n\nclass Keeps(elman.Cell):\n    def step(self, x, h):\n        return h\n"
    )
    assert cell_class(f"{tmp_path}/own.py:Keeps").__name__ == "Keeps"


def in_package(cell: type[Cell]) -> bool:
    return cell.__module__.startswith("elman.cells.")


def test_a_cell_of_two_inputs() -> None:
    with pytest.raises(UserError, match="PhasedLSTM takes the inputs x, t; the benchmark has cells of x alone"):
        cell_class("phasedlstm")


def test_an_unknown_cell() -> None:
    with pytest.raises(UserError, match="unknown cell 'lsmt'; did you mean 'lstm'"):
        cell_class("lsmt")
