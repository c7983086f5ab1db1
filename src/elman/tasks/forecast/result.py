"""What a forecast is, and what an evaluation found."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...data.series import Series
from ...errors import UserError
from .settings import MEDIAN


@dataclass(frozen=True)
class Forecast:
    """Quantiles of what comes after row ``origin - 1``: ``quantiles`` (H, D, Q) at ``levels``, with dates and names.

    ``median`` is the forecast itself, (H,) for one target, else (H, D); so is ``np.asarray(forecast)``.
    """

    quantiles: np.ndarray
    levels: tuple[float, ...]
    columns: tuple[str, ...]
    dates: tuple[str, ...]
    origin: int

    @property
    def middle(self) -> int:
        """Which level is the median."""
        return self.levels.index(MEDIAN)

    @property
    def median(self) -> np.ndarray:
        """The forecast: (H,) for one target, else (H, D)."""
        return self.quantile(MEDIAN)

    def quantile(self, level: float) -> np.ndarray:
        """The quantile of one of ``levels``, in the shape of ``median``; raises ``UserError`` for another level."""
        if level not in self.levels:
            raise UserError(f"no quantile {level} was forecast; there are {', '.join(map(str, self.levels))}")
        values = self.quantiles[..., self.levels.index(level)]
        return values[:, 0] if values.shape[1] == 1 else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.median, dtype=dtype)

    def __len__(self) -> int:
        return len(self.quantiles)

    def records(self) -> list[dict[str, Any]]:
        """One record a step and target: date, target and the quantiles by level."""
        return [
            {"date": date, "target": column} | dict(zip(map(str, self.levels), row.tolist(), strict=True))
            for date, step in zip(self.dates, self.quantiles, strict=True)
            for column, row in zip(self.columns, step, strict=True)
        ]

    def save_csv(self, path: str | Path) -> None:
        """Writes the records to a CSV file."""
        records = self.records()
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)


class Comparison(dict[str, Any]):
    """What ``evaluate`` found, as plain values: the model's ``mae``, ``rmse``, ``smape``, ``mase``, ``pinball``,
    ``coverage`` of the ``interval`` and ``width``; the first four of every method under ``methods``; how it was done.

    ``forecasts`` and ``series`` hold what is drawn.
    """

    forecasts: list[Forecast]
    series: Series

    def table(self) -> str:
        """The methods side by side, and how they were judged, in plain lines."""
        names = {"mae": "MAE", "rmse": "RMSE", "smape": "sMAPE %", "mase": "MASE"}
        width = max(map(len, self["methods"]))
        lines = [f"{'':<{width}}" + "".join(f"{name:>12}" for name in names.values())]
        for method, scores in self["methods"].items():
            numbers = (f"{scores[name]:.4g}" if math.isfinite(scores[name]) else "-" for name in names)
            lines.append(f"{method:<{width}}" + "".join(f"{number:>12}" for number in numbers))
        judged = (
            f"{self['origins']} rolling origins, {self['horizon']} steps each, from {self['first_origin']} to "
            f"{self['last_origin']}; {self['policy']}"
        )
        if self["interval"]:
            judged += (
                f"\nthe {100 * self['interval']:.0f} % interval held {100 * self['coverage']:.1f} % of the values; "
                f"mean width {self['width']:.4g}"
            )
        return "\n".join([*lines, "", judged, self.verdict()])

    def verdict(self) -> str:
        """In one sentence whether the model beats the others in MAE, or is as good where the change would be 0.0 %."""
        own, *others = self["methods"]
        mae = self["methods"][own]["mae"]
        said = []
        for other in others:
            theirs = self["methods"][other]["mae"]
            if not theirs:
                said.append(f"does not beat {other} (which has no error)" if mae else f"is as good as {other}")
                continue
            change = f"{100 * (mae / theirs - 1):+.1f}"
            words = "is as good as" if change in ("+0.0", "-0.0") else "beats" if mae < theirs else "does not beat"
            said.append(f"{words} {other} ({change} %)")
        return f"by MAE the model {', '.join(said)}"


def as_table(records: list[dict[str, Any]]) -> list[str]:
    """Records as a table: a line of names, and one a record."""
    names = [name for name in records[0] if name != "target" or len({each["target"] for each in records}) > 1]
    words = [names] + [
        [f"{record[name]:.5g}" if isinstance(record[name], float) else record[name] for name in names]
        for record in records
    ]
    widths = [max(len(row[k]) for row in words) for k in range(len(names))]
    return ["  ".join(f"{word:>{width}}" for word, width in zip(row, widths, strict=True)) for row in words]
