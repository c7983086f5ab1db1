"""Rolling-origin evaluation: where forecasts begin, what the simple methods say there, and how far all are off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...data.series import Series
from ...errors import UserError
from . import metrics
from .baselines import Autoregression, naive, seasonal_naive
from .result import Comparison, Forecast
from .settings import WindowSettings


def origins_between(first: int, last: int, count: int | None, stride: int | None) -> list[int]:
    """Rows to forecast from, between first and last, both included: spread evenly, or ``stride`` apart from the end.

    >>> origins_between(10, 20, 3, None), origins_between(10, 20, 2, 4)
    ([10, 15, 20], [16, 20])
    """
    if last < first:
        return []
    if stride is not None:
        return list(range(last, first - 1, -stride))[:count][::-1]
    if count is None or count > last - first:
        return list(range(first, last + 1))
    return np.linspace(first, last, count).round().astype(int).tolist()


def seen_rows(seen: Series, series: Series, rows: int) -> int:
    """How many rows of a series fit has seen: up to where the last ``rows`` of what it saw end in there, else none.

    Raises ``UserError`` where the series ends within what fit saw.
    """
    place = _end_within(seen.target_values[-rows:], series.target_values)
    if place is None and _end_within(series.target_values[-rows:], seen.target_values) is not None:
        raise UserError("the end of this series is among the values the model was trained on; give what came after")
    return 0 if place is None else place


def _end_within(part: np.ndarray, whole: np.ndarray) -> int | None:
    """Where the last occurrence of the rows ``part`` (n, D) in ``whole`` (T, D) ends, missing values alike; or None.

    >>> _end_within(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0], [1.0], [2.0], [3.0]]))
    4
    """
    if len(whole) < len(part):
        return None
    windows = np.lib.stride_tricks.sliding_window_view(whole, len(part), axis=0)  # (T - n + 1, D, n)
    same = ((windows == part.T) | (np.isnan(windows) & np.isnan(part.T))).all((1, 2))
    return int(np.flatnonzero(same)[-1]) + len(part) if same.any() else None


def lags_of(window: WindowSettings, rows: int, steps: int) -> int:
    """How many values the autoregression reads: as many as the net, but fewer where it has few windows to learn from.

    Raises ``UserError`` where the ``rows`` it learns from hold no window of ``steps``, or no season to scale MASE by.
    """
    needed = max(steps, window.season) + 1
    if rows < needed:
        raise UserError(
            f"to compare {steps} steps ahead (season {window.season}) with simple methods takes {needed} values to "
            f"learn from, there are {rows}; give a smaller horizon or season, or keep fewer values back (test, valid)"
        )
    return max(1, min(window.rows, (rows - steps) // 3))


def simple_forecasts(
    training: np.ndarray, histories: Iterable[np.ndarray], steps: int, lags: int, window: WindowSettings, refit: bool
) -> dict[str, np.ndarray]:
    """The forecasts (places, steps, D) of the simple methods after each history (t, D), all without gaps.

    The autoregression on ``lags`` values is fitted to ``training`` (T, D), with ``refit`` to each history; it is one of
    logarithms where the net is.
    """

    def logged(values: np.ndarray) -> np.ndarray:
        return np.log(values) if window.log else values

    line = Autoregression.fitted(logged(training), lags, steps)
    found: dict[str, list[np.ndarray]] = {"naive": [], "seasonal naive": [], "autoregression": []}
    for history in histories:
        found["naive"].append(naive(history, steps))
        found["seasonal naive"].append(seasonal_naive(history, steps, window.season))
        fitted = Autoregression.fitted(logged(history), lags, steps) if refit else line
        ahead = fitted(logged(history))
        found["autoregression"].append(np.exp(ahead) if window.log else ahead)
    if window.season == 1:
        del found["seasonal naive"]
    return {name: np.stack(each) for name, each in found.items()}


def compared(
    name: str,
    series: Series,
    forecasts: Sequence[Forecast],
    others: dict[str, np.ndarray],
    training: np.ndarray,
    season: int,
) -> Comparison:
    """The model, called ``name``, beside the other methods; MASE is scaled by ``training`` (T, D).

    Raises ``UserError`` where all values to judge by are missing.
    """
    steps, levels = len(forecasts[0]), forecasts[0].levels
    actual = np.stack([series.target_values[each.origin : each.origin + steps] for each in forecasts])
    if np.isnan(actual).all():
        raise UserError("the values to judge the forecasts by are all missing; give a fuller series, or more origins")
    # (places, H, D, Q)
    values = metrics.rounded(np.stack([each.quantiles for each in forecasts]), actual[..., None])
    scale = metrics.mase_scale(training, season)
    everyone = {name: values[..., forecasts[0].middle], **others}
    methods = {method: _scores(actual, metrics.rounded(each, actual), scale) for method, each in everyone.items()}
    found = Comparison(methods[name])
    found |= {
        "pinball": metrics.mean_pinball(actual, values, np.array(levels)),
        "interval": round(levels[-1] - levels[0], 10),
        "coverage": metrics.coverage(actual, values[..., 0], values[..., -1]),
        "width": float((values[..., -1] - values[..., 0]).mean()),
        "methods": methods,
        "origins": len(forecasts),
        "horizon": steps,
        "season": season,
        "first_origin": _called(forecasts[0], series),
        "last_origin": _called(forecasts[-1], series),
    }
    found.forecasts, found.series = list(forecasts), series
    return found


def _scores(actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    return {
        "mae": metrics.mae(actual, forecast),
        "rmse": metrics.rmse(actual, forecast),
        "smape": metrics.smape(actual, forecast),
        "mase": metrics.mase(actual, forecast, scale),
    }


def _called(forecast: Forecast, series: Series) -> str:
    return forecast.dates[0] if series.dates else str(forecast.origin)
