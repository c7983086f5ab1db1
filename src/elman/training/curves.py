"""The picture of a run: perplexity, or loss, on the training and the validation data over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .files import save_figure

TRAIN, VALID = "#8a8a8a", "#c0392b"


def draw_curves(records: Sequence[Mapping[str, Any]], path: Path, best_step: int | None = None) -> None:
    """Draw the records of ``metrics.jsonl`` to a PNG file: perplexity on a log axis, or the loss and the rest.

    ``best_step``, whose weights are kept as the best, is marked; unless given the lowest value is. Nothing is drawn
    without records.

    Raises:
        UserError: the file cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "curves.png"
    >>> draw_curves([{"step": 1, "train_loss": 2.0, "valid_loss": 2.5}], path)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    if not records:
        return
    # Imported only here: a second that runs without a picture need not spend. Figure, not pyplot: no global state.
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    what = "perplexity" if any("valid_perplexity" in record for record in records) else "loss"
    others = [] if what == "perplexity" else _further(records)
    figure = Figure(figsize=(8, 8 if others else 5), dpi=120, layout="constrained")
    axes, *below = np.atleast_1d(figure.subplots(1 + bool(others), sharex=True))
    for name, label, colour in ((f"train_{what}", "train", TRAIN), (f"valid_{what}", "valid", VALID)):
        points = [(record["step"], record[name]) for record in records if record.get(name) is not None]
        if points:
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=colour, label=label, marker="o" if len(points) < 40 else "", markersize=3)
    valid = [(record[f"valid_{what}"], record["step"]) for record in records if record.get(f"valid_{what}") is not None]
    if valid:
        kept = [each for each in valid if each[1] == best_step]
        best, step = min(kept or valid)
        axes.plot([step], [best], color=VALID, marker="o", markersize=7, fillstyle="none")
        axes.set_title(f"{'kept' if kept else 'best'}: valid {what} {best:.4g} at step {step}", loc="left", fontsize=11)
    if what == "perplexity":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 6.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    for lower in below:
        for number, name in enumerate(others):
            steps, values = zip(*((r["step"], r[name]) for r in records if r.get(name) is not None), strict=True)
            lower.plot(steps, values, color=f"C{number}", label=name.replace("_", " "), marker="o", markersize=3)
        lower.grid(alpha=0.25)
        lower.spines[["top", "right"]].set_visible(False)
        lower.legend(frameon=False)
    (below or [axes])[-1].set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(what)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)
    save_figure(figure, path)


def _further(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was measured on the validation data beside the loss."""
    names = dict.fromkeys(name for record in records for name in record if name.startswith("valid_"))
    return [name for name in names if name != "valid_loss" and any(r.get(name) is not None for r in records)]
