from __future__ import annotations

import numpy as np
import pytest

from elman import UserError
from elman.data.series import as_series
from elman.tasks.forecast.baselines import Autoregression
from elman.tasks.forecast.rolling import lags_of, origins_between, seen_rows, simple_forecasts
from elman.tasks.forecast.settings import WindowSettings


def test_origins_are_spread_or_a_stride_apart() -> None:
    assert origins_between(5, 9, None, None) == [5, 6, 7, 8, 9]
    assert origins_between(5, 9, 9, None) == [5, 6, 7, 8, 9]
    assert origins_between(5, 25, 3, None) == [5, 15, 25]
    assert origins_between(5, 12, None, 3) == [6, 9, 12]
    assert origins_between(5, 12, 2, 3) == [9, 12]
    assert origins_between(5, 4, None, None) == []


def test_what_was_seen_is_found_again() -> None:
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, np.nan, 9.0])
    seen = as_series(values[:6])
    assert seen_rows(seen, as_series(values), 3) == 6
    assert seen_rows(seen, as_series(values[2:]), 3) == 4
    assert seen_rows(seen, as_series([2.0, 7.0, 1.0]), 3) == 0
    with pytest.raises(UserError, match="among the values the model was trained on"):
        seen_rows(seen, as_series(values[:5]), 3)


def test_the_autoregression_reads_what_it_can_learn_to() -> None:
    window = WindowSettings(context=10, season=4)
    assert [lags_of(window, rows, 6) for rows in (100, 36, 20, 7)] == [10, 10, 4, 1]
    for rows, steps in ((6, 6), (4, 1)):
        with pytest.raises(UserError, match=rf"{steps} steps ahead \(season 4\) .* takes {rows + 1} .* are {rows};"):
            lags_of(window, rows, steps)


@pytest.mark.parametrize("log", [False, True])
def test_simple_forecasts_by_hand(log: bool) -> None:
    values = np.exp(np.random.default_rng(0).standard_normal((60, 2)))
    window = WindowSettings(horizon=3, season=2, context=5, log=log)
    histories = [values[:45], values[:52]]
    there, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    for refit in (False, True):
        found = simple_forecasts(values[:40], histories, 3, 5, window, refit)
        assert list(found) == ["naive", "seasonal naive", "autoregression"]
        np.testing.assert_array_equal(found["naive"][:, 2], values[[44, 51]])
        np.testing.assert_array_equal(found["seasonal naive"][1], values[[50, 51, 50]])
        for ahead, history in zip(found["autoregression"], histories, strict=True):
            line = Autoregression.fitted(there(history if refit else values[:40]), 5, 3)
            np.testing.assert_allclose(ahead, back(line(there(history))))
    assert "seasonal naive" not in simple_forecasts(values, histories, 3, 5, WindowSettings(horizon=3), False)
