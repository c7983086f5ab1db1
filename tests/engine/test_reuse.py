"""What the loop writes in the place of what it has read: only where nothing else reads that."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman import cells
from elman.cell import Cell
from elman.engine import loop
from elman.engine.prepare import prepare
from elman.engine.program import Program
from elman.engine.steps import default_state
from elman.structure import leaves


def program(cell: Cell, size: int = 3) -> Program:
    x = torch.zeros(2, 2, size)
    return prepare(cell, [x], default_state(cell, 2), is_tuple=False, all_states=False).program


def test_the_gates_of_an_lstm_lie_where_the_projected_input_lay_and_their_gradients_there_too() -> None:
    found = program(cells.LSTM(3, 5))
    (projected,) = found.stepped
    assert set(found.over.values()) == {(projected, begin) for begin in (0, 5, 10, 15)}
    assert list(found.over_backward.values()) == [(projected, 0)]


def test_columns_the_gradient_still_reads_are_left_alone() -> None:
    found = program(cells.GRU(3, 5))
    (projected,) = found.stepped
    # The candidate is computed again from its projected input, the last five of fifteen columns.
    assert found.over and all(begin < 10 for _, begin in found.over.values())
    assert {buffer for buffer, _ in found.over.values()} == {projected}


class ReadsItLater(Cell, register=False):
    """The projected input is wanted once more after the loop."""

    gates = ("a", "b")
    states = ("h",)
    output = "y"

    @property
    def output_size(self) -> int:
        return self.hidden_size

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.sigmoid(x.a + self.recur.a(h)) * torch.sigmoid(x.b + self.recur.b(h))
        return torch.exp(new) * x.a, new


def test_what_is_read_after_the_loop_is_not_overwritten() -> None:
    cell = ReadsItLater(3, 5).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    results = []
    for backend in ("eager", "cpu"):
        y, h = elman.scan(cell, x, backend=backend)
        results.append([y, h, *torch.autograd.grad((y.square().sum() + h.sum()), [x, *cell.parameters()])])
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("name", ["LSTM", "GRU", "PeepholeLSTM", "GRUResetBefore"])
def test_a_retained_graph_gives_the_same_gradients_again_and_then_is_freed(name: str) -> None:
    cell = getattr(cells, name)(3, 5)
    x = torch.randn(6, 2, 3, requires_grad=True)
    y, _ = elman.scan(cell, x, backend="cpu")
    first = torch.autograd.grad(y.square().sum(), [x, *cell.parameters()], retain_graph=True)
    second = torch.autograd.grad(y.square().sum(), [x, *cell.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_a_second_derivative_after_the_gates_have_been_overwritten() -> None:
    cell = cells.LSTM(2, 3).double()
    x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
    results = []
    for backend in ("eager", "cpu"):
        y, _ = elman.scan(cell, x, backend=backend)
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), [x, *cell.parameters()]))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("reverse", [False, True])
def test_without_gradients_long_sequences_run_in_chunks(reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, x, resets = cells.LSTM(3, 5), torch.randn(11, 2, 3), torch.rand(11, 2) < 0.3
    with torch.no_grad():
        whole = elman.scan(cell, x, resets=resets, reverse=reverse, return_states=True, backend="cpu")
        monkeypatch.setattr(loop, "CHUNK_BYTES", 4 * 2 * 20 * 4)  # four steps
        pieces = elman.scan(cell, x, resets=resets, reverse=reverse, return_states=True, backend="cpu")
    for a, b in zip(
        (whole[0], *leaves(whole[1]), *leaves(whole[2])),
        (pieces[0], *leaves(pieces[1]), *leaves(pieces[2])),
        strict=True,
    ):
        torch.testing.assert_close(b, a)
