"""Memory and code, measured in real child processes."""

from __future__ import annotations

import pytest

from elman.bench.cases import Case, Shape
from elman.bench.children import MEBIBYTE, codegen_row, in_child, memory_row, peak_memory
from elman.bench.peers import Eager, Ours, Peer, TorchModule

SHAPE = Shape(32, 64, 128)


def test_the_loops_memory_is_what_it_saves() -> None:
    found = in_child(peak_memory, Case("lstm", SHAPE), Eager)
    one = 4 * SHAPE.time * SHAPE.batch * SHAPE.hidden / MEBIBYTE  # a float32 of every step, row and unit
    # At the least the output, the four gates after and c, tanh(c); at the most some thirty tensors of the steps.
    assert 7 * one < found["step"] < 40 * one
    assert found["first"] > found["step"] * 0.9 and found["first"] > found["kept"] >= 0


@pytest.mark.parametrize(("cell", "peer", "kind"), [("rnn", "torch", TorchModule), ("mgu", "eager", Eager)])
def test_whose_memory_is_compared(cell: str, peer: str, kind: type[Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.bench.children.in_child", lambda *asked: asked)
    case = Case(cell, Shape(4, 2, 8))
    row = memory_row(case)
    assert row["peer"] == peer and row["shape"] == "4x2x8" and "kind" not in row
    assert row["ours"] == (peak_memory, case, Ours) and row["theirs"] == (peak_memory, case, kind)


@pytest.mark.slow
def test_memory_of_real_children() -> None:
    row = memory_row(Case("rnn", Shape(4, 2, 8)))
    assert row["ours"]["first"] >= 0 and row["theirs"]["first"] >= 0


def test_a_child_that_fails() -> None:
    with pytest.raises(RuntimeError, match="int in a child process: ValueError: invalid literal"):
        in_child(int, "three")


@pytest.mark.slow
def test_code_is_made_once_and_then_read() -> None:
    row = codegen_row("rnn", 16, "float32", 1)
    assert row["hidden"] == 16 and "shape" not in row
    assert 0 < row["load"] < row["llvm"] < row["generate"] < 60
    assert 0 < row["from_cache"] < row["generate"] and 0 < row["trace"] < 60
