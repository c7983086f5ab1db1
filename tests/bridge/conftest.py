"""What the tests of the bridges share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import elman
from elman.cell import Cell
from elman.layers import recurrent


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are the subject here, not the engine, which takes a second for each new shape of cell."""
    monkeypatch.setattr(recurrent, "scan", partial(elman.scan, backend="eager"))


@pytest.fixture
def run() -> Callable[[torch.nn.Module, Tensor], Tensor]:
    """``run(cell or layer, x)``: all outputs, in the layout of x; a cell takes time first."""

    def run(module: torch.nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            return elman.scan(module, x, backend="eager")[0] if isinstance(module, Cell) else module(x)[0]

    return run
