"""Forecasting as an estimator: the next values of one series or several, with intervals, judged as it will be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from ...data import Batches, Scaling
from ...data.dates import dates_after, why_unread
from ...data.series import (
    Series,
    Table,
    as_series,
    filled,
    is_missing,
    require_all_dates,
    require_complete,
    series_from_plain,
    series_like,
    series_to_plain,
    with_all_dates,
)
from ...data.windows import ForecastWindow, SeriesWindows
from ...errors import UserError
from ...models.forecaster import ForecastNet, pinball
from ..sequence_task import Lesson, SequenceEstimator, built, judging
from .figure import draw_forecasts, picture_names
from .intervals import stretch_of
from .paths import PATHS, quantiles_ahead
from .result import Comparison, Forecast, as_table
from .rolling import compared, lags_of, origins_between, seen_rows, simple_forecasts
from .settings import ForecastSettings, check_whole

EVALUATION_ROWS = 2048
LEAST_SQUARES_WINDOWS = 20_000
FILLING = "give missing='interpolate' (--missing interpolate) to fill gaps"


class Forecaster(SequenceEstimator):
    """Forecasts the next ``horizon`` values of one series or several, with quantiles, from any recurrent cell.

    Takes every option of ``ForecastSettings`` by name; ``elman train forecast --help`` explains each. A series is what
    ``elman.data.series.as_series`` reads: an array (T,) or (T, columns), a list, a pandas object, a mapping of columns
    or a file. Of its rows the last are kept for ``evaluate`` (option ``test``) and those before them choose the best
    weights (``valid``); means and deviations are those of the training part alone.

    After ``fit`` or ``load``: ``net``, ``settings_``, ``series_`` (all rows given), ``parts_`` (where in them training
    and validation ended), ``scaling_``, and ``stretch_`` (Q,), by which each quantile's distance from the median is
    multiplied so that it holds its share of the validation part: training alone makes intervals that are too narrow.

    >>> t = np.arange(240)
    >>> model = Forecaster(horizon=6, season=12, steps=100, hidden_size=8).fit(10 + np.sin(t * np.pi / 6))
    >>> forecast = model.predict()
    >>> forecast.median.shape, forecast.dates[0]
    ((6,), '+1')
    >>> bool(np.abs(forecast.median - (10 + np.sin(np.arange(240, 246) * np.pi / 6))).max() < 0.2)
    True
    """

    task: ClassVar[str] = "forecast"
    help: ClassVar[
        str
    ] = """Train a forecaster on a series; it is compared with simple methods on the end of the series.

    Examples:
      elman train forecast --data sales.csv --target sold --horizon 12 --season 12
      elman train forecast --data load.csv --target load --known holiday --past wind --horizon 24 --season 24
      elman train forecast --recipe forecast-sunspots --data sunspots.csv
    """
    settings_class = ForecastSettings
    net: ForecastNet
    settings_: ForecastSettings
    series_: Series
    parts_: tuple[int, int]
    scaling_: Scaling
    stretch_: Tensor

    def fit(
        self,
        X: Table = None,
        y: Any = None,
        *,
        run: str | Path | None = None,
        resume: bool = False,
        console: Console | None = None,
        quiet: bool = True,
    ) -> Self:
        """Trains on a series; ``y`` is not used, scikit-learn gives it.

        Args:
            X: the series, or a file; default the option ``data``.
            y: nothing.
            run: a folder for settings, metrics, curves and checkpoints; nothing is kept unless given.
            resume: go on from that folder's last checkpoint, bit for bit.
            console: where progress is shown; default standard output.
            quiet: show nothing.

        Raises ``UserError`` for every mistake in options, series or folder.
        """
        options = self.get_params()
        if isinstance(X, str | Path):
            options, X = {**options, "data": str(X)}, None
        settings = self._begin(options)
        self.series_, _, filling = self._read(X)
        end, seen = self.parts_ = settings.parts(len(self.series_))
        self._check_learnable(end)
        self.scaling_ = Scaling.learned([self._numbers(self.series_[: max(end, 1)])])
        net = self._build()
        training, judged = self._windows(net, end, 0), self._windows(net, seen, end)
        every = -(-len(training) // LEAST_SQUARES_WINDOWS)
        some = training.at(training.origins[::every])
        net.to(some.history.dtype).fit_linear(some.history, some.target)
        levels = torch.tensor(settings.window.levels)

        def loss(window: ForecastWindow) -> Tensor:
            quantiles, frame = net(window.history, window.future)
            return pinball(quantiles, frame.relative(window.target.unsqueeze(-1)).squeeze(-1), levels.to(quantiles))

        def evaluate() -> dict[str, float]:
            with judging(net) as device:
                parts = [
                    (loss(ForecastWindow(*(each.to(device) for each in part))), int((~part.target.isnan()).sum()))
                    for part in judged.batches(EVALUATION_ROWS)
                ]
            return {"loss": sum(float(mean) * count for mean, count in parts) / sum(count for _, count in parts)}

        lesson = Lesson(
            net,
            Batches(
                [1] * len(training),
                settings.machine.batch_size,
                lambda rows: training.at(training.origins[torch.from_numpy(rows)]),
                settings.training.seed,
            ),
            loss,
            lambda window: int((~window.target.isnan()).sum()),
            evaluate,
            {
                "series": f"{len(self.series_):,} rows, to forecast "
                f"{', '.join(self.series_.columns[: self.series_.targets])}",
                "parts": f"{end:,} to learn from, {seen - end:,} to choose the best weights by, "
                f"{len(self.series_) - seen or 'none'} for evaluate",
                **self._remarks(filling),
            },
        )
        self._train(lesson, run=run, resume=resume, console=console, quiet=quiet)
        self.stretch_ = self._stretch()
        return self

    @classmethod
    def load(cls, folder: str | Path, checkpoint: str = "best") -> Self:
        """The model of a run folder, with its best weights, or those of the checkpoint named ("last", a step).

        Raises ``UserError`` where there is no run of a forecaster, or it is damaged.
        """
        model = super().load(folder, checkpoint)
        model.stretch_ = model._stretch()
        return model

    def predict(self, X: Table = None, horizon: int | None = None, *, future: Table = None) -> Forecast:
        """What comes next after the last value of a series.

        Args:
            X: the series whose end is looked at, with the columns of training in any order, or without names in that
                of training; default the whole series of ``fit``, its test part included.
            horizon: steps; default the option ``horizon``. Beyond the option's, and with ``block``, forecasts are fed
                back: 200 paths are drawn from the forecast quantiles (all steps of a block at one level), and their
                quantiles are the forecast.
            future: (steps, K) the covariates ``known`` ahead, where there are any, in whatever X may be; they may also
                stand in rows at the end of X whose targets are missing.

        Raises ``UserError`` for too short a series, other columns, missing values (see the option ``missing``), too few
        rows of ``future``, or a horizon beyond one block with covariates whose future is not known.
        """
        self._require_net()
        series, ahead = (self.series_, None) if X is None else self._reread(X)[:2]
        return self._next(series, ahead if future is None else self._future(future), horizon)

    def _next(self, series: Series, ahead: Series | None, horizon: int | None = None) -> Forecast:
        """The forecast after the last row of a series; ``ahead`` are the covariates known after it."""
        steps = self._steps(horizon)
        whole = -(-steps // self.net.steps) * self.net.steps
        if series.known and (ahead is None or len(ahead) < whole):
            raise UserError(
                f"{steps} steps need {whole} rows of the covariates known ahead ({', '.join(series.known_columns)}); "
                f"got {0 if ahead is None else len(ahead)}; add rows to the end of the file that hold them and whose "
                "targets are empty (in Python future= gives them too)"
            )
        return self._forecasts(series, [len(series)], steps, ahead)[0]

    def _steps(self, horizon: int | None) -> int:
        check_whole("horizon", horizon)
        return self.settings_.window.horizon if horizon is None else int(horizon)

    def evaluate(
        self,
        X: Table = None,
        y: Any = None,
        *,
        origins: int | None = 10,
        stride: int | None = None,
        horizon: int | None = None,
        refit: bool = False,
    ) -> Comparison:
        """Rolling-origin evaluation beside the naive, seasonal naive and linear autoregressive forecasts.

        At each origin every method sees the values before it and forecasts the ``horizon`` after it. The model keeps
        the weights of ``fit``, and the origins lie after everything that fit has seen; with ``refit`` a new model of
        the same options is trained at each origin on what precedes it. The autoregression is fitted where the model is;
        the scale of MASE is that of what fit has seen. Missing values are not judged by.

        Args:
            X: the series; default that of ``fit``, and where no test part was kept its validation part, with a word
                about that. Where X holds the end of what fit has seen, the origins come after that; a series that does
                not is another one, and they come as soon as there is enough history.
            y: nothing.
            origins: how many, spread evenly; None takes all.
            stride: take them so many steps apart instead, back from the end.
            horizon: steps; default the option ``horizon``.
            refit: train anew at every origin.

        Raises ``UserError`` where there is no room for an origin, or too little for the other methods to learn from.
        """
        self._require_net()
        check_whole("origins", origins)
        check_whole("stride", stride)
        window, net, steps = self.settings_.window, self.net, self._steps(horizon)
        series = self.series_ if X is None else self._reread(X)[0]
        # The covariates known ahead must reach to the end of the last block.
        reach = -(-steps // net.steps) * net.steps if series.known else steps
        end, seen = self.parts_
        chose = X is None and len(series) - seen < reach
        training = self.series_[: end if chose else seen]
        lags = lags_of(window, len(training), steps)
        # Every method needs enough history: the net its window, the seasonal naive a season, what is fitted its rows.
        needed = max(net.history_needed, window.season, lags + steps if refit else 0)
        first = max(
            end if chose else seen if X is None else seen_rows(self.series_[:seen], series, net.history_needed), needed
        )
        places = origins_between(first, len(series) - reach, origins, stride)
        if not places:
            raise UserError(
                f"no room to evaluate: the first origin could be at value {first}, the series has {len(series)} and a "
                f"forecast takes {reach}; fit with test= values kept back, or give a longer series"
            )
        if refit:
            forecasts = [self._refitted(series[: place + reach], place, steps) for place in places]
        else:
            forecasts = self._forecasts(series, places, steps, None)
        histories = (self._complete(series[:place])[:, : series.targets] for place in places)
        others = simple_forecasts(self._complete(training)[:, : series.targets], histories, steps, lags, window, refit)
        found = compared(self._name, series, forecasts, others, training.target_values, window.season)
        found["policy"] = "trained anew at every origin" if refit else "trained once, on what precedes the first"
        if chose:
            kept = f"the {len(series) - seen} of the test part are fewer" if len(series) > seen else "no test part"
            found["policy"] = (
                f"on the validation part ({kept}), which chose the weights: expect more error on what comes"
            )
        return found

    def score(self, X: Table = None, y: Any = None) -> float:
        """Minus the MASE of ``evaluate``: larger is better, as scikit-learn wants it."""
        return -float(self.evaluate(X)["mase"])

    def show(self, result: dict[str, Any], folder: Path | None) -> str:
        """The table of ``evaluate``; the forecasts are drawn to forecasts.png in the folder."""
        assert isinstance(result, Comparison)
        said = result.table()
        if folder is not None:
            path = folder / "forecasts.png"
            drawn = draw_forecasts(result.series, result.forecasts, path, f"{self._name}: forecasts at rolling origins")
            said += f"\npicture   {path}"
            if drawn < len(result.forecasts):
                said += f" ({drawn} of the {len(result.forecasts)} forecasts, so that none overlap)"
        return said

    def predictions(self, sources: list[str], top: int) -> Iterator[tuple[dict[str, Any], str]]:
        """What follows the series of each file, or without files that of training; drawn to a PNG file in the run.

        A step has one forecast: ``UserError`` where ``top`` is more.
        """
        if top != 1:
            raise UserError(f"top is {top}; a forecast has one answer for each step, leave top out")
        files: list[str | None] = [*sources] or [None]
        for source, picture in zip(files, picture_names(sources) or ["forecast.png"], strict=True):
            series, ahead, filling = (self.series_, None, "") if source is None else self._reread(source)
            forecast, path = self._next(series, ahead), self.run.path / picture
            draw_forecasts(series, [forecast], path, f"{self._name}: the next {len(forecast)} steps")
            records = forecast.records()
            lines = as_table(records)
            below = (f"\nfilled    {filling}" if filling else "") + f"\npicture   {path}"
            for number, (record, line) in enumerate(zip(records, lines[1:], strict=True)):
                line = f"{lines[0]}\n{line}" if number == 0 else line
                yield record, line + below if number == len(records) - 1 else line

    def _windows(self, net: ForecastNet, end: int, first: int) -> SeriesWindows:
        """The windows of the first ``end`` rows whose forecasts begin at row ``first`` or later."""
        series = self.series_[:end]
        targets = self._scaled(self._logged(series.values))[:, : series.targets]
        values = self._scaled(self._numbers(series)) if end else series.values
        dtype = getattr(torch, self.settings_.machine.dtype)
        part = f"the {'validation' if first else 'training'} part ({end - first:,} of {len(self.series_):,} rows)"
        return SeriesWindows(values, targets, series.known, net.history_needed, net.steps, first, dtype, part)

    def _stretch(self) -> Tensor:
        """The factors (Q,) with which the quantiles hold their shares of the validation part, all steps together."""
        end, seen = self.parts_
        validation = self._windows(self.net, seen, end).batches(EVALUATION_ROWS)
        return stretch_of(self.net, validation, self.settings_.window.levels)

    # What is read, and how it becomes numbers

    def _read(self, data: Table) -> tuple[Series, Series | None, str]:
        """The series of ``data``, the covariates of rows at its end that hold nothing else, and what is filled."""
        asked = self.settings_.series
        source = asked.data if data is None else data
        if source is None:
            raise UserError("no series was given; give it to fit, or name a file with the option data")
        return self._cut(
            as_series(source, asked.target, past=asked.past, known=asked.known, dates=asked.dates, where=asked.where)
        )

    def _reread(self, data: Table) -> tuple[Series, Series | None, str]:
        """The same for the model there is: with the columns of training."""
        asked = self.settings_.series
        options: dict[str, Any] = {"past": asked.past, "known": asked.known, "dates": asked.dates, "where": asked.where}
        return self._cut(series_like(data, self.series_, asked.target, **options))

    def _future(self, future: Table) -> Series:
        """The covariates known ahead, as they were given to ``predict``."""
        if not self.series_.known:
            raise UserError("future was given, but the model was trained without the option known; leave future out")
        try:
            return series_like(future, self.series_[:0].known_part, self.series_.known_columns)
        except UserError as error:
            raise UserError(f"future: {error}") from error

    def _cut(self, series: Series) -> tuple[Series, Series | None, str]:
        ahead, rows_read = None, len(series)
        if self.settings_.series.missing == "interpolate":
            series = with_all_dates(series)
        else:
            require_all_dates(series, f"add a row for it, or {FILLING}")
        added = len(series) - rows_read
        if series.known:
            told = ~np.isnan(series.target_values).all(1)
            rows = int(np.flatnonzero(told)[-1]) + 1 if told.any() else 0
            series, ahead = series[:rows], series.known_part[rows:]
        if self.settings_.window.log:
            bad = np.argwhere(series.target_values <= 0)
            if len(bad):
                row, column = map(int, bad[0])
                raise UserError(
                    f"{series.place(row)}, column {series.columns[column]!r}: {series.values[row, column]:g} has no "
                    "logarithm; leave log out, or add a constant"
                )
        self._check_complete(series)
        cells = int(np.isnan(series.values).sum())
        filling = f"{cells:,} missing value{'s' * (cells > 1)}" if cells else ""
        if added:
            filling += f" ({added:,} row{'s' * (added > 1)} added for absent dates)"
        return series, ahead, filling

    def _remarks(self, filling: str) -> dict[str, str]:
        """What the summary of a fit says of the dates and of what is filled, where there is something to say."""
        why = why_unread([label for label in self.series_.dates or () if not is_missing(label)])
        remarks = {"dates": f"not understood ({why}): order and gaps are not checked"} if why else {}
        return {**remarks, "filled": filling} if filling else remarks

    def _complete(self, series: Series) -> np.ndarray:
        """All values (T, C), gaps filled from these rows alone where the option says so."""
        self._check_complete(series)
        values = filled(series.values)
        empty = np.isnan(values).any(0)
        if empty.any():
            column = series.columns[int(empty.argmax())]
            raise UserError(
                f"column {column!r} holds no value in the {len(values):,} rows to forecast from; fill it in"
            )
        return values

    def _check_complete(self, series: Series) -> None:
        if self.settings_.series.missing == "error":
            require_complete(series, f"mend the data, or {FILLING}")

    def _check_learnable(self, end: int) -> None:
        """Refuses columns that are empty in the training part, the first ``end`` rows."""
        empty = np.isnan(self.series_.values[:end]).all(0)
        if end > 0 and empty.any():
            column = self.series_.columns[int(empty.argmax())]
            raise UserError(f"column {column!r} holds no value in the training part ({end:,} rows); leave it out")

    def _logged(self, values: np.ndarray) -> np.ndarray:
        if not self.settings_.window.log:
            return values
        targets = self.series_.targets
        return np.concatenate([np.log(values[:, :targets]), values[:, targets:]], axis=1)

    def _numbers(self, series: Series) -> np.ndarray:
        return self._logged(self._complete(series))

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return self.scaling_(values)

    def _known_scaled(self, series: Series, ahead: Series | None, rows: int) -> np.ndarray:
        """The known covariates (T, K) of a series and of the rows after it, scaled; the first ``rows`` are needed."""
        if not series.known:
            return np.empty((rows, 0))
        parts = [series.known_part, *([] if ahead is None else [ahead])]
        for part, needed in zip(parts, (rows, rows - len(series)), strict=False):
            self._check_complete(part[:needed])
        known = filled(np.concatenate([part.values for part in parts]))
        mean, deviation = (np.array(each)[-series.known :] for each in (self.scaling_.mean, self.scaling_.deviation))
        return np.asarray((known - mean) / deviation)

    # What is forecast

    def _forecasts(self, series: Series, places: Sequence[int], steps: int, ahead: Series | None) -> list[Forecast]:
        """The forecasts after the rows before each place; ``ahead`` are the covariates known after the last row."""
        net, targets = self.net, series.targets
        if places[0] < net.history_needed:
            raise UserError(
                f"{places[0]} values are too few; this model reads {net.history_needed} before it forecasts"
            )
        blocks = -(-steps // net.steps)
        if blocks > 1 and series.past:
            raise UserError(
                f"{steps} steps, {net.steps} at a time, need the future of the covariates in past, which is not known; "
                "name them in target to forecast them too, or have the net forecast all steps at once (horizon, block)"
            )
        known = self._known_scaled(series, ahead, places[-1] + blocks * net.steps)
        whole = None if np.isnan(series.values).any() else self._scaled(self._numbers(series))
        like = next(net.parameters())
        size = max(1, EVALUATION_ROWS // (PATHS if blocks > 1 else 1))
        found = []
        for start in range(0, len(places), size):
            some = places[start : start + size]
            histories = [
                (self._scaled(self._numbers(series[:place])) if whole is None else whole[:place])[-net.history_needed :]
                for place in some
            ]
            future = [known[place : place + blocks * net.steps] for place in some]
            history, after = (
                torch.tensor(np.stack(each, 1), device=like.device, dtype=like.dtype) for each in (histories, future)
            )
            found.append(quantiles_ahead(net, history, after, steps, self.settings_.window.levels, self.stretch_))
        values = np.concatenate(found, axis=1).astype(np.float64)  # (H, places, D, Q)
        deviation, mean = (np.array(each)[:targets, None] for each in (self.scaling_.deviation, self.scaling_.mean))
        values = values * deviation + mean
        values = np.exp(values) if self.settings_.window.log else values
        levels, columns = self.settings_.window.levels, series.columns[:targets]
        return [
            Forecast(values[:, k], levels, columns, self._dates(series, place, steps, ahead), place)
            for k, place in enumerate(places)
        ]

    def _dates(self, series: Series, place: int, steps: int, ahead: Series | None) -> tuple[str, ...]:
        """The dates of the rows from the place on, those that there are, and those that follow them."""
        own, later = series.dates or (), (ahead and ahead.dates) or ()
        labels = (*own[place : place + steps], *later)
        there = tuple(islice(takewhile(lambda label: not is_missing(label), labels), steps))
        return there + tuple(dates_after((*own[:place], *there), steps - len(there)))

    def _refitted(self, series: Series, place: int, steps: int) -> Forecast:
        """A forecast of a new model of the same options, trained on the rows before the place."""
        model = type(self)(**{**self.get_params(), "test": 0}).fit(series[:place])
        return model._forecasts(series, [place], steps, None)[0]

    @property
    def _name(self) -> str:
        return "+".join(cell.rpartition(":")[2] for cell in self.settings_.net.cells)

    # What the run folder holds beside the weights

    def _learned(self) -> dict[str, Any]:
        scaling = {"mean": list(self.scaling_.mean), "deviation": list(self.scaling_.deviation)}
        return {"series": series_to_plain(self.series_), "parts": list(self.parts_), "scaling": scaling}

    def _relearn(self, learned: dict[str, Any]) -> None:
        try:
            end, seen = learned["parts"]
            self.series_, self.parts_ = series_from_plain(learned["series"]), (int(end), int(seen))
            self.scaling_ = Scaling(tuple(learned["scaling"]["mean"]), tuple(learned["scaling"]["deviation"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.run.path} does not say what it was trained on; restore its learned.json") from error

    def _build(self) -> ForecastNet:
        window, series = self.settings_.window, self.series_
        sizes = (len(series.columns), series.targets, series.known, window.rows, window.steps, len(window.levels))
        return built(
            ForecastNet,
            self.settings_.net,
            *sizes,
            subtract=window.subtract,
            season=window.season,
            divide=window.divide,
            linear=window.linear,
        )
