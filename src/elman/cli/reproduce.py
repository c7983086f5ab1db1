"""``elman reproduce``: run a published experiment."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from ..data import documents
from ..errors import UserError, nearest
from ..tasks.reproduce import grimm, long_memory, ptb
from .options import parse

PLACES = ("--data", "--runs", "--results")


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


@dataclass(frozen=True)
class ReproduceLongMemory:
    """Which cells bridge how many steps: the adding, copy and order problems, and the gradients that say why.

    One run after another, every cell on every problem with every T; each ends when the problem is solved. Runs that are
    finished are not run again, one that was interrupted goes on. The table has all runs of the folder.
    """

    problems: tuple[Literal["adding", "copy", "order"], ...] = ("adding",)
    """Which problems."""

    time: tuple[int, ...] = (100, 400, 1000)
    """Steps T; several numbers, one after the other."""

    cells: tuple[str, ...] = ()
    """Only these cells, by name; unless given all."""

    steps: int = 10_000
    """Most updates a run."""

    minutes: float | None = 45.0
    """Most minutes of training a run."""

    hidden_size: int = 64
    """Units of the recurrent layer."""

    batch_size: int = 50
    """Sequences an update."""

    learning_rate: float | None = None
    """Size of the updates; unless given, the one chosen for each cell."""

    clip: float = 1.0
    """Largest norm of a gradient."""

    seed: int = 0
    """Where weights and sequences start."""

    runs: str = "runs/long-memory"
    """Where the run folders are."""

    results: str | None = None
    """Where table and picture go; unless given, the folder of the runs."""

    threads: int | None = None
    """CPU threads; PyTorch's choice unless given."""


@dataclass(frozen=True)
class ReproducePTB:
    """Word models of the Penn Treebank beside their papers' perplexities, one run after another.

    Runs that are finished are not run again, one that was interrupted or ended by its time goes on when there is more.
    """

    data: str
    """The folder with ptb.train.txt, ptb.valid.txt and ptb.test.txt, .gz or not."""

    only: tuple[str, ...] = ()
    """Only these runs, by name; the table has all that are finished."""

    runs: str = "runs/ptb"
    """Where the run folders are."""

    results: str | None = None
    """Where table and picture go; unless given, the folder of the runs."""

    epochs: float | None = None
    """Other than the recipe's passes over the text."""

    minutes: float | None = None
    """Most minutes of training a run."""

    seed: int = 0
    """Where weights and dropout start."""

    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""

    threads: int | None = None
    """CPU threads; PyTorch's choice unless given."""


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        names = "\n".join(f"  {name:<12} {about}" for name, (about, _) in EXPERIMENTS.items())
        print(f"usage: elman reproduce WHAT [options]\n\n{names}\n\nelman reproduce WHAT --help explains")
        return 0
    if arguments[0] not in EXPERIMENTS:
        raise UserError(f"nothing to reproduce is called {arguments[0]!r}; {nearest(arguments[0], EXPERIMENTS)}")
    EXPERIMENTS[arguments[0]][1](arguments[1:])
    return 0


def _grimm(arguments: list[str]) -> None:
    command = parse(ReproduceGrimm, arguments, "reproduce grimm")
    experiments = grimm.select(command.only)
    documents(command.data)  # says now, not after the first run, where the tales are missing
    given = {"data": command.data, "threads": command.threads, "steps": command.steps}
    overrides = {name: value for name, value in given.items() if value is not None}
    rows = []
    for number, experiment in enumerate(experiments, 1):
        print(f"\n[{number}/{len(experiments)}] {experiment.about}", flush=True)
        row = grimm.run_experiment(experiment, Path(command.runs), overrides, Console())
        chapter = f" (the chapter: {row['chapter_best']})" if row["chapter_best"] else ""
        print(f"best validation perplexity {row['best_valid_perplexity']:.2f}{chapter}\n\n{row['story'][:300]}")
        rows.append(row)
    print(f"\n{grimm.NOTE}\n")
    _say(grimm.write_results(rows, Path(command.results or command.runs)))


def _long_memory(arguments: list[str]) -> None:
    command = parse(ReproduceLongMemory, arguments, "reproduce long-memory")
    alike = ("steps", "minutes", "hidden_size", "batch_size", "learning_rate", "clip", "seed")
    runs = [
        long_memory.MemorySettings(
            cell=contender.name, problem=problem, time=time, **{name: getattr(command, name) for name in alike}
        )
        for problem in command.problems
        for time in command.time
        for contender in long_memory.select(command.cells)
    ]
    if command.threads is not None:
        torch.set_num_threads(command.threads)
    said = _command("long-memory", arguments)
    for number, settings in enumerate(runs, 1):
        print(f"\n[{number}/{len(runs)}] {settings.name}", flush=True)
        print(long_memory.run_experiment(settings, Path(command.runs), said, Console())["why"])
    print()
    rows = long_memory.finished_rows(Path(command.runs))
    _say(long_memory.write_results(rows, Path(command.results or command.runs)))


def _ptb(table: str, arguments: list[str]) -> None:
    command = parse(ReproducePTB, arguments, f"reproduce {table}")
    experiments = ptb.select(table, command.only)
    ptb.treebank(command.data)  # says now, not after the first run, what is missing
    names = ("epochs", "minutes", "seed", "device", "threads")
    given = {name: getattr(command, name) for name in names}
    overrides = {name: value for name, value in given.items() if value is not None}
    said = _command(table, arguments)
    for number, experiment in enumerate(experiments, 1):
        print(f"\n[{number}/{len(experiments)}] {experiment.about}", flush=True)
        row = ptb.run_experiment(experiment, command.data, Path(command.runs), overrides, said, Console())
        print(
            f"perplexity {row['valid_perplexity']:.2f} on the validation part (published: {experiment.valid:g}), "
            f"{row['test_perplexity']:.2f} on the test part (published: {experiment.test:g})"
        )
    print(f"\n{ptb.TABLES[table].note}\n")
    rows = ptb.finished_rows(table, Path(command.runs))
    _say(ptb.write_results(table, rows, Path(command.results or command.runs)))


def _command(what: str, arguments: list[str]) -> str:
    """What was typed, but for where this machine has things."""
    shown: list[str] = []
    for word in arguments:
        before, _, value = word.partition("=")
        if shown and shown[-1] in PLACES:
            shown.append("FOLDER")
        else:
            shown.append(f"{before}=FOLDER" if value and before in PLACES else word)
    return shlex.join(["elman", "reproduce", what, *shown])


def _say(paths: list[Path]) -> None:
    for path in paths:
        print(path)


EXPERIMENTS: dict[str, tuple[str, Callable[[list[str]], None]]] = {
    "grimm": ("the textbook's stories: RNN, SCRN, LSTM and GRU on Grimm's tales", _grimm),
    "ptb-scrn": ("word models of the Penn Treebank: SCRN, SRN and LSTM 100", partial(_ptb, "ptb-scrn")),
    "ptb-small": ("a word model of the Penn Treebank: LSTM 2 x 200, no dropout", partial(_ptb, "ptb-small")),
    "long-memory": ("adding, copy and order problems: which cells bridge how many steps, and why", _long_memory),
}
