from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman import UserError
from elman.tasks.forecast.baselines import Autoregression, naive, seasonal_naive
from elman.tasks.forecast.metrics import coverage, mae, mase, mase_scale, mean_pinball, rmse, smape


def test_a_season_must_be_there() -> None:
    with pytest.raises(UserError, match="3 values are no season of 4"):
        seasonal_naive(np.arange(3.0)[:, None], 2, 4)


def test_naive_forecasts() -> None:
    history = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert naive(history, 2).tolist() == [[3, 30], [3, 30]]
    assert seasonal_naive(history, 5, 2)[:, 0].tolist() == [2, 3, 2, 3, 2]
    np.testing.assert_array_equal(seasonal_naive(history, 3, 1), naive(history, 3))


@pytest.mark.parametrize(("lags", "horizon", "ridge"), [(1, 1, 1e-2), (4, 3, 1e-2), (6, 2, 10.0)])
def test_the_autoregression_is_the_normal_equations_solution(lags: int, horizon: int, ridge: float) -> None:
    series = np.random.default_rng(0).standard_normal((90, 2)).cumsum(0) + np.array([100, -5])
    line = Autoregression.fitted(series, lags, horizon, ridge)
    scaled = (series - series.mean(0)) / series.std(0)
    ahead = np.empty((horizon, 2))
    for target in range(2):
        y = scaled[:, target]
        X = np.array([[*y[t - lags : t], 1.0] for t in range(lags, len(y) - horizon + 1)])
        Y = np.array([y[t : t + horizon] for t in range(lags, len(y) - horizon + 1)])
        penalty = ridge * np.diag([*[1.0] * lags, 0.0])
        weights = np.linalg.inv(X.T @ X + penalty) @ X.T @ Y
        np.testing.assert_allclose(line.weights[..., target], weights, atol=1e-9)
        ahead[:, target] = np.append(y[-lags:], 1.0) @ weights * series[:, target].std() + series[:, target].mean()
    np.testing.assert_allclose(line(series), ahead, atol=1e-9)


def test_a_flat_series_is_forecast_flat() -> None:
    np.testing.assert_allclose(Autoregression.fitted(np.full((30, 1), 7.0), 3, 2)(np.full((9, 1), 7.0)), 7.0)


def test_metrics_by_hand() -> None:
    actual, forecast = np.array([[2.0], [4.0], [np.nan], [0.0]]), np.array([[1.0], [6.0], [9.0], [0.0]])
    assert mae(actual, forecast) == 1.0
    assert rmse(actual, forecast) == pytest.approx(np.sqrt(5 / 3))
    # 200 (1/3 + 2/10 + 0) / 3
    assert smape(actual, forecast) == pytest.approx(200 * (1 / 3 + 0.2) / 3)
    # Seasonal differences of the training part: |4 - 1|, |2 - 3|, |8 - 4|; their mean is 8/3.
    scale = mase_scale(np.array([[1.0], [3.0], [4.0], [2.0], [8.0]]), 2)
    assert scale.tolist() == pytest.approx([8 / 3])
    assert mase(actual, forecast, scale) == pytest.approx(3 / 8)
    assert coverage(actual, forecast - 1, forecast) == pytest.approx(1 / 3)
    levels = np.array([0.1, 0.5])
    quantiles = np.array([[0.0, 1.0]])
    # y = 2: 0.1 (2 - 0) and 0.5 (2 - 1).
    assert mean_pinball(np.array([2.0]), quantiles, levels) == pytest.approx((0.2 + 0.5) / 2)


def test_missing_training_values_leave_the_scale_alone() -> None:
    assert mase_scale(np.array([[1.0], [np.nan], [4.0], [6.0]]), 1).tolist() == [2.0]
    assert mase(np.array([[1.0]]), np.array([[1.0]]), np.array([0.0])) == 0.0
    assert mase(np.array([[1.0]]), np.array([[2.0]]), np.array([0.0])) == np.inf


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20), st.integers(1, 2))
def test_the_seasonal_naive_has_mase_one_in_its_own_training_part(values: list[float], season: int) -> None:
    series = np.array(values)[:, None]
    scale = mase_scale(series, season)
    found = mase(series[season:], series[:-season], scale)
    assert found == pytest.approx(1.0) or (scale == 0 and found == 0)
