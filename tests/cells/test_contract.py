"""What every built-in cell must do, whatever its equations: ``elman.testing``, one test a check and cell."""

from __future__ import annotations

import re
from typing import Any

import pytest
from oracles import ORACLES
from some_cells import SOME

import elman
from elman.cell import Cell, cells, find_cell
from elman.testing import check_cell, names

CLASSES = [cls for cls in cells().values() if cls.__module__.startswith("elman.cells.")]
VARIANTS = [
    (cls, options)
    for cls in CLASSES
    for options in getattr(ORACLES.get(cls.__name__.lower()), "VARIANTS", ())
    if options  # without any they are checked in full
]
# Of these, programs of their own, every time on some cells only.
DEAR = ("compiled-float32", "compiled-inference", "second-derivatives", "bfloat16")


def _mark(cls: type[Cell], check: str) -> Any:
    quick = check in names() and (check not in DEAR or cls.__name__.lower() in SOME)
    return () if quick else pytest.mark.slow


# The checks of a cell come one after the other and share its programs.
EACH_CHECK = [
    pytest.param(cls, check, marks=_mark(cls, check), id=f"{cls.__name__}-{check}")
    for cls in CLASSES
    for check in names(slow=True)
]

every_cell = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def in_words(value: Any) -> str:
    return ",".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else value.__name__


@pytest.mark.parametrize(("cls", "check"), EACH_CHECK)
def test_contract(cls: type[Cell], check: str) -> None:
    check_cell(cls, only=(check,), compiled=True)


OF_OPTIONS = ["gradients", "options", *(pytest.param(name, marks=pytest.mark.slow) for name in ("compiled", "copies"))]


@pytest.mark.parametrize("check", OF_OPTIONS)
@pytest.mark.parametrize(("cls", "options"), VARIANTS, ids=in_words)
def test_contract_with_options(cls: type[Cell], options: dict[str, Any], check: str) -> None:
    check_cell(cls, options=options, only=(check,), compiled=True)


@every_cell
def test_it_is_found_and_names_its_paper(cls: type[Cell]) -> None:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__)
    assert find_cell(cls.__name__) is find_cell(spaced) is find_cell(cls.__name__.lower()) is cls
    assert getattr(elman.cells, cls.__name__) is cls
    assert re.search(r"\b(19|20)\d\d\b", cls.__doc__ or ""), "no year of a paper"
