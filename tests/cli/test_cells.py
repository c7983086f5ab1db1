"""``elman cells``: the list, one cell in full, and --check; and a cell that is one file, wherever it is dropped in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman.cell import _REGISTRY, cells
from elman.testing import names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-cell.md").read_text(encoding="utf-8")
LEAKY = PAGE.partition("# leaky.py\n")[2].partition("```")[0]

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
        return torch.tanh(x.n + self.recur.n(h)) * dt


class Leaking(Cell):
    gates = ("n",)

    def step(self, x, h):
        return torch.tanh(x.n + self.recur.n(h)) + h.mean(0)


class Unfinished(Cell):
    gates = ("n",)
"""


@pytest.fixture(autouse=True)
def _registry_as_it_was() -> Iterator[None]:
    before, modules = dict(_REGISTRY), set(sys.modules)
    yield
    _REGISTRY.clear()
    _REGISTRY.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith("elman_user_"):
            del sys.modules[name]


def a_few_checks(monkeypatch: pytest.MonkeyPatch, *some: str) -> None:
    """Of all checks only some, which take no time; the others are tested elsewhere."""
    run = elman.testing.run_checks
    monkeypatch.setattr("elman.cli.cells.run_checks", lambda cell, slow: run(cell, slow=slow, only=some))


# The list


@pytest.mark.parametrize("columns", [80, 120])
def test_all_cells_are_listed_with_their_papers(call: Any, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    said = call("cells", "--input-size", 3, "--hidden-size", 4)
    head, *rows = said.out.rstrip().splitlines()
    assert said.code == 0 and max(map(len, [head, *rows[:-1]])) <= columns
    names_shown = [row.split()[0] for row in rows[:-2] if not row.startswith(" ")]
    assert names_shown == list(cells()) and len(names_shown) >= 30
    assert rows[-1].startswith(f"{len(cells())} cells; weights: of a layer with 3 inputs and 4 units.")
    assert ("gates" in head) == (columns >= 100)
    (lstm,) = (row for row in rows if row.startswith("lstm "))
    assert re.match(r"lstm +h c +144  Hochreiter and Schmidhuber 1997", lstm)
    assert lstm.rstrip().endswith("i f g o") == (columns >= 100)
    assert re.search(r"^irnn .* Le, Jaitly and Hinton 2015,", said.out, re.MULTILINE)


# One in full


def test_a_cell_is_told_with_its_loop(call: Any) -> None:
    said = call("cells", "gru", "--input-size", 8, "--hidden-size", 16, "--draw", "gru.svg")
    assert said.code == 0 and Path("gru.svg").read_text().startswith("<svg")
    assert "h' = (1 - z) * n + z * h\n" in said.out
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


def test_a_cell_of_several_inputs_is_told_with_made_up_ones(call: Any) -> None:
    Path("own.py").write_text(REFUSED)
    said = call("cells", "own.py:Timed")
    assert said.code == 0 and "Timed: backend cpu; x (100, 64, 64), (100, 64, 1), state (64, 128)" in said.out


# --check


def test_a_sound_cell_passes_line_by_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a_few_checks(monkeypatch, "shapes", "rows")
    said = call("cells", "--check", "lstm")
    assert said.code == 0 and said.err == ""
    first, *lines = said.out.splitlines()
    assert first == "LSTM"
    assert re.fullmatch(r"  ok      shapes +\d+\.\d\d s  The output and every state have the declared .*", lines[0])
    assert re.fullmatch(r"  ok      rows +\d+\.\d\d s  Rows of a batch do not see each other, .*", lines[1])
    assert lines[2:] == ["  2 of 2 checks passed", ""]


def test_all_cells_of_a_file_are_checked_and_failures_explained(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a_few_checks(monkeypatch, "compiled-inference", "rows")
    Path("own.py").write_text(REFUSED)
    said = call("cells", "own.py", "--check")
    assert said.code == 1
    lines = said.out.splitlines()
    assert [line for line in lines if re.match(r"\w+$", line)] == ["Sorted", "Timed", "Leaking"]
    assert re.match(r"  ok      compiled-inference", lines[1])
    assert re.match(
        r" {10}not compiled, it runs step by step in PyTorch: the step uses aten\.sort.*own\.py:10$", lines[2]
    )
    failed = next(number for number, line in enumerate(lines) if line.startswith("  FAILED  rows"))
    assert re.match(r" {10}row 0 changes by \S+ when the other rows change; a step must not mix", lines[failed + 1])
    assert lines[-1] == "2 of 3 cells passed; not Leaking"
    assert call("cells", "own.py:Timed", "--check").code == 0


def test_every_check_runs_where_nothing_is_said_and_the_slow_ones_on_demand(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []

    def note(cell: Any, *, slow: bool) -> list[Any]:
        asked.append((cell.__name__.lower(), slow))
        return []

    monkeypatch.setattr("elman.cli.cells.run_checks", note)
    assert call("cells", "--check").code == 0
    assert asked == [(name, False) for name in cells()]
    asked.clear()
    assert call("cells", "scrn", "--check", "--slow").code == 0
    assert asked == [("scrn", True)]


@pytest.mark.parametrize(
    ("words", "text", "sentence"),
    [
        (["--check", "own.py"], "class (", r"own\.py could not be run: SyntaxError: invalid syntax"),
        (["--check", "own.py"], "1 / 0", r"own\.py could not be run: ZeroDivisionError: division by zero"),
        (["--check", "own.py"], "x = 1", r"own\.py defines no cell; write a class in it that has elman\.Cell as its"),
        (["--check", "own.py"], "from elman.cells.gru import GRU", r"own\.py defines no cell"),
        (["--check", "own.py:Time"], REFUSED, r"own\.py has no cell 'Time'; did you mean 'Timed'"),
        (["--check", "other.py"], "", r"no such file: 'other\.py'"),
        (["--check", "lstn"], "", r"unknown cell 'lstn'; did you mean 'lstm'"),
        (["--slow", "lstm"], "", r"--slow says how thoroughly to check; add --check"),
        (["lstm", "--draw", "lstm.png"], "", r"a drawing cannot be written to 'lstm\.png'; give a name that ends in"),
        (["--draw", "lstm.svg"], "", r"--draw draws one cell: elman cells NAME --draw FILE\.svg"),
    ],
)
def test_what_cannot_be_checked_gets_one_sentence(
    refused: Callable[..., str], words: list[str], text: str, sentence: str
) -> None:
    Path("own.py").write_text(text)
    assert re.match(sentence, refused("cells", *words))


# A file dropped in


def test_the_pages_cell_works_from_its_file(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("leaky.py").write_text(LEAKY)
    said = call("cells", "leaky.py:Leaky")
    assert said.code == 0 and "options  rate, bias, init, forget_bias" in said.out and "backend cpu" in said.out
    a_few_checks(monkeypatch, "shapes", "gradients", "options", "copies", "compiled-inference")
    said = call("cells", "--check", "leaky.py")
    assert said.code == 0 and "5 of 5 checks passed" in said.out and "not compiled" not in said.out
    layer = elman.Recurrent("leaky.py:Leaky", 3, 4, rate=0.5)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(layer(x)[0], elman.scan(layer.layers[0][0], x, backend="eager")[0])
    options = [
        "--hidden-size",
        8,
        "--embedding-size",
        4,
        "--batch-size",
        2,
        "--unroll",
        10,
        "--steps",
        2,
        "--threads",
        1,
    ]
    said = call("train", "lm", "--data", "text.txt", "--cell", "leaky.py:Leaky", "--cell-args", "rate=0.5", *options)
    assert said.code == 0, said.err


DROPPED_IN = """
import functools, torch, elman
from elman.cli import cells, main

assert elman.cells.Leaky.__module__ == "elman.cells.leaky"
assert main(["cells"]) == 0
cells.run_checks = functools.partial(cells.run_checks, only=("shapes", "options", "compiled-inference"))
assert main(["cells", "--check", "leaky"]) == 0
assert elman.Recurrent("leaky", 3, 4, rate=0.5)(torch.zeros(2, 1, 3))[0].shape == (2, 1, 4)
assert elman.explain(elman.cells.Leaky(3, 4), torch.zeros(2, 1, 3)).backend == "cpu"
"""


@pytest.fixture
def package(folder: Path) -> dict[str, str]:
    """A copy of the package with the page's cell among its own, as the environment that finds it."""
    shutil.copytree(Path(elman.__file__).parent, folder / "place" / "elman")
    (folder / "place" / "elman" / "cells" / "leaky.py").write_text(LEAKY)
    return {**os.environ, "PYTHONPATH": str(folder / "place"), "OMP_NUM_THREADS": "1"}


def test_the_pages_cell_works_from_the_packages_folder(package: dict[str, str]) -> None:
    command = [sys.executable, "-c", DROPPED_IN]
    said = subprocess.run(command, env=package, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert re.search(r"^leaky +h +[\d,]+  Jaeger et al\. 2007", said.stdout, re.MULTILINE)
    assert "3 of 3 checks passed" in said.stdout and "not compiled" not in said.stdout


@pytest.mark.slow
def test_the_packages_tests_take_the_pages_cell_up(package: dict[str, str]) -> None:
    tests = [str(ROOT / "tests" / "cells" / file) for file in ("test_contract.py", "test_oracles.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "Leaky or has_an_oracle"]
    command += ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), "-m", "slow or not slow"]
    said = subprocess.run(command, env=package, capture_output=True, text=True, timeout=300)
    assert re.search(rf"^1 failed, {len(names(slow=True)) + 1} passed", said.stdout, re.MULTILINE), said.stdout[-2000:]
    assert re.search("^FAILED .*::test_every_built_in_cell_has_an_oracle", said.stdout, re.MULTILINE)
