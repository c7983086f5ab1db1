"""``elman cells NAME``: how a cell would run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

REFUSED = """
import torch
from elman import Cell


class Sorted(Cell):
    gates = ("n",)

    def step(self, x, h):
        h = h.sort(-1)[0]
        return torch.tanh(x.n + self.recur.n(h))


class Timed(Cell):
    gates, inputs = ("n",), ("x", "dt")

    def step(self, x, dt, h):
        return torch.tanh(x.n + self.recur.n(h)) * dt.unsqueeze(-1)
"""


def test_a_cell_is_told_with_its_loop(call: Any) -> None:
    said = call("cells", "gru", "--input-size", 8, "--hidden-size", 16)
    assert said.code == 0
    assert "GRU: backend cpu; x (100, 64, 8), state (64, 16), float32" in said.out
    assert "h (64, 16) times weight_hh.T (16, 48), 98.3 kFLOP" in said.out


def test_a_refused_cell_is_told_with_its_line(call: Any) -> None:
    Path("own.py").write_text(REFUSED)
    said = call("cells", "own.py:Sorted")
    assert said.code == 0
    assert "Sorted: backend eager; x (100, 64, 64), state (64, 128), float32" in said.out
    words = " ".join(said.out.split())
    assert "gives several tensors, at" in words and "own.py:10" in words
    assert words.endswith("h = h.sort(-1)[0]")


def test_a_cell_of_several_inputs_is_left_to_python(call: Any) -> None:
    Path("own.py").write_text(REFUSED)
    said = call("cells", "own.py:Timed")
    assert said.code == 0 and said.out.endswith("elman.explain(cell, (x, dt)) tells in Python how it runs\n")
