"""``elman cells``: the cells there are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.table import Table

from ..cell import Cell, cells, find_cell
from ..engine import explain
from .options import parse

_STEPS, _ROWS = 100, 64


@dataclass(frozen=True)
class Cells:
    """The cells there are: states, gates, weights of a layer, and the paper each follows; or one of them in full.

    In full: what it computes, its options, and how elman.scan runs it, over 100 steps of 64 rows; where it is not
    compiled, the line that stands in the way.

    Examples:
      elman cells
      elman cells scrn --hidden-size 256
      elman cells my.py:MyCell
    """

    cell: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CELL]")] = None
    """Describe this one: a name, or file.py:ClassName."""

    input_size: int = 64
    """Features of the input."""

    hidden_size: int = 128
    """Units."""


def run(arguments: list[str]) -> int:
    command = parse(Cells, arguments, "cells")
    if command.cell is not None:
        _describe(find_cell(command.cell), command)
        return 0
    table = Table("cell", "states", "gates", "weights", "source", box=None, pad_edge=False, show_edge=False)
    table.columns[3].justify = "right"
    for name, cell in cells().items():
        weights = f"{_weights(cell, command):,}"
        table.add_row(name, " ".join(cell.states), " ".join(cell.gates), weights, _source(cell))
    console = Console()
    console.print(table)
    console.print(
        f"\nweights: of a layer with {command.input_size} inputs and {command.hidden_size} units. "
        "elman cells NAME tells more; your own: file.py:ClassName.",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def _describe(cell: type[Cell], command: Cells) -> None:
    options = [name for name in cell.option_names() if name not in ("device", "dtype")]
    text = (cell.__doc__ or "").partition("\n    >>>")[0].strip()
    print(f"{cell.__name__}\n" + (f"\n    {text}\n" if text else ""))
    print(f"states   {', '.join(cell.states)}\ngates    {', '.join(cell.gates) or 'none'}")
    print(f"options  {', '.join(options)}")
    print(f"weights  {_weights(cell, command):,} ({command.input_size} inputs, {command.hidden_size} units)\n")
    if cell.inputs == ("x",):
        print(explain(cell(command.input_size, command.hidden_size), torch.zeros(_STEPS, _ROWS, command.input_size)))
    else:
        print(f"elman.explain(cell, ({', '.join(cell.inputs)})) tells in Python how it runs")


def _weights(cell: type[Cell], command: Cells) -> int:
    made = cell(command.input_size, command.hidden_size)
    return sum(parameter.numel() for parameter in made.parameters())


def _source(cell: type[Cell]) -> str:
    """The paper named in the first paragraph of the docstring: an arXiv number, or authors and year."""
    first = " ".join((cell.__doc__ or "").partition("\n\n")[0].split())
    paper = re.search(r"[A-Z][\w-]+(?: and [A-Z][\w-]+| et al\.)?,? (?:19|20)\d\d", first)
    number = re.search(r"arXiv:[\d.]+(?:v\d+)?", first)
    return ", ".join(found[0].rstrip(".") for found in (paper, number) if found) or "your own"
