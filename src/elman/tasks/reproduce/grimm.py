"""The textbook's story experiment, run by run: perplexities, one picture, and the story each net tells."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ...errors import UserError, nearest
from ...training import RunFolder, read_metrics
from ...training.files import replace_file
from ..estimator import settings_from
from ..language_model.estimator import LanguageModel
from ..recipes import read_recipe
from ..runs import check_resumable
from ..settings import LanguageModelSettings

NOTE = (
    "The author's texts and his count of types differ (other tales of the same collection, 544 types at 100 tales), "
    "so perplexities compare roughly; bits per character depend less on the tokens."
)
PROMPT = "once upon a time "


@dataclass(frozen=True)
class Experiment:
    """One run: its recipe (``grimm-NAME``), what it is, and the chapter author's best validation perplexity."""

    name: str
    about: str
    chapter_best: float | None = None


EXPERIMENTS = (
    Experiment("rnn-20", "RNN 64, 20 tales", 32.86),
    Experiment("rnn-20-unroll-1", "RNN 64, 20 tales, unroll 1"),
    Experiment("scrn-20", "SCRN 64 + 64 (paper), 20 tales"),
    Experiment("rnn-100", "RNN 64, 100 tales"),
    Experiment("scrn-100", "SCRN 64 + 64 (paper), 100 tales", 29.78),
    Experiment("scrn-chapter-100", "SCRN 64 + 64 (chapter), 100 tales", 29.78),
    Experiment("rnn-3-layers-100", "RNN 3 x 64, 100 tales"),
    Experiment("lstm-100", "LSTM 64, 100 tales"),
    Experiment("gru-100", "GRU 64, 100 tales"),
    Experiment("lstm-128-100", "LSTM 128, dropout, 100 tales", 16.17),
)


def select(names: Sequence[str]) -> list[Experiment]:
    """The experiments of these names, in the order of the table; all for none.

    >>> [experiment.name for experiment in select(["lstm-100", "rnn-20"])]
    ['rnn-20', 'lstm-100']
    """
    known = [experiment.name for experiment in EXPERIMENTS]
    for name in names:
        if name not in known:
            raise UserError(f"the story experiment has no run {name!r}; {nearest(name, known)}")
    return [experiment for experiment in EXPERIMENTS if not names or experiment.name in names]


def run_experiment(
    experiment: Experiment, folder: Path, overrides: dict[str, Any], console: Console | None = None
) -> dict[str, Any]:
    """Trains one experiment in ``folder``/NAME, or goes on where an earlier call stopped; returns its row and story."""
    settings = settings_from(LanguageModelSettings, read_recipe(f"grimm-{experiment.name}") | overrides)
    run = RunFolder(folder / experiment.name)
    options = {o.name: getattr(g, o.name) for g in _groups(settings) for o in dataclasses.fields(g)}
    last = max(run.steps(), default=None)
    if last is not None:
        check_resumable(run, LanguageModel.load_settings(run), settings)
    if last is None or last < (settings.training.steps or 0):
        trained = LanguageModel(**options)
        trained.fit(run=run.path, resume=last is not None, console=console, quiet=console is None)
        if trained.result.stopped_by == "interrupted":
            raise KeyboardInterrupt  # Ctrl-C ends the whole experiment, not this run of it; the run is saved
    model = LanguageModel.load(run.path)
    records = read_metrics(run.metrics)
    best = min(records, key=lambda record: record["valid_loss"])
    final = records[-1]
    return {
        "name": experiment.name,
        "about": experiment.about,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "types": model.tokenizer_.vocab_size,
        "updates": final["step"],
        "train_perplexity": final["train_perplexity"],
        "best_valid_perplexity": best["valid_perplexity"],
        "best_step": best["step"],
        "best_bits_per_character": best["valid_bits_per_character"],
        "last_valid_perplexity": final["valid_perplexity"],
        "chapter_best": experiment.chapter_best,
        "seed": settings.training.seed,
        "minutes": round(final["seconds"] / 60, 1),
        "greedy": model.generate(PROMPT, length=100, greedy=True),
        "story": model.generate(PROMPT, length=250, temperature=0.7, noise=0.01, seed=0),
        "curve": [[record["step"], record["train_perplexity"], record["valid_perplexity"]] for record in records],
    }


def write_results(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Writes grimm.json, grimm.md and grimm.png, as measured; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Callable[[], bytes]] = {
        "grimm.json": lambda: (json.dumps({"note": NOTE, "runs": list(rows)}, indent=1) + "\n").encode(),
        "grimm.md": lambda: markdown(rows).encode(),
    }
    for name, content in contents.items():
        replace_file(folder / name, content())
    draw(rows, folder / "grimm.png")
    return [folder / name for name in (*contents, "grimm.png")]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table and the stories."""
    lines = [
        "# The story experiment",
        "",
        "`elman reproduce grimm`: perplexity a pair of characters on the last 100 pairs of the ten longest tales, each "
        "from the zero state. " + NOTE,
        "",
        "| run | weights | types | updates | train | best valid | at update | bits/char | last valid | the chapter |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        chapter = "" if row["chapter_best"] is None else f"{row['chapter_best']:.2f}"
        lines.append(
            f"| {row['about']} | {row['weights']:,} | {row['types']} | {row['updates']:,} | "
            f"{row['train_perplexity']:.2f} | {row['best_valid_perplexity']:.2f} | {row['best_step']:,} | "
            f"{row['best_bits_per_character']:.3f} | {row['last_valid_perplexity']:.2f} | {chapter} |"
        )
    for row in rows:
        lines += ["", f"## {row['about']}", "", "The likeliest pair at each step:", "", *_quoted(row["greedy"])]
        lines += ["", "By chance, temperature 0.7, from the noise start of sigma 0.01:", "", *_quoted(row["story"])]
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Training and validation perplexity of all runs over updates (the chapter's figures 6.12 and 6.14)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, column, title in zip(axes, (1, 2), ("training", "validation"), strict=True):
        for number, row in enumerate(rows):
            steps, values = [point[0] for point in row["curve"]], [point[column] for point in row["curve"]]
            dashes = "--" if number >= 7 else "-"
            axis.plot(steps, values, dashes, color=f"C{number % 10}", linewidth=1.3, label=row["about"])
        axis.set(title=title, xlabel="updates", yscale="log")
        axis.set_yticks(ticks := [3, 5, 10, 20, 30, 50, 100, 200], [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("perplexity a pair of characters")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def _quoted(text: str) -> list[str]:
    return [f"> {PROMPT}{text}".replace("\n", "\n> ")]


def _groups(settings: LanguageModelSettings) -> list[Any]:
    return [getattr(settings, field.name) for field in dataclasses.fields(settings)]
