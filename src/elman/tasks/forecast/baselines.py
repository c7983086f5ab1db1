"""What every forecast is printed beside: the last value, the last season, and a linear autoregression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import UserError


def naive(history: np.ndarray, horizon: int) -> np.ndarray:
    """The last value (T, D) again and again: (horizon, D).

    >>> naive(np.array([[1.0], [3.0]]), 2).ravel()
    array([3., 3.])
    """
    return np.repeat(history[-1:], horizon, axis=0)


def seasonal_naive(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The last ``season`` values (T, D) again and again: (horizon, D); raises ``UserError`` where there are fewer.

    >>> seasonal_naive(np.array([[9.0], [1.0], [2.0]]), 3, season=2).ravel()
    array([1., 2., 1.])
    """
    if len(history) < season:
        raise UserError(f"{len(history)} values are no season of {season}; give a longer history")
    rows = len(history) - season + np.arange(horizon) % season
    return np.asarray(history[rows])


@dataclass(frozen=True)
class Autoregression:
    """A linear autoregression of each of D targets on its own last p values: ``weights`` (p + 1, H, D), constant last.

    Every step ahead has weights of its own (a direct forecast). They are the ridge solution on standardised values,

        min_w  sum_t |y_{t+1..t+H} - [y_{t-p+1..t}, 1] w|^2 + ridge |w|^2,

    the constant not penalised, by NumPy's least squares in float64.

    >>> t = np.arange(200.0)
    >>> wave = np.sin(t / 3)[:, None]
    >>> line = Autoregression.fitted(wave[:150], lags=4, horizon=10)
    >>> bool(np.abs(line(wave[:150]) - wave[150:160]).max() < 0.02)
    True
    """

    weights: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fitted(cls, training: np.ndarray, lags: int, horizon: int, ridge: float = 1e-2) -> Autoregression:
        """Fitted to a training part (T, D) without gaps, of at least lags + horizon values."""
        mean, deviation = training.mean(0), training.std(0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        scaled = (training - mean) / deviation
        windows = np.lib.stride_tricks.sliding_window_view(scaled, lags + horizon, axis=0)  # (n, D, lags + horizon)
        penalty = np.sqrt(ridge) * np.eye(lags, lags + 1)
        weights = np.empty((lags + 1, horizon, training.shape[1]))
        for target in range(training.shape[1]):
            past, ahead = windows[:, target, :lags], windows[:, target, lags:]
            left = np.concatenate([np.column_stack([past, np.ones(len(past))]), penalty])
            right = np.concatenate([ahead, np.zeros((lags, horizon))])
            weights[:, :, target] = np.linalg.lstsq(left, right, rcond=None)[0]
        return cls(weights, mean, deviation)

    def __call__(self, history: np.ndarray) -> np.ndarray:
        """The forecast (H, D) after a history (T, D) of at least p values."""
        lags = self.weights.shape[0] - 1
        scaled = (history[-lags:] - self.mean) / self.deviation
        ahead = np.einsum("pd,phd->hd", scaled, self.weights[:-1]) + self.weights[-1]
        return np.asarray(ahead * self.deviation + self.mean)
