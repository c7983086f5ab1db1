"""Writes a page and a drawing for every cell, their table, and the unrolled networks: ``python docs/cells.py``.

All of it comes from the code: equations and drawings from the trace of the step, sizes from cells that are built,
checks from ``tests/oracles``, times from ``docs/results/bench.json``.
"""

from __future__ import annotations

import inspect
import json
import re
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from elman.bench.report import KINDS, number
from elman.cell import Cell, cells
from elman.cells import LSTM, RNN
from elman.cli.cells import _source
from elman.diagnostics import equations, unrolled, wiring

DOCS = Path(__file__).parent
ORACLES = DOCS.parent / "tests" / "oracles"
SIZES = 64, 128
_DRAWN = 6, 10  # sizes of the cells that are traced: each its own multiple of nothing else
_SHAPE = "100x64x256"
_PEERS = ("torch", "torchrecurrent", "eager")
_EVEN = [(i, h) for i in (3, 7, 14) for h in (8, 16, 22, 36)]
_ODD = [(5, 9), (14, 27)]
_EQUAL = [(8, 8), (12, 12)]


def built_in() -> dict[str, type[Cell]]:
    """The cells of the package by name."""
    return {name: cell for name, cell in cells().items() if cell.__module__.startswith("elman.cells.")}


def page(name: str) -> str:
    """A cell's page."""
    cell = built_in()[name]
    made = cell(*_DRAWN)
    told = equations(made)
    source = "" if not told.reason else f"The engine cannot trace the step ({told.reason}); the docstring says:\n\n"
    facts = {
        "name": f"`{name}`, in Python `elman.cells.{cell.__name__}`",
        "states": states(cell),
        "output": made.output or made.states[0],
        "gates": ", ".join(cell.gates) or "none",
        "inputs": ", ".join(cell.inputs),
        "weights": weights(cell),
        "options": options(cell),
        "source": linked(_source(cell)),
        "checked by": oracle(name),
    }
    parts = [
        f"# {cell.__name__}",
        f"![One step of {cell.__name__}]({name}.svg)",
        f"## Equations\n\n{source}```text\n{told}\n```",
        "## Facts\n\n" + table(["", ""], [[key, value] for key, value in facts.items()]),
        f"## Docstring\n\n```text\n{(inspect.getdoc(cell) or '').strip()}\n```",
        f"## Benchmark\n\n{benchmark(name)}",
        "[All cells](README.md); how equations and drawings are to be read stands there too.",
    ]
    return "\n\n".join(parts) + "\n"


def drawing(name: str) -> str:
    """The SVG of a cell's wiring."""
    return _drawn(lambda path: wiring(built_in()[name](*_DRAWN), path))


def networks() -> dict[str, str]:
    """The unrolled networks by the name of their file."""
    return {
        "unrolled.svg": _drawn(lambda path: unrolled(RNN(*_DRAWN), path)),
        "unrolled-stack.svg": _drawn(lambda path: unrolled(LSTM(*_DRAWN), path, layers=2)),
        "unrolled-both-ways.svg": _drawn(lambda path: unrolled(LSTM(*_DRAWN), path, bidirectional=True)),
    }


def index() -> str:
    """The table of all cells."""
    lines = [
        [
            f"[{name}]({name}.md)",
            states(cell),
            " ".join(cell.gates) or "none",
            weights(cell, example=False),
            linked(_source(cell)),
            oracle(name),
        ]
        for name, cell in built_in().items()
    ]
    return _INDEX.format(
        count=len(lines), table=table(["cell", "states", "gates", "weights", "source", "oracle"], lines)
    )


_INDEX = """# Cells

{count} cells, a page each: equations, wiring, weights, states, options, paper, check, time. `python docs/cells.py`
writes these pages from the code. I and H are the sizes of the input and of the cell. Weights are counted with the
default options. An oracle is the cell written once more in NumPy from its paper; cell and oracle give the same numbers
in float64 (`tests/cells/test_oracles.py`). Any of them is a layer with `elman.Recurrent("lstm", I, H)`.

{table}

## How to read the equations

They are read from the trace of the step that runs, not from the docstring. Each is on one row of the batch: `x` is the
input, `h` a state before the step, `h'` after it. `W_f x` is a matrix times a vector, `*` goes element by element,
`[v, w]` is one vector after the other, `v[0:H]` a part. W and b are `weight_ih` and `bias_ih`, U and d `weight_hh` and
`bias_hh`, with the gate whose rows they are; where both biases are added, b is their sum. In your own code:

    print(elman.diagnostics.equations(cell))
    elman.diagnostics.wiring(cell, "cell.svg")

In the drawings inputs and states come in on the left, new states leave on the right. Boxes are products with matrices,
round boxes functions, circles work element by element; names at wires are those of the equations. Green wires carry
inputs, blue ones states as they were before the step.

## Unrolled

One cell, with the same weights, at every step:

![An RNN over three steps](../unrolled.svg)

Two layers:

![Two layers of LSTM over three steps](../unrolled-stack.svg)

One layer in both directions:

![LSTM in both directions over three steps](../unrolled-both-ways.svg)
"""


def states(cell: type[Cell]) -> str:
    """The states with their sizes in terms of I and H."""
    sizes = [formula(lambda i, h, k=k: cell(i, h).state_sizes[k]) for k in range(len(cell.states))]
    return ", ".join(f"{name}: {size}" for name, size in zip(cell.states, sizes, strict=True))


def options(cell: type[Cell]) -> str:
    """The options with their defaults, as they stand in the constructors."""
    known: dict[str, Any] = {}
    for base in reversed(cell.__mro__):
        if "__init__" in vars(base):
            known |= {name: each.default for name, each in inspect.signature(base.__init__).parameters.items()}
    return ", ".join(f"`{name}={known[name]!r}`" for name in cell.option_names() if name not in ("device", "dtype"))


def weights(cell: type[Cell], *, example: bool = True) -> str:
    """How many numbers a cell learns, as a formula where there is one, and for one size."""
    found = formula(lambda i, h: count(cell(i, h)))
    return found + (f"; {count(cell(*SIZES)):,} with I = {SIZES[0]}, H = {SIZES[1]}" if example else "")


def count(cell: Cell) -> int:
    """The elements of a cell's parameters."""
    return sum(each.numel() for each in cell.parameters())


def formula(size: Callable[[int, int], int]) -> str:
    """A size as a polynomial in I and H, fitted on some and checked on more; "no formula" where it is none.

    >>> formula(lambda i, h: 3 * h * (i + h) + h // 2)
    '3HI + 3H² + H/2 (H even)'
    """
    values = {sizes: size(*sizes) for sizes in _EVEN + _ODD + _EQUAL}
    rows = np.array([_terms(*sizes) for sizes in _EVEN], dtype=float)
    found, *_ = np.linalg.lstsq(rows, np.array([values[sizes] for sizes in _EVEN], dtype=float), rcond=None)
    factors = [Fraction(round(4 * each), 4) for each in found]

    def fits(sizes: tuple[int, int]) -> bool:
        return sum(f * term for f, term in zip(factors, _terms(*sizes), strict=True)) == values[sizes]

    if not all(map(fits, _EVEN)):
        return "no formula"
    said = [_term(f, name) for f, name in zip(factors, ("HI", "H²", "H", "I", ""), strict=True) if f]
    notes = ["H even"] * (not all(map(fits, _ODD))) + ["I other than H"] * (not all(map(fits, _EQUAL)))
    return (" + ".join(said) or "0") + (f" ({', '.join(notes)})" if notes else "")


def _terms(i: int, h: int) -> tuple[int, ...]:
    return h * i, h * h, h, i, 1


def _term(factor: Fraction, name: str) -> str:
    top = "" if name and factor.numerator == 1 else str(factor.numerator)
    return f"{top}{name}" + (f"/{factor.denominator}" if factor.denominator > 1 else "")


def oracle(name: str) -> str:
    """The NumPy version that checks a cell."""
    files = {file.stem.replace("_", ""): file for file in ORACLES.glob("*.py")}
    return f"[{files[name].name}](../../tests/oracles/{files[name].name})" if name in files else "unverified"


def linked(source: str) -> str:
    """A source with its arXiv number as a link."""
    return re.sub(r"arXiv:([\d.]+(?:v\d+)?)", r"[\g<0>](https://arxiv.org/abs/\1)", source)


@cache
def _results() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((DOCS / "results" / "bench.json").read_text(encoding="utf-8"))["rows"]
    return rows


def benchmark(name: str) -> str:
    """The stored times of a cell at one shape, or the first there is."""
    rows = [row for row in _results() if row["cell"] == name and row["dtype"] == "float32" and "ms" in row["ours"]]
    if not rows:
        return f"Not in the stored results; `elman bench --cells {name}` measures it."
    shapes = dict.fromkeys(row["shape"] for row in rows)
    shape = _SHAPE if _SHAPE in shapes else next(iter(shapes))
    rows = [row for row in rows if row["shape"] == shape]
    peers = [peer for peer in _PEERS if any("ratio" in row["peers"].get(peer, {}) for row in rows)]
    lines = []
    for row in rows:
        ratios = [f"{each['ratio']:.2f}" if "ratio" in (each := row["peers"].get(peer, {})) else "" for peer in peers]
        threads = f"{row['threads']} thread{'s' * (row['threads'] != 1)}"
        lines.append([KINDS[row["kind"]].partition(":")[0], threads, number(row["ours"]["ms"]), *ratios])
    made = table(["", "", "ms", *(f"{peer} / ours" for peer in peers)], lines)
    said = f"{shape.replace('x', ' x ')} (steps x batch x units), float32; above 1 we are faster than the peer."
    return f"{said} [All results](../results/bench.md).\n\n{made}"


def table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *lines))


def _drawn(draw: Callable[[Path], None]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawing.svg"
        draw(path)
        return path.read_text(encoding="utf-8")


def files(names: list[str]) -> dict[str, str]:
    """What belongs to the cells of these names, by path below ``docs``."""
    pages = {f"cells/{name}.md": page(name) for name in names}
    return pages | {f"cells/{name}.svg": drawing(name) for name in names}


def everything() -> dict[str, str]:
    """All pages and drawings, by path below ``docs``."""
    return {**files(list(built_in())), **networks(), "cells/README.md": index()}


if __name__ == "__main__":
    _made = everything()
    (DOCS / "cells").mkdir(exist_ok=True)
    for _path, _text in _made.items():
        (DOCS / _path).write_text(_text, encoding="utf-8")
    for _old in (DOCS / "cells").iterdir():
        if f"cells/{_old.name}" not in _made:
            _old.unlink()
