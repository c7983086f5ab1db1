"""The pages of the cells are what the code says now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"
REMEDY = "python docs/cells.py brings the pages up to date"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_cells", DOCS / "cells.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(made: dict[str, str]) -> None:
    for path, text in made.items():
        assert (DOCS / path).read_text(encoding="utf-8") == text, f"{path}: {REMEDY}"


def test_pages_are_as_the_code_writes_them(pages: ModuleType) -> None:
    check(pages.files(["mgu", "projectedlstm"]))
    check(pages.networks())


@pytest.mark.slow
def test_all_pages_are_as_the_code_writes_them(pages: ModuleType) -> None:
    check(pages.everything())


def test_every_cell_has_its_page_and_drawing_and_nothing_else_has(pages: ModuleType) -> None:
    names = pages.built_in()
    expected = {f"{name}.{kind}" for name in names for kind in ("md", "svg")} | {"README.md"}
    assert {file.name for file in (DOCS / "cells").iterdir()} == expected, REMEDY
    table = (DOCS / "cells" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\w+)\]\(\1\.md\)", table, re.MULTILINE) == list(names), REMEDY


def test_links_lead_somewhere_and_files_are_small() -> None:
    for file in (DOCS / "cells").iterdir():
        text = file.read_text(encoding="utf-8")
        assert len(text) < 60_000
        for target in re.findall(r"\]\(([^)#]+)\)", text) if file.suffix == ".md" else []:
            assert target.startswith("https://") or (file.parent / target).exists(), f"{file.name}: {target}"


def test_weights_are_fitted_as_they_are(pages: ModuleType) -> None:
    built_in = pages.built_in()
    assert pages.weights(built_in["lstm"]) == "4HI + 4H² + 8H; 99,328 with I = 64, H = 128"
    assert pages.weights(built_in["projectedlstm"], example=False) == "4HI + 5H²/2 + 8H (H even)"
    assert pages.weights(built_in["sru"], example=False) == "4HI + 4H (I other than H)"
    assert pages.states(built_in["qrnn"]) == "c: H, past: I"
    assert pages.formula(lambda i, h: 3) == "3"
    assert pages.formula(lambda i, h: h**3) == "no formula"
    assert pages.formula(lambda i, h: h % 5) == "no formula"


def test_a_cell_without_an_oracle_or_times_says_so(pages: ModuleType) -> None:
    assert pages.oracle("lstm") == "[lstm.py](../../tests/oracles/lstm.py)"
    assert pages.oracle("mine") == "unverified"
    assert "elman bench --cells mine" in pages.benchmark("mine")
    assert "| Training step | 2 threads |" in pages.benchmark("mgu")
