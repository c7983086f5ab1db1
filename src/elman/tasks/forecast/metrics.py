"""How far forecasts are from what came; missing values are left out."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12  # of a value: what is nearer to it is the same


def rounded(forecast: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Forecasts, but the actual values themselves where they differ by rounding alone.

    >>> rounded(np.array([0.1 + 0.2, 1.0]), np.array([0.3, np.nan])).tolist()
    [0.3, 1.0]
    """
    return np.where(np.abs(forecast - actual) <= ROUNDING * np.abs(actual), actual, forecast)


def mae(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean absolute error, in the unit of the series.

    >>> mae(np.array([1.0, 2.0, np.nan]), np.array([2.0, 2.0, 5.0]))
    0.5
    """
    return float(np.nanmean(np.abs(actual - forecast)))


def rmse(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Root of the mean squared error, in the unit of the series.

    >>> rmse(np.array([0.0, 0.0]), np.array([3.0, 4.0])) == 12.5**0.5
    True
    """
    return float(np.sqrt(np.nanmean((actual - forecast) ** 2)))


def smape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean of 200 |y - f| / (|y| + |f|) in percent, 0 where both are 0 (Makridakis 1993): from 0 to 200.

    >>> smape(np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    50.0
    """
    size = np.abs(actual) + np.abs(forecast)
    return float(np.nanmean(200 * np.abs(actual - forecast) / np.where(size == 0, 1.0, size)))


def mase_scale(training: np.ndarray, season: int) -> np.ndarray:
    """The mean |y_t - y_{t-season}| of the training part (T, D), each target's own, (D,).

    0 where it is no more than the rounding of such values, or where no two values are a season apart.

    >>> mase_scale(np.array([[1.0], [5.0], [2.0], [9.0]]), season=2)
    array([2.5])
    """
    change = np.abs(training[season:] - training[:-season])
    scale = np.nansum(change, axis=0) / np.maximum((~np.isnan(change)).sum(0), 1)
    return np.where(scale <= ROUNDING * np.nanmax(np.abs(training), axis=0, initial=0.0), 0.0, scale)


def mase(actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray) -> float:
    """Mean absolute scaled error (Hyndman and Koehler 2006): |y - f| of (..., D) over the ``mase_scale`` of its target.

    Below 1 the forecast errs less than the seasonal naive one does, one step ahead, in the training part. A target that
    repeats itself exactly there has no scale; it counts as infinite where it errs now, else as 0.

    >>> mase(np.array([[3.0]]), np.array([[2.0]]), np.array([2.5]))
    0.4
    """
    error = np.abs(actual - forecast)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(error == 0, 0.0, error / scale)
    return float(np.nanmean(scaled))


def coverage(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """The share of values from ``low`` to ``high``, both included.

    >>> coverage(np.array([1.0, 2.0, np.nan]), np.array([0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0]))
    0.5
    """
    there = ~np.isnan(actual)
    return float(((low <= actual) & (actual <= high))[there].mean())


def mean_pinball(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> float:
    """Mean pinball loss of quantiles (..., Q) at ``levels`` (Q,), in the unit of the series (Koenker and Bassett 1978).

    >>> mean_pinball(np.array([3.0]), np.array([[1.0, 2.0]]), np.array([0.1, 0.5]))
    0.35
    """
    error = actual[..., None] - quantiles
    return float(np.nanmean(np.maximum(levels * error, (levels - 1) * error)))
