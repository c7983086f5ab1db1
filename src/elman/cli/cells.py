"""``elman cells``: the cells there are, one of them in full, or what a check of them finds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from ..cell import Cell, cells, cells_of_file, find_cell
from ..diagnostics import equations, wiring
from ..engine import explain
from ..errors import UserError
from ..testing import names, run_checks
from .options import parse

_STEPS, _ROWS = 100, 64
_NAME = r"(?:[Vv]an |[Vv]on |der |de )*[A-Z][\w-]+"
_PAPER = re.compile(rf"{_NAME}(?:, {_NAME})*(?: and {_NAME}| et al\.)?,? (?:19|20)\d\d")


@dataclass(frozen=True)
class Cells:
    """The cells there are: states, gates, weights of a layer, and the paper each follows; or one of them in full.

    In full: what it computes, as its author says and as equations read from its step, its options, and how elman.scan
    runs it, over 100 steps of 64 rows; where it is not compiled, the line that stands in the way. --draw makes a
    drawing of the step.

    With --check: whether it keeps all that a cell promises (derivatives, pieces, padding, copies, ...); a failure is
    explained, and the exit code is then 1.

    Examples:
      elman cells
      elman cells scrn --hidden-size 256
      elman cells my.py:MyCell --draw wiring.svg
      elman cells --check my.py
    """

    cell: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CELL]")] = None
    """This one: a name, or file.py:ClassName; for --check also file.py, which stands for every cell in it."""

    check: bool = False
    """Check the cell; without one, every cell there is."""

    draw: str | None = None
    """Draw the cell's step to this file, which ends in .svg."""

    slow: bool = False
    """With --check: also more sizes and a short training, some seconds a cell."""

    input_size: int = 64
    """Features of the input; checks have sizes of their own."""

    hidden_size: int = 128
    """Units."""


def run(arguments: list[str]) -> int:
    command = parse(Cells, arguments, "cells")
    if command.slow and not command.check:
        raise UserError("--slow says how thoroughly to check; add --check")
    if command.draw is not None and (command.check or command.cell is None):
        raise UserError("--draw draws one cell: elman cells NAME --draw FILE.svg")
    if command.check:
        return _check(_chosen(command.cell), slow=command.slow)
    if command.cell is not None:
        _describe(find_cell(command.cell), command)
        return 0
    console, found = Console(), cells()
    table = Table("cell", "states", "weights", "source", box=None, pad_edge=False, show_edge=False)
    table.columns[0].no_wrap = True
    table.columns[2].justify = "right"
    if console.width >= 100:
        table.add_column("gates")
    for name, cell in found.items():
        weights = f"{_weights(cell, command):,}"
        gates = [" ".join(cell.gates)] * (len(table.columns) - 4)
        table.add_row(name, " ".join(cell.states), weights, _source(cell), *gates)
    console.print(table)
    console.print(
        f"\n{len(found)} cells; weights: of a layer with {command.input_size} inputs and {command.hidden_size} units. "
        "elman cells NAME tells more; your own: file.py:ClassName.",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def _chosen(name: str | None) -> list[type[Cell]]:
    if name is None:
        return list(cells().values())
    return cells_of_file(Path(name)) if name.endswith(".py") else [find_cell(name)]


def _check(chosen: list[type[Cell]], *, slow: bool) -> int:
    """Prints a line a check; 1 if one fails."""
    width, failed = max(map(len, names(slow=True))), []
    for cell in chosen:
        print(f"{cell.__name__}", flush=True)
        results = []
        for check in run_checks(cell, slow=slow):
            results.append(check)
            verdict = "ok" if check.passed else "FAILED"
            print(f"  {verdict:<6}  {check.name:<{width}} {check.seconds:6.2f} s  {check.about}", flush=True)
            if check.message:
                print(f"          {check.message}", flush=True)
        failures = [check.name for check in results if not check.passed]
        print(f"  {len(results) - len(failures)} of {len(results)} checks passed\n", flush=True)
        failed += [cell.__name__] * bool(failures)
    if len(chosen) > 1:
        others = f"; not {', '.join(failed)}" if failed else ""
        print(f"{len(chosen) - len(failed)} of {len(chosen)} cells passed{others}")
    return 1 if failed else 0


def _describe(cell: type[Cell], command: Cells) -> None:
    made = cell(command.input_size, command.hidden_size)
    if command.draw is not None:
        wiring(made, command.draw)
    options = [name for name in cell.option_names() if name not in ("device", "dtype")]
    text = (cell.__doc__ or "").partition("\n    >>>")[0].strip()
    print(f"{cell.__name__}\n" + (f"\n    {text}\n" if text else ""))
    print(f"states   {', '.join(cell.states)}\ngates    {', '.join(cell.gates) or 'none'}")
    print(f"options  {', '.join(options)}")
    print(f"weights  {_weights(cell, command):,} ({command.input_size} inputs, {command.hidden_size} units)\n")
    told = equations(made)
    if not told.reason:  # else the docstring says all there is, and the explanation says why
        print(f"{told}\n")
    print(explain(made, made.example_inputs(_STEPS, _ROWS)))


def _weights(cell: type[Cell], command: Cells) -> int:
    made = cell(command.input_size, command.hidden_size)
    return sum(parameter.numel() for parameter in made.parameters())


def _source(cell: type[Cell]) -> str:
    """The paper named in the first paragraph of the docstring: an arXiv number, or authors and year."""
    first = " ".join((cell.__doc__ or "").partition("\n\n")[0].split())
    paper = _PAPER.search(first)
    number = re.search(r"arXiv:[\d.]+(?:v\d+)?", first)
    return ", ".join(found[0].rstrip(".") for found in (paper, number) if found) or "your own"
