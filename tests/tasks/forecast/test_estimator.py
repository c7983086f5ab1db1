from __future__ import annotations

import io
import json
import runpy
import sys
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console

from elman import Forecaster, UserError
from elman.cli import main
from elman.data.series import series_like
from elman.tasks.forecast import estimator
from elman.tasks.forecast.paths import _at, _drawn
from elman.tasks.recipes import read_recipe, recipes

pytestmark = pytest.mark.usefixtures("eager")

SMALL = {"cell": "rnn", "hidden_size": 8, "horizon": 6, "season": 12, "context": 12, "steps": 60, "threads": 1}


def wave(length: int = 300, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    t = np.arange(length)
    return 20 + 3 * np.sin(t * np.pi / 6) + noise * np.random.default_rng(seed).standard_normal(length)


def small(**options: Any) -> Forecaster:
    return Forecaster(**{**SMALL, **options})


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return small(steps=200).fit(wave())


# Quality


def test_it_beats_the_naive_forecasts_by_a_margin(fitted: Forecaster) -> None:
    found = fitted.evaluate(origins=None)
    scores = {name: each["mae"] for name, each in found["methods"].items()}
    assert list(scores) == ["rnn", "naive", "seasonal naive", "autoregression"]
    assert scores["rnn"] < 0.2 * scores["naive"]
    assert scores["rnn"] < 0.85 * scores["seasonal naive"]
    assert scores["rnn"] < 1.15 * scores["autoregression"]
    # The least that can be: the mean absolute value of the noise.
    assert scores["rnn"] < 1.25 * 0.3 * np.sqrt(2 / np.pi)
    assert found["origins"] == 55
    assert found["mase"] < 1 and found["mae"] == scores["rnn"]


def test_intervals_hold_their_share_of_a_known_process() -> None:
    quantiles = (0.1, 0.25, 0.75, 0.9)
    model = small(horizon=2, quantiles=quantiles, steps=200, season=1, test=600, subtract="nothing")
    draw = np.random.default_rng(1)
    values = np.zeros(1600)
    for t in range(1, 1600):
        values[t] = 0.8 * values[t - 1] + draw.standard_normal()
    found = model.fit(values).evaluate(origins=None)
    assert found["interval"] == pytest.approx(0.8)
    assert abs(found["coverage"] - 0.8) < 0.06
    # One step ahead the interval from 0.1 to 0.9 of the noise is 2.563 wide.
    one = np.array([each.quantiles[0, 0] for each in found.forecasts])
    assert abs((one[:, -1] - one[:, 0]).mean() / 2.563 - 1) < 0.15
    assert bool((np.diff(one, axis=1) >= 0).all())
    # The recursive forecast knows the spread too: after many steps that of the process itself.
    far = model.predict(horizon=20).quantiles[-1, 0]
    assert far[-1] - far[0] == pytest.approx(2.563 / 0.6, rel=0.25)


def test_covariates_known_ahead_are_used() -> None:
    draw = np.random.default_rng(0)
    holiday = (draw.random(400) < 0.3).astype(float)
    values = 5 + 4 * holiday + 0.2 * draw.standard_normal(400)
    table = {"sold": values, "holiday": holiday}
    options = {"target": "sold", "season": 1, "subtract": "nothing", "horizon": 3, "steps": 300}
    model = small(known=("holiday",), learning_rate=0.01, **options).fit(table)
    assert model.evaluate(origins=None)["mae"] < 0.35
    assert model.evaluate(origins=None)["methods"]["autoregression"]["mae"] > 1
    forecast = model.predict(future=[[1], [0], [1]]).median
    assert np.abs(forecast - [9, 5, 9]).max() < 1
    # The same from rows at the end that hold the covariate alone.
    longer = {"sold": [*values, *[None] * 3], "holiday": [*holiday, 1, 0, 1]}
    np.testing.assert_allclose(model.predict(longer).median, forecast)
    with pytest.raises(UserError, match=r"need 3 rows of .* ahead \(holiday\); got 1; add rows to the end of the file"):
        model.predict(future=[[1]])


def test_several_targets_past_covariates_and_blocks() -> None:
    t = np.arange(240)
    table = {
        "day": [f"d{k}" for k in t],
        "a": wave(240),
        "b": 50 - 2 * wave(240, seed=1),
        "wind": np.cos(t * np.pi / 6),
    }
    model = small(target=("a", "b"), past=("wind",)).fit(table)
    forecast = model.predict()
    assert forecast.median.shape == (6, 2) and np.asarray(forecast).shape == (6, 2)
    assert forecast.columns == ("a", "b") and forecast.dates == tuple(f"+{k}" for k in range(1, 7))
    assert [record["target"] for record in forecast.records()[:3]] == ["a", "b", "a"]
    assert model.evaluate()["mase"] < 1.3
    with pytest.raises(UserError, match="need the future of the covariates in past"):
        model.predict(horizon=7)
    with pytest.raises(UserError, match=r"trained on the columns a, b, wind; got value"):
        model.set_params(target=None, past=())
        model.settings_ = model.settings()
        model.predict(wave())


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_without_spread_an_interval_is_a_point(slope: float) -> None:
    # A step so small that the quantiles stay where the linear part starts them, all on the median.
    model = small(steps=1, learning_rate=1e-9, horizon=3).fit(7 + slope * np.arange(120))
    expected = 7 + slope * np.repeat([[120], [121], [122]], 3, axis=1)
    np.testing.assert_allclose(model.predict().quantiles[:, 0], expected, atol=1e-3)


def test_the_picture_says_how_many_forecasts_it_shows(
    fitted: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **how: drawn.append(self) or save(self, *a, **how))
    found = fitted.evaluate(origins=10)
    assert all(b.origin - a.origin >= 6 for a, b in pairwise(found.forecasts))
    assert "(" not in fitted.show(found, tmp_path).splitlines()[-1]
    found = fitted.evaluate(stride=3, origins=8)
    assert fitted.show(found, tmp_path).endswith("forecasts.png (4 of the 8 forecasts, so that none overlap)")
    titles = [figure.axes[0].get_title("left") for figure in drawn]
    assert titles == ["rnn: forecasts at rolling origins", "rnn: forecasts at rolling origins (4 of 8)"]
    for figure in drawn:
        labels = [label.get_window_extent() for label in figure.axes[-1].get_xticklabels()]
        frame = figure.axes[-1].get_window_extent()
        assert labels[0].x0 >= frame.x0 and labels[-1].x1 <= frame.x1 + 1
        low, high = figure.axes[0].get_ylim()
        top = max(np.nanmax(line.get_ydata()) for line in figure.axes[0].lines[:2])
        assert (top - low) / (high - low) > 0.85


def test_columns_are_told_by_their_names() -> None:
    a, b = wave(), 50 - 2 * wave(seed=1)
    model = small(steps=20).fit({"a": a, "b": b})
    forecast = model.predict({"b": b, "a": a})
    assert forecast.columns == ("a", "b")
    np.testing.assert_array_equal(forecast.quantiles, model.predict().quantiles)
    np.testing.assert_array_equal(model.predict(np.stack([a, b], 1)).quantiles, forecast.quantiles)
    assert model.evaluate({"b": b, "a": a}) == model.evaluate()
    with pytest.raises(UserError, match="trained on the columns a, b; got a, c"):
        model.predict({"a": a, "c": b})


# Nothing of the future leaks


@pytest.mark.parametrize("missing", [False, True])
def test_the_future_does_not_change_a_forecast(missing: bool) -> None:
    before = wave()
    if missing:
        before[[50, 51, 239, 245, 246]] = np.nan
    after = before.copy()
    after[247:] = 1e3 * np.random.default_rng(2).standard_normal(53)
    options = {"missing": "interpolate", "test": 60, "log": False, "steps": 20}
    models = [small(**options).fit(values) for values in (before, after)]
    for one, other in zip(models[0].net.parameters(), models[1].net.parameters(), strict=True):
        assert torch.equal(one, other)
    assert models[0].scaling_ == models[1].scaling_
    rolled = [model.evaluate(origins=None).forecasts for model in models]
    for one, other in zip(*rolled, strict=True):
        if one.origin <= 247:
            np.testing.assert_array_equal(one.quantiles, other.quantiles)
    assert rolled[0][-1].quantiles.max() < 100 < np.abs(rolled[1][-1].quantiles).max()
    # A rolling forecast is what predict says of the series as it was then.
    then = models[0].predict(before[:247]).quantiles
    np.testing.assert_allclose(then, next(each for each in rolled[0] if each.origin == 247).quantiles, rtol=1e-6)


def test_scaling_is_learned_from_the_training_part(fitted: Forecaster) -> None:
    end, seen = fitted.parts_
    assert (end, seen) == (206, 240)
    assert fitted.scaling_.mean[0] == pytest.approx(wave()[:206].mean())
    assert fitted.scaling_.deviation[0] == pytest.approx(wave()[:206].std())


def test_origins_lie_after_what_was_seen(fitted: Forecaster) -> None:
    series = wave()
    assert [each.origin for each in fitted.evaluate(stride=6, origins=None).forecasts] == list(range(240, 295, 6))
    assert [each.origin for each in fitted.evaluate(stride=6, origins=2).forecasts] == [288, 294]
    # A part of the same series: found again, wherever it begins.
    assert [each.origin for each in fitted.evaluate(series[200:], origins=3).forecasts] == [40, 67, 94]
    with pytest.raises(UserError, match="among the values the model was trained on"):
        fitted.evaluate(series[:120])
    # Another series is judged from its first window on.
    assert fitted.evaluate(wave(seed=5), origins=2).forecasts[0].origin == 12
    with pytest.raises(UserError, match="no room to evaluate"):
        fitted.evaluate(series[:244])


@pytest.mark.parametrize("context", [5, 8])
def test_origins_come_after_a_whole_season(context: int) -> None:
    model = small(context=context, steps=5).fit(wave())
    series = wave(40, seed=5)
    found = model.evaluate(series, origins=None)
    assert [found.forecasts[0].origin, found.forecasts[-1].origin] == [12, 34]
    seasonal = np.array([series[place - 12 : place - 6] for place in range(12, 35)])
    ahead = np.array([series[place : place + 6] for place in range(12, 35)])
    assert found["methods"]["seasonal naive"]["mae"] == pytest.approx(np.abs(seasonal - ahead).mean())


def test_refitting_sees_all_that_precedes(monkeypatch: pytest.MonkeyPatch, fitted: Forecaster) -> None:
    lengths: list[int] = []
    fit = Forecaster.fit

    def noted(self: Forecaster, X: Any = None, y: Any = None, **how: Any) -> Forecaster:
        lengths.append(len(X))
        return fit(self.set_params(steps=3), X, y, **how)

    monkeypatch.setattr(Forecaster, "fit", noted)
    found = fitted.evaluate(origins=2, refit=True)
    assert lengths == [240, 294] and found["policy"] == "trained anew at every origin"


def test_without_a_test_part_it_says_so() -> None:
    model = small(test=0, steps=5).fit(wave(120))
    assert "on the validation part (no test part), which chose the weights" in model.evaluate(origins=3)["policy"]
    assert model.evaluate(origins=3).forecasts[0].origin == model.parts_[0]


def test_a_test_part_holds_a_horizon_or_nothing() -> None:
    settings = small().settings()
    # A fifth of 29 is 5, less than the horizon of 6.
    assert settings.parts(29) == (23, 29) and settings.parts(30) == (18, 24)
    longer = small(test=6, valid=20, steps=2).fit(wave(120)).evaluate(origins=1, horizon=7)
    assert "on the validation part (the 6 of the test part are fewer)" in longer["policy"]


# What goes in and comes out


def test_forecasts_keep_dates_and_table(fitted: Forecaster, tmp_path: Path) -> None:
    forecast = fitted.predict()
    assert len(forecast) == 6 and forecast.levels == (0.1, 0.5, 0.9)
    assert np.abs(forecast.median - wave(306, noise=0)[300:]).max() < 1
    assert bool((forecast.quantile(0.1) <= forecast.median).all())
    with pytest.raises(UserError, match=r"no quantile 0\.2"):
        forecast.quantile(0.2)
    forecast.save_csv(tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_text().splitlines()[0] == "date,target,0.1,0.5,0.9"
    assert len(fitted.predict(horizon=3)) == 3
    np.testing.assert_array_equal(fitted.predict(list(wave())).quantiles, forecast.quantiles)


def test_logarithms_keep_the_sign_and_refuse_others() -> None:
    t = np.arange(200)
    prices = np.exp(0.01 * t + 0.05 * np.random.default_rng(0).standard_normal(200))
    model = small(log=True, season=1, steps=30).fit(prices)
    assert model.predict().quantiles.min() > 0
    assert np.abs(np.log(model.predict().median) - 0.01 * np.arange(200, 206)).max() < 0.15
    with pytest.raises(UserError, match=r"position 7, column 'value': 0 has no logarithm"):
        small(log=True).fit([*prices[:7], 0.0, *prices[7:]])


def test_missing_values() -> None:
    values = wave()
    values[100] = np.nan
    with pytest.raises(UserError, match=r"position 100, column 'value': no value \(1 missing in all\); mend"):
        small().fit(values)
    values[270] = np.nan
    # All that the file lacks, not what the training part does.
    with pytest.raises(UserError, match=r"position 100, .* \(2 missing in all\); .* \(--missing interpolate\)"):
        small().fit(values)
    found = small(missing="interpolate", steps=5).fit(values).evaluate(origins=None)
    assert np.isfinite([found[name] for name in ("mae", "mase", "coverage", "pinball")]).all()


def test_a_column_without_any_value_is_refused_before_a_run_is_made(tmp_path: Path) -> None:
    table: dict[str, Any] = {"sold": wave(), "temp": np.full(300, np.nan), "wind": wave(seed=1)}
    options: dict[str, Any] = {"target": "sold", "missing": "interpolate", "steps": 2}
    with pytest.raises(
        UserError, match=r"column 'temp' holds no value in the training part \(206 rows\); leave it out"
    ):
        small(past=("temp",), **options).fit(table, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    model = small(past=("wind",), **options).fit(table)
    with pytest.raises(UserError, match="column 'wind' holds no value in the 50 rows to forecast from; fill it in"):
        model.predict({"sold": wave(50), "wind": [None] * 50})


def test_absent_dates_are_missing_values() -> None:
    days = [str(date(2020, 1, 1) + timedelta(days=k)) for k in range(300)]
    whole = wave()
    rows = [row for row in range(300) if row not in (100, 101, 270)]
    table = {"day": [days[row] for row in rows], "sold": whole[rows]}
    said = r"2020-04-10 is absent: position 99 \(2020-04-09\) is followed by position 100 \(2020-04-12\) "
    with pytest.raises(UserError, match=said + r"\(3 dates are in all\); add a row for it, or .* interpolate"):
        small().fit(table)
    whole[[100, 101, 270]] = np.nan
    models = [small(missing="interpolate", steps=5).fit(each) for each in (table, {"day": days, "sold": whole})]
    np.testing.assert_array_equal(models[0].series_.values, models[1].series_.values)
    assert models[0].series_.dates == models[1].series_.dates == tuple(days)
    assert models[0].evaluate() == models[1].evaluate()


def test_a_fit_says_what_it_filled_and_which_dates_it_cannot_read(tmp_path: Path) -> None:
    days = [f"{date(2020, 1, 1) + timedelta(days=k):%d-%b-%y}" for k in range(300)]

    def said(table: dict[str, Any]) -> list[str]:
        console = Console(file=io.StringIO(), width=200)
        small(missing="interpolate", steps=2).fit(table, console=console, quiet=False)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        return [" ".join(line.split()) for line in lines if line.startswith(("dates", "filled"))]

    sold = [None if k in (7, 8) else value for k, value in enumerate(wave())]
    assert said({"day": days, "sold": wave()}) == []
    assert said({"day": days, "sold": sold}) == ["filled 2 missing values"]
    assert said({"day": days[:99] + days[100:], "sold": sold[:-1]}) == [
        "filled 3 missing values (1 row added for absent dates)"
    ]
    days[4] = "05-Foo-20"
    assert said({"day": [None, *days[1:]], "sold": sold}) == [
        "dates not understood ('05-Foo-20'): order and gaps are not checked",
        "filled 2 missing values",
    ]
    # So does a forecast from a file.
    file = tmp_path / "x.csv"
    file.write_text("day,sold\n01-Mar-21,3\n" + "".join(f"{k:02}-Mar-21,{'' if k == 9 else k}\n" for k in range(3, 32)))
    model = small(missing="interpolate", steps=2).fit(wave(), run=tmp_path / "run")
    *_, (_, last) = model.predictions([str(file)], 1)
    assert "\nfilled    2 missing values (1 row added for absent dates)\npicture   " in last


def test_rows_of_known_covariates_bring_their_dates() -> None:
    days = [str(date(2020, 1, 6) + timedelta(days=k + 2 * (k // 5))) for k in range(304)]
    holiday = [float(k % 7 == 0) for k in range(304)]
    options: dict[str, Any] = {"target": "sold", "known": ("holiday",), "horizon": 2, "steps": 2}
    table = {"day": days, "sold": [*wave(), *[None] * 4], "holiday": holiday}
    model = small(**options).fit({name: column[:300] for name, column in table.items()})
    # After a Friday the next working day is a Monday, which the steps before cannot tell.
    assert days[299:301] == ["2021-02-26", "2021-03-01"]
    assert model.predict(table).dates == ("2021-03-01", "2021-03-02")
    assert model.predict(future={"day": days[300:302], "holiday": [0, 1]}).dates == ("2021-03-01", "2021-03-02")
    assert model.predict(future=[0, 1]).dates == ("2021-02-27", "2021-02-28")
    table["day"] = [*days[:300], days[300], None, None, None]
    assert model.predict(table).dates == ("2021-03-01", "2021-03-02")


@pytest.mark.parametrize("log", [False, True])
def test_a_constant_series_is_forecast_as_well_as_by_others(log: bool, tmp_path: Path) -> None:
    model = small(log=log, steps=2, learning_rate=1e-9).fit(np.full(120, 7.3))
    found = model.evaluate(origins=3)
    assert {scores["mae"] for name, scores in found["methods"].items() if "naive" in name} == {0.0}
    assert found["methods"]["autoregression"] == {"mae": 0, "rmse": 0, "smape": 0, "mase": 0}
    assert "by MAE the model is as good as naive, is as good as" in found.verdict()
    assert found["coverage"] == 1
    # Another series, which does change, has no MASE by the scale of one that does not.
    other = model.evaluate(wave(60), origins=3)
    lines = other.table().splitlines()[1:5]
    assert all(line.split()[-1] == "-" for line in lines) and "inf" not in other.table()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0}, "horizon is 0"),
        ({"quantiles": (0.5, 1.2)}, "levels between 0 and 1"),
        ({"block": 7}, "block is 7; expected at most the horizon, which is 6"),
        ({"subtract": "first"}, "subtract is 'first'"),
        ({"context": 400}, r"the training part \(206 of 300 rows\) is too short for a window of 400 values and the 6 "),
        ({"valid": 2}, r"the validation part \(2 of 300 rows\) is too short for the 6 values of a forecast"),
        ({"test": 3}, r"test is 3, too few values to judge a forecast of 6 steps by \(horizon\); give at least"),
        ({"test": -1}, "test is -1"),
        ({"hidden": 3}, "no option 'hidden'; did you mean"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        small(**options).fit(wave())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"stride": 0}, "stride is 0; expected a whole number of at least 1"),
        ({"stride": -1}, "stride is -1"),
        ({"origins": 0}, "origins is 0"),
        ({"origins": 2.5}, "origins is 2.5"),
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": -1}, "horizon is -1"),
        ({"horizon": "6"}, "horizon is '6'"),
        ({"horizon": 95}, "no room to evaluate"),
    ],
)
def test_bad_arguments(fitted: Forecaster, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        fitted.evaluate(**asked)
    if "horizon" in asked and "room" not in said:
        with pytest.raises(UserError, match=said):
            fitted.predict(**asked)


def test_too_little_to_compare_with() -> None:
    model = small(test=70, valid=10, steps=2, season=1).fit(wave(120))
    with pytest.raises(UserError, match=r"60 steps ahead .* takes 61 values to learn from, there are 50"):
        model.evaluate(horizon=60)
    assert model.evaluate(horizon=49, origins=1)["horizon"] == 49


def test_bad_futures(fitted: Forecaster) -> None:
    with pytest.raises(UserError, match="trained without the option known; leave future out"):
        fitted.predict(future=[1, 2])
    holiday = np.arange(300) % 7 == 0
    table = {"sold": wave() + holiday, "holiday": holiday.astype(float)}
    options: dict[str, Any] = {"target": "sold", "known": ("holiday",), "horizon": 2, "steps": 2}
    model = small(**options).fit(table)
    forecast = model.predict(future=[1, 0]).quantiles
    for same in ([[1], [0]], {"holiday": [1, 0]}, np.array([[1], [0], [9]])):
        np.testing.assert_array_equal(model.predict(future=same).quantiles, forecast)
    gap = {"sold": [*table["sold"], None, None], "holiday": [*table["holiday"], 1, None]}
    for future, said in [
        (["a", "b"], "future: the series position 0, column 'value': 'a' is no number"),
        ([[1, 0], [0, 1]], "future: the model was trained on the columns holiday; got 0, 1"),
        ({"feast": [1, 0]}, "future: the data has no column 'holiday'"),
        ([], "future: the series holds no values"),
        ([1, np.nan], r"position 1, column 'holiday': no value \(1 missing in all\); .* give missing='interpolate'"),
    ]:
        with pytest.raises(UserError, match=said):
            model.predict(future=future)
    with pytest.raises(UserError, match="position 301, column 'holiday': no value"):
        model.predict(gap)
    # Beyond what is needed nothing has to be there.
    np.testing.assert_array_equal(model.predict(future=[1, 0, np.nan]).quantiles, forecast)
    filling = small(**options, missing="interpolate").fit(table)
    np.testing.assert_array_equal(filling.predict(gap).quantiles, filling.predict(future=[1, 1]).quantiles)


def test_refitting_beyond_a_block_has_the_covariates_known_ahead() -> None:
    table = {"sold": wave(), "holiday": np.arange(300) % 7 == 0}
    model = small(target="sold", known=("holiday",), horizon=2, steps=2, quantiles=(0.5,)).fit(table)
    found = model.evaluate(origins=1, horizon=3, refit=True)
    assert found.forecasts[0].origin == model.parts_[1] == 280
    assert found.forecasts[0].quantiles.shape == (3, 1, 1) and np.isfinite(found["mae"])


def test_a_damaged_run_says_so(fitted: Forecaster, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    path = tmp_path / "run" / "learned.json"
    whole = json.loads(path.read_text())
    for damaged in ({}, {**whole, "parts": [1]}, {**whole, "series": []}, {**whole, "scaling": {"mean": 1}}):
        path.write_text(json.dumps(damaged))
        with pytest.raises(UserError, match=r"does not say what it was trained on; restore its learned\.json"):
            Forecaster.load(tmp_path / "run")


def test_before_fit() -> None:
    with pytest.raises(UserError, match="has not been trained"):
        small().predict()
    with pytest.raises(UserError, match="no series was given"):
        small().fit()


def test_it_is_a_scikit_learn_estimator(fitted: Forecaster) -> None:
    model = small(quantiles=(0.05, 0.95))
    again = Forecaster(**model.get_params())
    assert again.get_params() == model.get_params() and again is not model
    assert all(again.get_params()[name] is value for name, value in model.get_params().items())
    assert fitted.score() == -fitted.evaluate()["mase"]
    base = pytest.importorskip("sklearn.base")
    assert base.clone(model).get_params() == model.get_params()
    selection = pytest.importorskip("sklearn.model_selection")
    scores = selection.cross_val_score(small(steps=3, test=0), wave(), cv=selection.TimeSeriesSplit(2))
    assert np.isfinite(scores).all()


def test_paths_take_each_level_once_and_follow_the_normal_line() -> None:
    levels = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    scores = torch.special.ndtri(levels)
    quantiles = (3 + 2 * scores).expand(1, 400, 2, 3)
    drawn = _drawn(quantiles, levels, 200, torch.Generator().manual_seed(0)).unflatten(1, (2, 200))
    expected = 3 + 2 * torch.special.ndtri((torch.arange(200, dtype=torch.float64) + 0.5) / 200)
    torch.testing.assert_close(drawn.sort(2).values, expected.view(1, 1, 200, 1).expand(1, 2, 200, 2))
    assert not torch.equal(drawn[:, 0], drawn[:, 1])
    assert _at(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([0.0, 1.0]), torch.tensor([[0.25]])).item() == 0.25


# The example and the command line


def test_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[3] / "examples" / "forecast_tides.py"
    assert runpy.run_path(str(example))["main"](steps=20, picture=tmp_path / "f.png") < 0.8
    assert "the next three hours" in capsys.readouterr().out
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_the_recipes_are_of_this_job() -> None:
    names = [name for name in recipes("forecast") if name.startswith("forecast-")]
    assert names == ["forecast-co2", "forecast-etth1", "forecast-stocks", "forecast-sunspots"]
    assert all(Forecaster(**read_recipe(name, "forecast")).settings().window.horizon for name in names)


def test_the_command_line_from_file_to_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, run = tmp_path / "sales.csv", str(tmp_path / "run")
    months = [f"{2000 + k // 12}-{k % 12 + 1:02}-01" for k in range(150)]
    file.write_text("month,sold\n" + "".join(f"{m},{v:.3f}\n" for m, v in zip(months, wave(150), strict=True)))
    options = ["--horizon", "6", "--season", "12", "--context", "12", "--steps", "20", "--cell", "rnn"]
    sizes = ["--hidden-size", "8", "--threads", "1"]
    assert main(["train", "forecast", "--data", str(file), "--target", "sold", *options, *sizes, "--run", run]) == 0
    said = capsys.readouterr().out
    assert "seasonal naive" in said and "by MAE the model beats naive" in said
    assert main(["evaluate", run]) == 0
    assert "10 rolling origins, 6 steps each, from 2010-01-01 to" in capsys.readouterr().out
    assert main(["evaluate", run, "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["methods"]["rnn"]["mae"] == judged["mae"]
    assert main(["predict", run]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["date", "0.1", "0.5", "0.9"] and lines[1].split()[0] == "2012-07-01"
    assert len(lines) == 8 and Path(lines[-1].split()[-1]).read_bytes()[1:4] == b"PNG"
    assert (Path(run) / "forecasts.png").read_bytes()[1:4] == b"PNG"
    loaded = Forecaster.load(run)
    assert f"{loaded.predict().median[0]:.5g}" == lines[1].split()[2]
    assert loaded.predict().dates[-1] == "2012-12-01"
    assert main(["predict", run, "--top", "2"]) == 2
    assert "top is 2; a forecast has one answer for each step" in capsys.readouterr().err
    # Two files of one name, and standard input: each is read once, and has a picture of its own.
    other = tmp_path / "other" / "sales.csv"
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    reads: list[Any] = []
    monkeypatch.setattr(
        estimator, "series_like", lambda data, *a, **k: reads.append(data) or series_like(data, *a, **k)
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert main(["predict", run, str(file), str(other), "-"]) == 0
    again = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in again if line.startswith("picture")] == [
        str(Path(run) / f"forecast-{name}.png") for name in ("sales", "sales-2", "stdin")
    ]
    assert again[0:7] == again[8:15] == again[16:23] == lines[:7]
    assert reads == [str(file), str(other), "-"]
    file.write_text(file.read_text().replace("2001-01-01,", "2001-01-01,x"))
    assert main(["predict", run, str(file)]) == 2
    assert "sales.csv row 14, column 'sold'" in capsys.readouterr().err
