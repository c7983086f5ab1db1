"""Which built-in cells the engine's tests take every time, and which only among the slow ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from elman.cell import cells

BUILT_IN = [
    name for name, cell in cells().items() if cell.__module__.startswith("elman.cells.") and cell.inputs == ("x",)
]
SOME = ("lstm", "gruresetbefore", "scrn", "layernormlstm")
"""Several states, two products a step, states of two sizes, sums over a row: between them all roads of the engine."""


def some_quick(names: Iterable[str] = BUILT_IN, quick: Iterable[str] = SOME) -> list[Any]:
    """The names as parameters of a test, all but ``quick`` marked slow."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]
