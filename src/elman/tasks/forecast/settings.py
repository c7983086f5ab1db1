"""The options of forecasting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...errors import UserError
from ...training import check_types
from ..settings import CellSettings, MachineSettings, StopSettings, check_count

TESTED_HORIZONS = 10
MEDIAN = 0.5


def check_whole(name: str, value: object) -> None:
    """Refuses what is no whole number of at least 1; None passes.

    >>> check_whole("stride", 2.5)
    Traceback (most recent call last):
        ...
    elman.errors.UserError: stride is 2.5; expected a whole number of at least 1
    """
    if value is not None and not (isinstance(value, int | np.integer) and value >= 1):
        raise UserError(f"{name} is {value!r}; expected a whole number of at least 1")


@dataclass(frozen=True)
class SeriesSettings:
    """Which series, and which parts of it judge the model."""

    data: str | None = None
    """A file: .csv, .tsv, .jsonl, .npz or .npy; a row is a time, the oldest first."""

    target: str | tuple[str, ...] | None = None
    """The column or columns to forecast; every column of numbers not named below unless given."""

    past: tuple[str, ...] = ()
    """Columns that help but whose future is not known."""

    known: tuple[str, ...] = ()
    """Columns that help and whose future is known, such as holidays; rows at the end may hold these alone."""

    dates: str | None = None
    """The column of dates; found by its name unless given."""

    where: str | None = None
    """column=value: only these rows, such as those of one shop."""

    missing: Literal["error", "interpolate"] = "error"
    """What a missing value is: a mistake, or filled from its neighbours in the history; it is never judged by."""

    test: int | None = None
    """Values at the end that only evaluate sees, at least a horizon; unless given ten horizons, at most a fifth of all;
    0 keeps none."""

    valid: int | None = None
    """Values before those that choose the best weights; unless given a seventh of what is left, at least a horizon."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("test", "valid"):
            value = getattr(self, name)
            if value is not None and value < (name == "valid"):
                raise UserError(f"{name} is {value}; expected a number of values")


@dataclass(frozen=True)
class WindowSettings:
    """What is forecast from how much, and how a window is brought into a form that a net learns well."""

    horizon: int = 12
    """Steps to forecast."""

    season: int = 1
    """Steps of a season (12 for months in years), for MASE's scale, the seasonal naive forecast and subtract."""

    context: int | None = None
    """Values the net reads before it forecasts; unless given two seasons or the horizon, at least 16."""

    block: int | None = None
    """Steps the net forecasts at once, all of the horizon unless given; fewer are fed back as paths drawn from the
    forecast quantiles, 1 being the recursive forecast."""

    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Levels of the quantiles to forecast; the median, the forecast itself, is always among them."""

    subtract: Literal["nothing", "last", "mean", "season", "difference"] = "last"
    """Taken off each window and added to its forecasts again: its last value, its mean, the value a season before, or
    the value before (the last two make the net read changes)."""

    divide: bool = False
    """Divide each window by its mean absolute value after that."""

    log: bool = False
    """Forecast the logarithm of the targets, which must be above 0."""

    linear: bool = True
    """Have a linear autoregression inside the net, set by least squares, to which the recurrent part adds."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("horizon", "season", "context", "block"):
            check_count(name, getattr(self, name))
        if self.block is not None and self.block > self.horizon:
            raise UserError(f"block is {self.block}; expected at most the horizon, which is {self.horizon}")
        if not all(0 < level < 1 for level in self.quantiles):
            raise UserError(f"quantiles is {self.quantiles}; expected levels between 0 and 1, such as 0.1 0.5 0.9")

    @property
    def steps(self) -> int:
        """Steps the net forecasts at once."""
        return self.block or self.horizon

    @property
    def rows(self) -> int:
        """Values the net reads."""
        return self.context or max(2 * self.season, self.horizon, 16)

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles' levels, ascending, the median among them."""
        return tuple(sorted({*self.quantiles, MEDIAN}))


@dataclass(frozen=True)
class ForecastNetSettings(CellSettings):
    """The network."""

    cell: str | tuple[str, ...] = "gru"
    """A cell by name (see `elman cells`) or file.py:ClassName; several make a stack, one a layer."""

    hidden_size: int | tuple[int, ...] = 32
    """Units of a layer; several numbers, one a layer."""


@dataclass(frozen=True)
class ForecastTraining(StopSettings):
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""

    steps: int | None = 2000
    """Stop after this many updates."""

    evaluate_every: int | None = 50
    """Steps between evaluations on the validation data."""


@dataclass(frozen=True)
class ForecastSettings:
    """Everything a forecaster is told; frozen, plain values, checked when made."""

    series: SeriesSettings = SeriesSettings()
    """Which series, and which parts of it judge the model."""

    window: WindowSettings = WindowSettings()
    """What is forecast from how much, and how a window is brought into a form that a net learns well."""

    net: ForecastNetSettings = field(default=ForecastNetSettings())
    """The network."""

    machine: MachineSettings = field(default=MachineSettings())
    """How much is computed at once, how exactly, and where."""

    training: ForecastTraining = field(default=ForecastTraining())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""

    def __post_init__(self) -> None:
        if 0 < (self.series.test or 0) < self.window.horizon:
            raise UserError(
                f"test is {self.series.test}, too few values to judge a forecast of {self.window.horizon} steps by "
                "(horizon); give at least the horizon, or 0 to keep none"
            )

    def parts(self, length: int) -> tuple[int, int]:
        """Where training ends and where validation ends in a series of that length; the rest is the test part.

        None is kept unless asked for where a fifth of the series is less than a horizon.
        """
        asked, horizon = self.series, self.window.horizon
        test = min(TESTED_HORIZONS * horizon, length // 5) if asked.test is None else asked.test
        test = test if test >= horizon else 0
        valid = max(horizon, (length - test) // 7) if asked.valid is None else asked.valid
        return length - test - valid, length - test
