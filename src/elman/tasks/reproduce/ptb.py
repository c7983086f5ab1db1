"""Published word models of the Penn Treebank, run by run: perplexities beside the papers' in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ...errors import UserError, nearest
from ...training import RunFolder, read_metrics
from ...training.files import replace_file
from ..language_model.estimator import LanguageModel
from ..recipes import read_recipe

PARTS = ("train", "valid", "test")
RESULT = "result.json"


@dataclass(frozen=True)
class Experiment:
    """One run: its recipe, what it is, and the published perplexities of validation and test part."""

    name: str
    about: str
    valid: float
    test: float


@dataclass(frozen=True)
class Table:
    """A published table: its runs, and what a reader has to know."""

    experiments: tuple[Experiment, ...]
    note: str


TABLES = {
    "ptb-small": Table(
        (Experiment("ptb-small", "LSTM 2 x 200, no dropout", 121.39, 115.91),),
        "Zaremba et al. 2014 (arXiv:1409.2329), the small net, with the settings of the paper; the published figures "
        "are those of its TensorFlow tutorial. Learning rate 20 and clip 0.25 are the paper's 1 and 5, for a loss that "
        "is the mean over 20 steps, not their sum.",
    ),
    "ptb-scrn": Table(
        (
            Experiment("ptb-scrn-100-40", "SCRN 100 + 40", 120, 115),
            Experiment("ptb-srn-100", "SRN 100", 137, 129),
            Experiment("ptb-lstm-100", "LSTM 100", 120, 115),
        ),
        "Mikolov et al. 2015 (arXiv:1412.7753). The published figures are as recalled, not read in the paper. The nets "
        "are the paper's, the training is not: the paper's plain SGD (rate 0.05, divided by 1.2 when validation "
        "stalls) takes tens of epochs. Here it is eight epochs of AdamW with a rate that falls along half a cosine, "
        "weight decay of 0.02 or 0.03, and dropout of 0.15 or 0.2.",
    ),
}


def select(table: str, names: Sequence[str]) -> list[Experiment]:
    """The runs of these names, in the order of the table; all for none.

    >>> [experiment.name for experiment in select("ptb-scrn", ["ptb-lstm-100"])]
    ['ptb-lstm-100']
    """
    known = [experiment.name for experiment in TABLES[table].experiments]
    for name in names:
        if name not in known:
            raise UserError(f"{table} has no run {name!r}; {nearest(name, known)}")
    return [experiment for experiment in TABLES[table].experiments if not names or experiment.name in names]


def treebank(folder: str | Path) -> dict[str, Path]:
    """The files ptb.train.txt, ptb.valid.txt and ptb.test.txt of a folder, .gz or not, by part.

    Raises ``UserError`` where one is missing.
    """
    found = {}
    for part in PARTS:
        name = f"ptb.{part}.txt"
        paths = [path for path in (Path(folder, name), Path(folder, f"{name}.gz")) if path.is_file()]
        if not paths:
            raise UserError(f"no {name} or {name}.gz in {folder}; give the folder of the Penn Treebank's text")
        found[part] = paths[0]
    return found


def run_experiment(
    experiment: Experiment,
    data: str | Path,
    folder: Path,
    overrides: dict[str, Any],
    command: str,
    console: Console | None = None,
) -> dict[str, Any]:
    """Trains one experiment in ``folder``/NAME, or goes on where an earlier call stopped; returns and keeps its row.

    The weights that were best on the validation part are tried on the test part. ``command`` is what asked for it.

    Raises ``UserError`` where the folder holds a run with other options; its budget may change.
    """
    files = treebank(data)
    run = RunFolder(folder / experiment.name)
    options = read_recipe(experiment.name) | {"data": str(files["train"]), "valid": str(files["valid"])} | overrides
    model = LanguageModel(**options)
    model.fit(run=run.path, resume=bool(run.steps()), console=console, quiet=console is None)
    if model.result.stopped_by == "interrupted":
        raise KeyboardInterrupt  # Ctrl-C ends the whole experiment, not this run of it; the run is saved
    result, test = model.result, model.evaluate(files["test"])
    row = {
        "name": experiment.name,
        "about": experiment.about,
        "command": command,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "types": model.tokenizer_.vocab_size,
        "epochs": round(result.epochs, 2),
        "updates": result.steps,
        "stopped_by": result.stopped_by,
        "minutes": round(result.seconds / 60, 1),
        "valid_perplexity": result.best_metrics["perplexity"],
        "test_perplexity": test["perplexity"],
        "test_top5_accuracy": test["top5_accuracy"],
        "published_valid": experiment.valid,
        "published_test": experiment.test,
        "options": {name: value for name, value in options.items() if name not in ("data", "valid")},
        "seed": model.settings_.training.seed,
        "curve": [[r["epoch"], r["train_perplexity"], r["valid_perplexity"]] for r in read_metrics(run.metrics)],
    }
    replace_file(run.path / RESULT, (json.dumps(row, indent=1) + "\n").encode())
    return row


def finished_rows(table: str, folder: Path) -> list[dict[str, Any]]:
    """The rows of all runs of a table that are in ``folder``, so that runs of several calls make one table."""
    paths = [folder / experiment.name / RESULT for experiment in TABLES[table].experiments]
    return [json.loads(path.read_text("utf-8")) for path in paths if path.is_file()]


def write_results(table: str, rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Writes TABLE.json, TABLE.md and TABLE.png, as measured; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = json.dumps({"note": TABLES[table].note, "runs": list(rows)}, indent=1) + "\n"
    paths = [folder / f"{table}.{ending}" for ending in ("json", "md", "png")]
    replace_file(paths[0], contents.encode())
    replace_file(paths[1], markdown(table, rows).encode())
    draw(rows, paths[2])
    return paths


def markdown(table: str, rows: Sequence[dict[str, Any]]) -> str:
    """The table."""
    lines = [
        f"# {table}",
        "",
        "Word perplexity on the Penn Treebank, the whole of each part read as one text. " + TABLES[table].note,
        "",
        "| net | weights | epochs | minutes | seed | valid | published | test | published | test top-5 accuracy |",
        "| --- |" + " ---: |" * 9,
    ]
    for row in rows:
        lines.append(
            f"| {row['about']} | {row['weights']:,} | {row['epochs']:g} | {row['minutes']:g} | {row['seed']} | "
            f"{row['valid_perplexity']:.2f} | {row['published_valid']:g} | **{row['test_perplexity']:.2f}** | "
            f"{row['published_test']:g} | {row['test_top5_accuracy']:.2%} |"
        )
    lines += ["", *(f"- {row['about']}: `{row['command']}`" for row in rows)]
    cut = [row["about"] for row in rows if row["stopped_by"] == "minutes"]
    if cut:
        lines += ["", f"Ended by its time, not by its epochs: {', '.join(cut)}."]
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Training (dashed) and validation perplexity of all runs over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(rows):
        epochs, train, valid = zip(*row["curve"], strict=True)
        axes.plot(epochs, train, "--", color=f"C{number}", linewidth=1)
        axes.plot(epochs, valid, color=f"C{number}", linewidth=1.6, label=row["about"])
        axes.axhline(row["published_valid"], color=f"C{number}", linewidth=0.8, linestyle=":")
    axes.set(xlabel="epochs", ylabel="perplexity a word", yscale="log")
    axes.set_title("validation; dashed: training; dotted: published")
    axes.set_yticks(ticks := [40, 60, 80, 100, 120, 150, 200, 300, 500], [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
