"""Forecasts drawn over the series: medians, and bands between the quantiles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...training.files import save_figure

if TYPE_CHECKING:
    from ...data.series import Series
    from .result import Forecast

SERIES, FORECAST = "#3a3a3a", "#c0392b"
MOST_PANELS, MOST_ROWS = 6, 400
MOST_TICKS = 6
LINE = 90  # characters of labels that fit side by side under a panel
HOUR = re.compile(r"(?<=\d)(T|,? +)(?=\d\d?:\d\d)")  # what stands between a day and an hour


def draw_forecasts(series: Series, forecasts: Sequence[Forecast], path: Path, title: str = "") -> int:
    """Draws the last part of the series and the forecasts that begin in it or after it to a PNG file.

    One panel a target, at most six. Of forecasts that overlap only every so many is drawn, so that each stands alone;
    the title says how many, and they are returned.

    Raises ``UserError`` where the file cannot be written.
    """
    # Imported only here: most uses need no picture. Figure, not pyplot: no global state.
    from matplotlib.figure import Figure

    shown = _apart(forecasts)
    horizon = len(shown[-1])
    end = max(len(series), shown[-1].origin + horizon)
    first = max(0, min(shown[0].origin - 2 * horizon, end - 6 * horizon, end - 60), end - MOST_ROWS)
    shown = [each for each in shown if each.origin >= first]
    if len(shown) < len(forecasts):
        title = f"{title} ({len(shown)} of {len(forecasts)})"
    panels = min(series.targets, MOST_PANELS)
    figure = Figure(figsize=(9, 2.2 + 2.2 * panels), dpi=120, layout="constrained")
    labels = [*(series.dates or map(str, range(len(series)))), *shown[-1].dates]
    every = np.atleast_1d(figure.subplots(panels, sharex=True))
    for panel, axes in enumerate(every):
        rows = np.arange(first, len(series))
        axes.plot(rows, series.values[first:, panel], color=SERIES, linewidth=1.2, label="series")
        for number, forecast in enumerate(shown):
            before = series.values[forecast.origin - 1, panel] if forecast.origin else np.nan
            _draw_one(axes, forecast, panel, before, named=number == 0)
        axes.set_ylabel(series.columns[panel])
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    every[0].set_title(title, loc="left", fontsize=11)
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    shown_labels = [HOUR.sub("\n", label) for label in labels[first:end]]
    widest = max(len(line) for label in shown_labels for line in label.split("\n"))
    # The outermost labels lie inside, half a label nearer to their neighbours.
    room = min(MOST_TICKS, 1 + max(1, int(LINE / (1.5 * widest + 2))))
    ticks = np.unique(np.linspace(0, len(shown_labels) - 1, room).round().astype(int))
    axes.set_xticks(first + ticks, [shown_labels[tick] for tick in ticks])
    # The outermost labels end where the axes do.
    for label, side in ((axes.get_xticklabels()[0], "left"), (axes.get_xticklabels()[-1], "right")):
        label.set_horizontalalignment(side)
    save_figure(figure, path)
    return len(shown)


def picture_names(sources: Sequence[str]) -> list[str]:
    """A name for the picture of each source of ``elman predict``: that of its file, with a number where one is taken.

    >>> picture_names(["a/x.csv", "b/x.csv", "-"])
    ['forecast-x.png', 'forecast-x-2.png', 'forecast-stdin.png']
    """
    names: list[str] = []
    for source in sources:
        name = f"forecast-{'stdin' if source == '-' else Path(source).stem}"
        numbered = (f"{name}-{number}.png" for number in range(2, len(sources) + 2))
        names.append(next(each for each in (f"{name}.png", *numbered) if each not in names))
    return names


def _draw_one(axes: Any, forecast: Forecast, panel: int, before: float, named: bool) -> None:
    """One forecast, from the value before it on, so that the lines join."""
    values = np.concatenate([np.full((1, len(forecast.levels)), before), forecast.quantiles[:, panel]])
    steps = np.arange(forecast.origin - 1, forecast.origin + len(forecast))
    pairs = len(forecast.levels) // 2
    for pair in range(pairs):
        level = forecast.levels[-1 - pair] - forecast.levels[pair]
        axes.fill_between(
            steps,
            values[:, pair],
            values[:, -1 - pair],
            color=FORECAST,
            alpha=0.18,
            linewidth=0,
            label=f"{100 * level:.0f} % interval" if named else None,
        )
    axes.plot(
        steps,
        values[:, forecast.middle],
        color=FORECAST,
        linewidth=1.4,
        marker="o" if len(forecast) == 1 else "",
        markersize=3,
        label="forecast" if named else None,
    )
    axes.axvline(forecast.origin - 0.5, color=FORECAST, alpha=0.35, linewidth=0.8, linestyle=":")


def _apart(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """The latest forecast, and going back those that end before the one kept begins."""
    kept: list[Forecast] = []
    for forecast in sorted(forecasts, key=lambda each: each.origin, reverse=True):
        if not kept or forecast.origin + len(forecast) <= kept[0].origin:
            kept.insert(0, forecast)
    return kept
