"""Forecasting as an estimator: the next values of one series or several, with intervals, judged as it will be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from ...data import Batches, Scaling
from ...data.dates import dates_after
from ...data.series import Series, Table, as_series, filled, require_complete, series_from_plain, series_to_plain
from ...data.windows import ForecastWindow, SeriesWindows
from ...errors import UserError
from ...models.forecaster import ForecastNet, pinball
from ..sequence_task import Lesson, SequenceEstimator, built, judging
from . import metrics
from .baselines import Autoregression, naive, seasonal_naive
from .figure import draw_forecasts
from .paths import PATHS, quantiles_ahead
from .result import Comparison, Forecast, as_table
from .settings import MEDIAN, ForecastSettings

EVALUATION_ROWS = 2048
LEAST_SQUARES_WINDOWS = 20_000


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
        self.series_, _ = self._read(X)
        end, seen = self.parts_ = settings.parts(len(self.series_))
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
                "series": f"{', '.join(self.series_.columns[: self.series_.targets])}: {len(self.series_):,} values",
                "parts": f"{end:,} to learn from, {seen - end:,} to choose the best weights by, "
                f"{len(self.series_) - seen:,} for evaluate",
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
            X: the series whose end is looked at, with the columns of training; default the whole series of ``fit``,
                its test part included.
            horizon: steps; default the option ``horizon``. Beyond the option's, and with ``block``, forecasts are fed
                back: 200 paths are drawn from the forecast quantiles (all steps of a block at one level), and their
                quantiles are the forecast.
            future: (steps, K) the covariates ``known`` ahead, where there are any; they may also stand in rows at the
                end of X whose targets are missing.

        Raises ``UserError`` for too short a series, missing values (see the option ``missing``), too few rows of
        ``future``, or a horizon beyond one block with covariates whose future is not known.
        """
        self._require_net()
        series, ahead = (self.series_, None) if X is None else self._reread(X)
        if future is not None:
            ahead = np.asarray(future, np.float64).reshape(-1, series.known)
        window = self.settings_.window
        steps = window.horizon if horizon is None else horizon
        if steps < 1:
            raise UserError(f"horizon is {steps}; expected at least 1")
        whole = -(-steps // self.net.steps) * self.net.steps
        if series.known and (ahead is None or len(ahead) < whole):
            raise UserError(
                f"{steps} steps need {whole} rows of the covariates known ahead ({', '.join(series.known_columns)}); "
                f"got {0 if ahead is None else len(ahead)}; give future=, or rows at the end that hold them alone"
            )
        return self._forecasts(series, [len(series)], steps, ahead)[0]

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

        Raises ``UserError`` where there is no room for an origin.
        """
        self._require_net()
        settings, net = self.settings_, self.net
        series = self.series_ if X is None else self._reread(X)[0]
        steps = horizon or settings.window.horizon
        # The covariates known ahead must reach to the end of the last block.
        reach = -(-steps // net.steps) * net.steps if series.known else steps
        end, seen = self.parts_
        chose = X is None and len(series) - seen < reach
        first = max(end if chose else seen if X is None else self._seen_of(series), net.history_needed)
        places = _origins(first, len(series) - reach, origins, stride)
        if not places:
            raise UserError(
                f"no room to evaluate: the first origin could be at value {first}, the series has {len(series)} and a "
                f"forecast takes {reach}; fit with test= values kept back, or give a longer series"
            )
        if refit:
            forecasts = [self._refitted(series[:place], steps, series, place) for place in places]
        else:
            forecasts = self._forecasts(series, places, steps, None)
        training = self._complete(self.series_[: end if chose else seen])
        others = self._baselines(series, training, places, steps, refit)
        actual = np.stack([series.target_values[place : place + steps] for place in places])
        scale = metrics.mase_scale(self.series_.target_values[: len(training)], settings.window.season)
        found = self._compared(series, forecasts, others, actual, scale)
        found["policy"] = "trained anew at every origin" if refit else "trained once, on what precedes the first"
        if chose:
            found["policy"] = "on the validation part, which chose the weights: expect more error on what comes"
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
            draw_forecasts(result.series, result.forecasts, path, f"{self._name}: forecasts at rolling origins")
            said += f"\npicture   {path}"
        return said

    def predictions(self, sources: list[str], top: int) -> Iterator[tuple[dict[str, Any], str]]:
        """What follows the series of each file, or without files that of training; drawn to forecast.png in the run."""
        files: list[str | None] = [*sources] or [None]
        for source in files:
            forecast = self.predict(source)
            series = self.series_ if source is None else self._reread(source)[0]
            name = "forecast" if source is None else f"forecast-{Path(source).stem}"
            path = self.run.path / f"{name}.png"
            draw_forecasts(series, [forecast], path, f"{self._name}: the next {len(forecast)} steps")
            records = forecast.records()
            lines = as_table(records)
            for number, (record, line) in enumerate(zip(records, lines[1:], strict=True)):
                line = f"{lines[0]}\n{line}" if number == 0 else line
                yield record, f"{line}\npicture   {path}" if number == len(records) - 1 else line

    def _windows(self, net: ForecastNet, end: int, first: int) -> SeriesWindows:
        """The windows of the first ``end`` rows whose forecasts begin at row ``first`` or later."""
        series = self.series_[:end]
        targets = self._scaled(self._logged(series.values))[:, : series.targets]
        values = self._scaled(self._numbers(series)) if end else series.values
        dtype = getattr(torch, self.settings_.machine.dtype)
        return SeriesWindows(values, targets, series.known, net.history_needed, net.steps, first, dtype)

    def _stretch(self) -> Tensor:
        """The factors (Q,) with which the quantiles hold their shares of the validation part, all steps together."""
        levels, (end, seen) = self.settings_.window.levels, self.parts_
        middle = levels.index(MEDIAN)
        ratios = []
        with judging(self.net) as device:
            for part in self._windows(self.net, seen, end).batches(EVALUATION_ROWS):
                history, future, target = (each.to(device) for each in part)
                quantiles, frame = self.net(history, future)
                there = ~target.isnan()
                error = frame.relative(target.unsqueeze(-1))[there] - quantiles[there][:, middle, None]
                spread = quantiles[there] - quantiles[there][:, middle, None]
                ratios.append(error / torch.where(spread.abs() < 1e-6, spread.sign() * 1e-6, spread))
        whole = torch.cat(ratios).double()
        factors = [
            whole[:, k].quantile(max(level, 1 - level)).clamp_min(0.0) if k != middle else torch.tensor(1.0)
            for k, level in enumerate(levels)
        ]
        return torch.stack([each.to("cpu", torch.float64) for each in factors])

    # What is read, and how it becomes numbers

    def _read(self, data: Table) -> tuple[Series, np.ndarray | None]:
        """The series of ``data``, and the covariates of rows at its end that hold nothing else, where there are any."""
        asked = self.settings_.series
        source = asked.data if data is None else data
        if source is None:
            raise UserError("no series was given; give it to fit, or name a file with the option data")
        series = as_series(
            source, asked.target, past=asked.past, known=asked.known, dates=asked.dates, where=asked.where
        )
        ahead = None
        if series.known:
            told = ~np.isnan(series.target_values).all(1)
            rows = int(np.flatnonzero(told)[-1]) + 1 if told.any() else 0
            series, ahead = series[:rows], series.known_values[rows:]
        if self.settings_.window.log:
            bad = np.argwhere(series.target_values <= 0)
            if len(bad):
                row, column = map(int, bad[0])
                raise UserError(
                    f"{series.place(row)}, column {series.columns[column]!r}: {series.values[row, column]:g} has no "
                    "logarithm; leave log out, or add a constant"
                )
        return series, ahead

    def _reread(self, data: Table) -> tuple[Series, np.ndarray | None]:
        """A series for the model there is: refused where its columns are not those of training."""
        series, ahead = self._read(data)
        if len(series.columns) != len(self.series_.columns):
            raise UserError(
                f"the model was trained on the columns {', '.join(self.series_.columns)}; "
                f"got {', '.join(series.columns)}"
            )
        return series, ahead

    def _complete(self, series: Series) -> np.ndarray:
        """All values (T, C), gaps filled from these rows alone where the option says so."""
        if self.settings_.series.missing == "error":
            require_complete(series, "give missing='interpolate' to fill gaps, or mend the data")
        return filled(series.values)

    def _logged(self, values: np.ndarray) -> np.ndarray:
        if not self.settings_.window.log:
            return values
        targets = self.series_.targets
        return np.concatenate([np.log(values[:, :targets]), values[:, targets:]], axis=1)

    def _numbers(self, series: Series) -> np.ndarray:
        return self._logged(self._complete(series))

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return self.scaling_(values)

    def _known_scaled(self, known: np.ndarray, rows: int) -> np.ndarray:
        """The covariates known ahead, scaled; ``rows`` empty rows where there are none."""
        if not known.shape[1]:
            return np.empty((rows, 0))
        mean, deviation = (np.array(each)[-known.shape[1] :] for each in (self.scaling_.mean, self.scaling_.deviation))
        return np.asarray((known - mean) / deviation)

    def _seen_of(self, series: Series) -> int:
        """How many rows of ``series`` fit has seen: up to the end of the rows it saw, where that is in there."""
        seen, rows = self.series_.target_values[: self.parts_[1]], self.net.history_needed
        place = _found(seen[-rows:], series.target_values)
        if place is None and _found(series.target_values[-rows:], seen) is not None:
            raise UserError("the end of this series is among the values the model was trained on; give what came after")
        return 0 if place is None else place

    # What is forecast

    def _forecasts(self, series: Series, places: Sequence[int], steps: int, ahead: np.ndarray | None) -> list[Forecast]:
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
        known = series.known_values if ahead is None else np.concatenate([series.known_values, ahead])
        known = self._known_scaled(filled(known), len(series) + blocks * net.steps)
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
            Forecast(values[:, k], levels, columns, self._dates(series, place, steps), place)
            for k, place in enumerate(places)
        ]

    def _dates(self, series: Series, place: int, steps: int) -> tuple[str, ...]:
        own = series.dates or ()
        there = own[place : place + steps]
        return there if len(there) == steps else tuple(dates_after(own[:place] or None, steps))

    def _refitted(self, before: Series, steps: int, series: Series, place: int) -> Forecast:
        """A forecast of a new model of the same options, trained on the rows before the place."""
        model = type(self)(**{**self.get_params(), "test": 0}).fit(before)
        return model._forecasts(series[: place + max(steps, model.net.steps)], [place], steps, None)[0]

    def _baselines(
        self, series: Series, training: np.ndarray, places: Sequence[int], steps: int, refit: bool
    ) -> dict[str, np.ndarray]:
        """The other methods' forecasts (places, steps, D); the autoregression is one of logarithms where the net is."""
        season, targets = self.settings_.window.season, series.targets
        lags = max(1, min(self.settings_.window.rows, (len(training) - steps) // 3))
        line = Autoregression.fitted(self._logged(training)[:, :targets], lags, steps)
        found: dict[str, list[np.ndarray]] = {"naive": [], "seasonal naive": [], "autoregression": []}
        for place in places:
            history = self._complete(series[:place])
            found["naive"].append(naive(history[:, :targets], steps))
            found["seasonal naive"].append(seasonal_naive(history[:, :targets], steps, season))
            logged = self._logged(history)[:, :targets]
            fitted = Autoregression.fitted(logged, lags, steps) if refit else line
            found["autoregression"].append(fitted(logged))
        if self.settings_.window.log:
            found["autoregression"] = [np.exp(each) for each in found["autoregression"]]
        if season == 1:
            del found["seasonal naive"]
        return {name: np.stack(each) for name, each in found.items()}

    def _compared(
        self,
        series: Series,
        forecasts: list[Forecast],
        others: dict[str, np.ndarray],
        actual: np.ndarray,
        scale: np.ndarray,
    ) -> Comparison:
        values = np.stack([each.quantiles for each in forecasts])  # (places, H, D, Q)
        levels = forecasts[0].levels
        everyone = {self._name: values[..., forecasts[0].middle], **others}
        methods = {
            name: {
                "mae": metrics.mae(actual, each),
                "rmse": metrics.rmse(actual, each),
                "smape": metrics.smape(actual, each),
                "mase": metrics.mase(actual, each, scale),
            }
            for name, each in everyone.items()
        }
        found = Comparison(methods[self._name])
        found |= {
            "pinball": metrics.mean_pinball(actual, values, np.array(levels)),
            "interval": round(levels[-1] - levels[0], 10),
            "coverage": metrics.coverage(actual, values[..., 0], values[..., -1]),
            "width": float((values[..., -1] - values[..., 0]).mean()),
            "methods": methods,
            "origins": len(forecasts),
            "horizon": actual.shape[1],
            "season": self.settings_.window.season,
            "first_origin": forecasts[0].dates[0] if series.dates else str(forecasts[0].origin),
            "last_origin": forecasts[-1].dates[0] if series.dates else str(forecasts[-1].origin),
        }
        found.forecasts, found.series = forecasts, series
        return found

    @property
    def _name(self) -> str:
        return "+".join(cell.rpartition(":")[2] for cell in self.settings_.net.cells)

    # What the run folder holds beside the weights

    def _learned(self) -> dict[str, Any]:
        scaling = {"mean": list(self.scaling_.mean), "deviation": list(self.scaling_.deviation)}
        return {"series": series_to_plain(self.series_), "parts": list(self.parts_), "scaling": scaling}

    def _relearn(self, learned: dict[str, Any]) -> None:
        self.series_, self.parts_ = series_from_plain(learned["series"]), tuple(learned["parts"])
        self.scaling_ = Scaling(tuple(learned["scaling"]["mean"]), tuple(learned["scaling"]["deviation"]))

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


def _found(part: np.ndarray, whole: np.ndarray) -> int | None:
    """Where the last occurrence of the rows ``part`` (n, D) in ``whole`` (T, D) ends, missing values alike; or None.

    >>> _found(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0], [1.0], [2.0], [3.0]]))
    4
    """
    if len(whole) < len(part):
        return None
    windows = np.lib.stride_tricks.sliding_window_view(whole, len(part), axis=0)  # (T - n + 1, D, n)
    same = ((windows == part.T) | (np.isnan(windows) & np.isnan(part.T))).all((1, 2))
    return int(np.flatnonzero(same)[-1]) + len(part) if same.any() else None


def _origins(first: int, last: int, count: int | None, stride: int | None) -> list[int]:
    """Rows to forecast from, between first and last, both included."""
    if last < first:
        return []
    if stride is not None:
        places = list(range(last, first - 1, -stride))[:count]
        return places[::-1]
    if count is None or count > last - first:
        return list(range(first, last + 1))
    return np.linspace(first, last, count).round().astype(int).tolist()
