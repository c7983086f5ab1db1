"""``elman reproduce``: run a published experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..data import documents
from ..errors import UserError, nearest
from ..tasks.reproduce_grimm import EXPERIMENTS, NOTE, run_experiment, select, write_results
from .options import parse

WHAT = ("grimm",)


@dataclass(frozen=True)
class ReproduceGrimm:
    """The textbook's story experiment: RNN, SCRN, LSTM, GRU and more on Grimm's tales, one run after another.

    Runs that are finished are not run again, one that was interrupted goes on. Takes about two hours on two cores.
    """

    data: str = "grimm"
    """The tales: the fetched corpus, or a folder with one tale a file."""

    only: tuple[str, ...] = ()
    """Only these runs, by name."""

    runs: str = "runs/grimm"
    """Where the run folders are."""

    results: str | None = None
    """Where table, picture and stories go; unless given, the folder of the runs."""

    steps: int | None = None
    """Fewer updates a run, to try it out."""

    threads: int | None = None
    """CPU threads; these small nets gain little from a second one."""


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        names = "\n".join(f"  {experiment.name:<18} {experiment.about}" for experiment in EXPERIMENTS)
        print(f"usage: elman reproduce grimm [options]\n\nruns:\n{names}\n\nelman reproduce grimm --help explains")
        return 0
    if arguments[0] not in WHAT:
        raise UserError(f"nothing to reproduce is called {arguments[0]!r}; {nearest(arguments[0], WHAT)}")
    command = parse(ReproduceGrimm, arguments[1:], "reproduce grimm")
    experiments = select(command.only)
    documents(command.data)  # says now, not after the first run, where the tales are missing
    given = {"data": command.data, "threads": command.threads, "steps": command.steps}
    overrides = {name: value for name, value in given.items() if value is not None}
    rows = []
    for number, experiment in enumerate(experiments, 1):
        print(f"\n[{number}/{len(experiments)}] {experiment.about}", flush=True)
        row = run_experiment(experiment, Path(command.runs), overrides, Console())
        chapter = f" (the chapter: {row['chapter_best']})" if row["chapter_best"] else ""
        print(f"best validation perplexity {row['best_valid_perplexity']:.2f}{chapter}\n\n{row['story'][:300]}")
        rows.append(row)
    print(f"\n{NOTE}\n")
    for path in write_results(rows, Path(command.results or command.runs)):
        print(path)
    return 0
