"""A whole run: which rows there are, each printed and written when it is done."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from rich.console import Console

from ..errors import UserError, nearest
from .cases import (
    DTYPES,
    FORWARD,
    OF_KIND,
    QUICK,
    RAGGED,
    STANDARD,
    STREAM,
    TRAIN,
    Case,
    make_problem,
    parse_shapes,
    truth,
)
from .cells import NAMES, cell_class, with_all
from .children import codegen_row, memory_row
from .measure import Product, Row, measure
from .report import codegen_line, header, is_wrong, line, mean_lines, memory_line, mistakes
from .results import Results, default_folder
from .roster import OURS, Roster, chosen, of_case

MEMORY, CODEGEN = "memory", "codegen"
KINDS = (TRAIN, FORWARD, MEMORY, CODEGEN)


def run_bench(
    *,
    shapes: tuple[str, ...] = (),
    cells: tuple[str, ...] = (),
    peers: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    ragged: bool = False,
    stream: bool = False,
    dtype: str = "float32",
    threads: int | None = None,
    pairs: int | None = None,
    compile: bool = False,
    compile_limit: float = 120.0,
    out: str | None = None,
    fresh: bool = False,
    console: Console | None = None,
) -> int:
    """Measures what ``elman bench`` was asked for (see ``elman.cli.bench``); 1 where somebody's results were wrong.

    Raises ``UserError``, before anything is measured, for what cannot be.
    """
    special = tuple(kind for kind, asked in ((RAGGED, ragged), (STREAM, stream)) if asked)
    wanted = special or kinds or ((TRAIN, FORWARD) if shapes or dtype == "bf16" else KINDS)
    cells = with_all(cells)
    _check(kinds, special, cells, dtype, threads, pairs)
    given = parse_shapes(shapes)
    pairs = pairs or (2 if given and set(given) <= set(QUICK) else 9)
    before = torch.get_num_threads()
    threads = threads or before
    picked = cells or (("lstm",) if special else NAMES)
    if special:
        columns = [(shape, kind) for kind in special for shape in given or OF_KIND[kind]]
    else:
        columns = [(shape, kind) for shape in given or STANDARD for kind in wanted if kind != CODEGEN]
    cases = [Case(cell, shape, kind, dtype, threads) for cell in picked for shape, kind in columns]
    roster, notes = chosen(peers, cases, compile_limit=compile_limit if compile else None)
    run = _Run(Results(Path(out) if out else default_folder(), fresh=fresh), roster, pairs, console or Console())
    for note in notes:
        run.say(note)
    run.say(header(list(roster)))
    try:
        torch.set_num_threads(threads)
        for cell in picked:
            for shape, kind in columns:
                if kind == MEMORY:
                    run.memory(Case(cell, shape, TRAIN, dtype, threads))
                else:
                    run.row(Case(cell, shape, kind, dtype, threads))
            if CODEGEN in wanted:
                run.codegen(cell, max(shape.hidden for shape in given or STANDARD), dtype, threads)
    finally:
        torch.set_num_threads(before)
    return run.finish()


def _check(
    kinds: tuple[str, ...],
    special: tuple[str, ...],
    cells: tuple[str, ...],
    dtype: str,
    threads: int | None,
    pairs: int | None,
) -> None:
    if special and kinds:
        raise UserError("--kinds picks parts of the table, which --ragged and --stream replace; give one or the other")
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"unknown kind {kind!r}; {nearest(kind, KINDS)}")
    for cell in cells:
        cell_class(cell)
    if dtype not in DTYPES:
        raise UserError(f"unknown dtype {dtype!r}; {nearest(dtype, DTYPES)}")
    if CODEGEN in kinds and dtype == "bf16":
        raise UserError("codegen is measured for float32 and float64; leave it out of --kinds with bf16")
    for name, value in (("threads", threads), ("pairs", pairs)):
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; give a whole number of at least 1")


class _Run:
    """Measures one thing after another, prints and keeps each."""

    def __init__(self, results: Results, roster: Roster, pairs: int, console: Console) -> None:
        self.results = results
        self.roster = roster
        self.pairs = pairs
        self.console = console
        self.rows: list[Row] = []
        self._product = functools.cache(Product)

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def row(self, case: Case) -> None:
        ours = of_case(OURS, case)
        if ours is None:
            self.say(f"{case.cell:<19}{case.shape!s:<13}{case.kind:<8}  {OURS[-1].refuses(case)}: not measured")
            return
        peers = {name: found for name, classes in self.roster.items() if (found := of_case(classes, case))}
        problem = make_problem(case)
        row = measure(problem, truth(problem), ours, peers, self.pairs, self._product(case.dtype).rate)
        self.results.add("rows", row)
        self.rows.append(row)
        self.say(line(row, list(self.roster)))
        for mistake in mistakes(row):
            self.say(f"  {mistake}")

    def memory(self, case: Case) -> None:
        record = memory_row(case)
        self.results.add("memory", record)
        self.say(memory_line(record))

    def codegen(self, cell: str, hidden: int, dtype: str, threads: int) -> None:
        record = codegen_row(cell, hidden, dtype, threads)
        self.results.add("codegen", record)
        self.say(codegen_line(record))

    def finish(self) -> int:
        if len(self.rows) > 1:
            for each in mean_lines(self.rows, list(self.roster)):
                self.say(each)
        wrong = sum(map(is_wrong, self.rows))
        if wrong:
            self.say(f"{wrong} of {len(self.rows)} rows had results that differ; their times were not written")
        if self.results.json.exists():
            self.say(f"{self.results.markdown} and {self.results.json.name}")
        return 1 if wrong else 0
