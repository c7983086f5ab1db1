from __future__ import annotations

import gzip
import io
import json
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman import UserError
from elman.data.dates import absent, dates_after, is_date, moments, why_unread
from elman.data.series import (
    as_series,
    filled,
    require_all_dates,
    require_complete,
    series_from_plain,
    series_like,
    series_to_plain,
    with_all_dates,
)
from elman.data.table import read_table

CSV = "date,shop,sold,price\n2020-01-01,a,1,2.5\n2020-01-02,a,,2.0\n2020-01-03,b,3,1.5\n"


class Column:
    """Enough of a pandas Series."""

    def __init__(self, values: list[Any], index: Any, name: str | None = None) -> None:
        self.values, self.index, self.name = values, index, name

    def to_numpy(self) -> np.ndarray:
        return np.array(self.values)


class RangeIndex(list):
    """Named as the index that pandas gives where there is none."""


class Frame:
    """Enough of a pandas DataFrame."""

    def __init__(self, columns: dict[str, list[Any]], index: Any) -> None:
        self.columns, self.index, self._data = list(columns), index, columns

    def to_numpy(self) -> np.ndarray:
        return np.array(list(self._data.values())).T

    def __getitem__(self, name: str) -> Column:
        return Column(self._data[name], self.index, name)


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    "data",
    [[1, 2, 3], (1.0, 2.0, 3.0), np.array([1, 2, 3]), np.array([[1.0], [2.0], [3.0]]), {"value": ["1", " 2", "3"]},
     Column([1, 2, 3], RangeIndex(range(3)))],
)  # fmt: skip
def test_one_column_from_whatever_holds_it(data: Any) -> None:
    series = as_series(data)
    assert series.values.tolist() == [[1.0], [2.0], [3.0]]
    assert series.columns == ("value",)
    assert series.dates is None
    assert as_series(series) is series


def test_a_frame_keeps_names_and_dates() -> None:
    frame = Frame({"sold": [1, 2], "holiday": [0, 1], "wind": [5, 6]}, ["2020-01-01 00:00:00", "2020-01-02 00:00:00"])
    series = as_series(frame, "sold", past=["wind"], known=["holiday"])
    assert series.columns == ("sold", "wind", "holiday")
    assert (series.targets, series.past, series.known) == (1, 1, 1)
    assert series.dates == ("2020-01-01", "2020-01-02")
    assert series.known_values.tolist() == [[0.0], [1.0]]
    assert series[1:].values.tolist() == [[2.0, 6.0, 1.0]]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_a_csv_file(tmp_path: Path, name: str) -> None:
    series = as_series(written(tmp_path / name, "\ufeff" + CSV), ["sold", "price"])
    np.testing.assert_array_equal(series.values, [[1, 2.5], [np.nan, 2.0], [3, 1.5]])
    assert series.dates == ("2020-01-01", "2020-01-02", "2020-01-03")
    assert as_series(tmp_path / name, "price", where="shop=a").values.ravel().tolist() == [2.5, 2.0]


def test_other_files(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"day": f"d{k}", "sold": None if k == 1 else k}) + "\n" for k in range(3))
    series = as_series(written(tmp_path / "x.jsonl", lines))
    np.testing.assert_array_equal(series.values.ravel(), [0, np.nan, 2])
    assert series.dates == ("d0", "d1", "d2")
    assert as_series(written(tmp_path / "plain.csv", "1;2\n3;4\n")).values.tolist() == [[1, 2], [3, 4]]
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.arange(3) / 2)
    assert as_series(tmp_path / "x.npz", "b").values.ravel().tolist() == [0, 0.5, 1]
    np.save(tmp_path / "x.npy", np.arange(4.0))
    assert len(as_series(tmp_path / "x.npy")) == 4


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (CSV, {"target": "sld"}, "no column 'sld'; did you mean 'sold'"),
        (CSV, {"dates": "nodate"}, r"x.csv has no column 'nodate'; did you mean 'date'"),
        (CSV, {"known": ["warm"]}, "x.csv has no column 'warm'; valid: date, price, shop, sold"),
        (CSV.replace("2.0", "2,0").replace("a,,2,0", "a,,2x"), {}, "row 3, column 'price': '2x' is no number; mend"),
        (
            "date,sold\n2020-01-01,few\n",
            {},
            "row 2, column 'sold': 'few' is no number; mend the cell, or name the target",
        ),
        # Neither numbers nor dates: a column of numbers with a mistake.
        ("sold,price\n1x,2\n3,4\n5,6\n", {}, "row 2, column 'sold': '1x' is no number"),
        ('sold,price\n"1,5",2\n3,4\n', {"target": "sold"}, "'1,5' is no number; write numbers without commas: a point"),
        (CSV, {"past": ["price"], "known": ["sold"], "where": "shop=a", "dates": "shop"}, "no column 'shop'"),
        (CSV.replace("3,1.5", "x3,1.5"), {"target": "sold"}, r"x.csv row 4, column 'sold': 'x3' is no number"),
        (CSV + "2020-01-04,b,4\n", {"target": "sold"}, "row 5 has 3 fields, but row 1 names 4 columns"),
        (CSV.replace("price", "sold"), {}, "row 1: column 4 is named 'sold', as an earlier one is"),
        (CSV.replace("3,1.5", "inf,1.5"), {"target": "sold"}, "row 4, column 'sold': an infinite value"),
        (CSV, {"target": "sold", "where": "shop=c"}, "no row with shop=c; valid: a, b"),
        (CSV, {"target": "sold", "where": "shop"}, "expected column=value"),
        (CSV, {"target": "sold", "past": ["sold"]}, "column 'sold' is named twice"),
        ("date,sold\n", {}, "holds no examples"),
    ],
)
def test_bad_files_are_refused_by_row_and_column(tmp_path: Path, text: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        as_series(written(tmp_path / "x.csv", text), **options)


@pytest.mark.parametrize("missing", ["NA", "", " nan ", "?", "<NA>"])
def test_a_first_value_that_is_missing_makes_no_dates(tmp_path: Path, missing: str) -> None:
    series = as_series(written(tmp_path / "x.csv", f"sold,price\n{missing},1\n3,2\n4,3\n"))
    assert series.columns == ("sold", "price") and series.dates is None
    np.testing.assert_array_equal(series.values, [[np.nan, 1], [3, 2], [4, 3]])
    # And dates are found after a missing one.
    series = as_series({"when": [None, "2020-01-02"], "sold": [1, 2]})
    assert series.columns == ("sold",) and series.dates == ("None", "2020-01-02")


def test_a_file_without_names_may_repeat_a_number(tmp_path: Path) -> None:
    series = as_series(written(tmp_path / "x.csv", "0,0\n1,2\n"))
    assert series.columns == ("0", "1") and series.values.tolist() == [[0, 0], [1, 2]]
    assert series.place(1) == "row 2"
    assert as_series(written(tmp_path / "y.tsv", "7\n7\n")).values.tolist() == [[7], [7]]
    assert as_series(written(tmp_path / "z.csv", "7\n")).values.tolist() == [[7]]
    # Names of numbers are names where they are said to be.
    assert as_series(written(tmp_path / "x.jsonl", '{"1": 5}\n{"1": 6}\n')).values.tolist() == [[5], [6]]


def test_standard_input_is_a_csv_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"day,sold\nmon,1\ntue,2\n")))
    series = as_series("-")
    assert series.columns == ("sold",) and series.dates == ("mon", "tue")
    assert series.values.tolist() == [[1], [2]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1\nx\n")))
    with pytest.raises(UserError, match="standard input row 2, column 'value': 'x' is no number"):
        as_series("-")
    for numbers in (True, False):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
        with pytest.raises(UserError, match="standard input is empty"):
            read_table("-", numbers=numbers)


def test_columns_are_those_of_another_series() -> None:
    like = as_series({"a": [1], "b": [2], "c": [3]}, "a", past=["b"], known=["c"])
    asked: dict[str, Any] = {"target": "a", "past": ["b"], "known": ["c"], "dates": "day"}
    named = series_like({"c": [7, 8], "day": ["x", "y"], "d": [0, 0], "b": [5, 6], "a": [3, 4]}, like, **asked)
    by_place = series_like([[3, 5, 7], [4, 6, 8]], like, **asked)
    ready = series_like(as_series({"b": [5, 6], "c": [7, 8], "a": [3, 4]}), like)
    for series in (named, by_place, ready):
        assert series.values.tolist() == [[3, 5, 7], [4, 6, 8]]
        assert (series.columns, series.targets, series.past, series.known) == (("a", "b", "c"), 1, 1, 1)
    assert named.dates == ("x", "y")
    # Columns of an array that were chosen by number.
    second = as_series([[1, 2], [3, 4]], "1", past=["0"])
    assert series_like([[5, 6]], second, "1", past=["0"]).values.tolist() == [[6, 5]]
    # What was trained without names takes what has some.
    assert series_like({"sold": [5]}, as_series([1, 2])).values.tolist() == [[5]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": [1], "c": [2]}, "trained on the columns a, b; got a, c; give those"),
        ({"a": [1], "b": [2], "c": [3]}, "trained on the columns a, b; got a, b, c"),
        ({"a": [1]}, "trained on the columns a, b; got a;"),
        ([[1, 2, 3]], "trained on the columns a, b; got 0, 1, 2"),
        ([1, 2], "trained on the columns a, b; got value"),
    ],
)
def test_other_columns_are_refused(data: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        series_like(data, as_series({"a": [1], "b": [2]}))


def test_other_bad_data(tmp_path: Path) -> None:
    for name in ("none.csv", "none.npy"):
        with pytest.raises(UserError, match=r"no such file|cannot read"):
            as_series(tmp_path / name)
    with pytest.raises(UserError, match=r"x\.xlsx ends in none of"):
        as_series(written(tmp_path / "x.xlsx", ""))
    with pytest.raises(UserError, match="row 2"):
        as_series(written(tmp_path / "x.jsonl", '{"a": 1}\n{"a": \n'))
    with pytest.raises(UserError, match="no NumPy file"):
        as_series(written(tmp_path / "x.npy", "hello"))
    np.savez(tmp_path / "x.npz", a=np.zeros((2, 2)), b=np.zeros(2))
    with pytest.raises(UserError, match=r"'a' has shape \(2, 2\)"):
        as_series(tmp_path / "x.npz")
    with pytest.raises(UserError, match="cannot be decoded"):
        (tmp_path / "x.csv").write_bytes(b"\xff\xfe1")
        as_series(tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"shape \(1, 1, 1\)"):
        as_series(np.zeros((1, 1, 1)))
    with pytest.raises(UserError, match="position 1, column 'value': 'b' is no number"):
        as_series(["1", "b"])
    with pytest.raises(UserError, match="differ in length"):
        as_series({"a": [1, 2], "b": [1]})
    with pytest.raises(UserError, match="no values"):
        as_series([])


def test_columns_of_words_are_left_out(tmp_path: Path) -> None:
    series = as_series(written(tmp_path / "x.csv", CSV), past=["price"])
    assert (series.columns, series.targets, series.past) == (("sold", "price"), 1, 1)
    # Nor are words dates where they are not called so.
    series = as_series({"shop": ["a", "b"], "sold": [1, 2]})
    assert series.columns == ("sold",) and series.dates is None
    assert as_series({"month": ["1", "2"], "sold": [1, 2]}, known=["month"]).columns == ("sold", "month")


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (
            ["2020-01-02", "2020-01-01"],
            "row 3: 2020-01-01 does not come after 2020-01-02 of the row before; sort the rows",
        ),
        (
            ["2020-01-01", "", "2020-01-01"],
            r"row 4: 2020-01-01 is the date of the row before too; keep .* where= \(--wh",
        ),
        (["2001", "2000"], "row 3: 2000 does not come after 2001"),
        (
            ["1", "50", "1", "50"],
            r"row 4: 1 does not come after 50 of the row before; .* choose one series with where=",
        ),
        (["Jan 1 2000", "Feb 1 2000", "Jan 1 2000"], "row 4: Jan 1 2000 does not come after Feb 1 2000"),
        (["12/31/2020", "12/30/2020"], "row 3: 12/30/2020 does not come"),
        (["2020-01-02 05:00:00", "2020-01-02 04:00:00"], "row 3: 2020-01-02 04:00:00 does not"),
        (["2020-01-02T05:00:00Z", "2020-01-02T04:00:00Z"], "row 3: 2020-01-02T04:00:00Z does not"),
        (["2020-01-02 05:00+00:00", "2020-01-02 06:00+02:00"], r"row 3: 2020-01-02 06:00\+02:00 does not"),
        # The months of two years and a half, the eighth before the seventh, and the third twice.
        (
            [f"01/{k % 12 + 1:02}/{2000 + k // 12}" for k in (*range(6), 7, 6, *range(8, 30))],
            "row 9: 01/07/2000 does not come after 01/08/2000",
        ),
        (
            [f"01/{k % 12 + 1:02}/{2000 + k // 12}" for k in (0, 1, 2, *range(2, 30))],
            "row 5: 01/03/2000 is the date of the row before too",
        ),
    ],
)
def test_dates_must_come_one_after_the_other(tmp_path: Path, dates: list[str], said: str) -> None:
    file = written(tmp_path / "x.csv", "day,sold\n" + "".join(f"{each},1\n" for each in dates))
    with pytest.raises(UserError, match="x.csv " + said):
        as_series(file)


@pytest.mark.parametrize(
    "columns",
    [
        {"year": [1959, 1959, 1960], "quarter": [3, 4, 1]},
        {"date": ["2020-01-01", "2020-01-01"], "hour": [0, 1]},
        {"year": [2010, 2010, 2011], "month": [1, 12, 1]},
        {"year": [2010, 2010], "month": ["Jan", "Feb"]},
        {"month": [11, 12, 1]},  # no dates: they begin anew each year
        {"date": ["soon", "later", "now"]},
        {"date": ["3/4/2020", "2/5/2020"]},  # March and February, or April and May
        {"date": ["9/1/2020", "10/1/2020", "11/1/2020", "1/1/2021"]},  # as days of January they are in order too
        # The hour that comes twice when summer time ends.
        {"time": ["2020-10-25T02:30:00+02:00", "2020-10-25T02:00:00+01:00", "2020-10-25T02:30:00+01:00"]},
        {"date": [None, "2020-01-01", "NaT", "2020-01-02"]},
    ],
)
def test_these_dates_are_in_order(columns: dict[str, list[Any]]) -> None:
    table = {**columns, "sold": [1] * len(next(iter(columns.values())))}
    assert len(as_series(table, "sold")) == len(table["sold"])


def test_parts_of_a_date_may_be_out_of_order() -> None:
    said = "position 2: 2020-01-01 hour 1 is the date of the row before too"
    with pytest.raises(UserError, match=said):
        as_series({"date": ["2020-01-01"] * 3, "hour": [0, 1, 1], "sold": [1, 2, 3]}, "sold")


def test_stacked_series_are_refused(shared_data: Path) -> None:
    with pytest.raises(UserError, match=r"stocks.csv row 125: Jan 1 2000 does not come after Mar 1 2010"):
        as_series(shared_data / "timeseries" / "stocks.csv")


def test_times_of_numpy_and_of_an_index_are_dates() -> None:
    hours = np.array(["2020-01-01T23", "2020-01-02T00", "2020-01-02T01"], dtype="datetime64[ns]")
    expected = ("2020-01-01 23:00:00", "2020-01-02 00:00:00", "2020-01-02 01:00:00")
    assert as_series({"when": hours, "sold": [1, 2, 3]}).dates == expected
    assert as_series({"when": hours.astype("datetime64[D]")[1:2], "sold": [1]}).dates == ("2020-01-02",)
    assert as_series(Frame({"sold": [1, 2, 3]}, list(expected))).dates == expected
    # An index of numbers does not stand before a column of dates.
    frame = Frame({"date": ["2020-01-01", "2020-01-02"], "sold": [1, 2]}, [7, 3])
    assert as_series(frame).dates == ("2020-01-01", "2020-01-02")


def test_a_row_is_added_for_each_date_that_is_absent() -> None:
    months = [each for each in month_firsts(40) if each not in ("2000-03", "2000-04", "2002-01")]
    series = with_all_dates(as_series({"month": months, "sold": np.arange(37.0)}))
    assert series.dates == tuple(month_firsts(40))
    expected = np.insert(np.arange(37.0), [2, 2, 22], np.nan)
    np.testing.assert_array_equal(series.values.ravel(), expected)
    assert series.place(2) == "the row that is absent before position 2 (2000-05) (2000-03)"
    assert series.place(39) == "position 36 (2003-04)"
    with pytest.raises(UserError, match=r"2000-03 is absent: position 1 .* position 2 .* \(3 dates are in all\); so"):
        require_all_dates(as_series({"month": months, "sold": np.arange(37.0)}), "so")


def test_gaps_are_filled_from_the_rows_given_alone() -> None:
    values = np.array([[np.nan, 1], [2.0, np.nan], [np.nan, 5.0], [6.0, np.nan]])
    np.testing.assert_array_equal(filled(values), [[2, 1], [2, 3], [4, 5], [6, 5]])
    assert np.isnan(values).sum() == 4
    np.testing.assert_array_equal(filled(values[:3])[:, 0], [2, 2, 2])


def test_a_missing_value_is_named_by_place_date_and_column(tmp_path: Path) -> None:
    series = as_series(written(tmp_path / "x.csv", CSV), "sold")
    with pytest.raises(UserError, match=r"row 3 \(2020-01-02\), column 'sold': no value \(1 missing in all\); so"):
        require_complete(series, "so")
    require_complete(series[:1], "so")


def test_a_series_survives_json() -> None:
    series = as_series({"date": ["x", "y"], "a": [1, None], "b": [0.1, 3]}, "b", known=["a"])
    back = series_from_plain(json.loads(json.dumps(series_to_plain(series))))
    np.testing.assert_array_equal(back.values, series.values)
    assert (back.columns, back.dates, back.targets, back.known) == (series.columns, series.dates, 1, 1)


def test_dates_go_on() -> None:
    days = [str(date(2020, 2, 24) + timedelta(days=k)) for k in range(5)]
    assert dates_after(days, 2) == ["2020-02-29", "2020-03-01"]
    assert dates_after(["2019-11", "2019-12"], 2) == ["2020-01", "2020-02"]
    assert dates_after(["Nov 1 2009", "Dec 1 2009"], 1) == ["Jan 1 2010"]
    assert dates_after(["20011222", "20011229"], 1) == ["20020105"]
    assert dates_after(["2016-07-01 22:00:00", "2016-07-01 23:00:00"], 1) == ["2016-07-02 00:00:00"]
    assert dates_after(["2007", "2008"], 2) == ["2009", "2010"]
    assert dates_after(["soon", "later"], 1) == ["+1"]
    # A weekend missing, and a month with fewer days.
    assert dates_after(["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"], 1) == ["2020-01-08"]
    assert dates_after(["2019-10-31", "2019-12-31"], 1) == ["2020-02-29"]


def test_dates_of_two_readings_go_on() -> None:
    months = slashed(month_firsts(13))
    assert dates_after(months, 2) == ["01/02/2001", "01/03/2001"]
    assert dates_after([each.replace("/0", "/").removeprefix("0") for each in months], 1) == ["1/2/2001"]
    assert dates_after(["10/11/2020", "10/12/2020", "10/01/2021"], 1) == ["10/02/2021"]
    assert dates_after(["11/10/2020", "12/10/2020", "01/10/2021"], 1) == ["02/10/2021"], "months before days"
    # As early as the column tells: what decides may be far before what is read.
    early = [each.strftime("%m/%d/%Y") for each in days(200, date(2019, 1, 1)) if each.day < 13 or each.month == 1]
    assert dates_after(early[:12], 1) == ["+1"], "January's first twelve days, or twelve months"
    assert dates_after(early[:20], 1) == ["01/21/2019"]
    assert dates_after(["01/31/1990", *early[:12]], 1) == ["01/13/2019"]
    years = [f"01/02/{year}" for year in range(1900, 2020)]
    assert dates_after(years, 1) == ["+1"] and dates_after(["13/02/1899", *years], 1) == ["01/02/2020"]


@pytest.mark.parametrize(
    "day",
    ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%m/%d/%y",
     "%d.%m.%y", "%b %d %Y", "%d %b %Y", "%b-%d-%Y", "%d-%b-%Y", "%d-%b-%y"],
)  # fmt: skip
@pytest.mark.parametrize(
    "hour", ["", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", ", %I:%M:%S %p", " %I:%M%p", " %H:%M:%S.000"]
)
def test_a_day_of_any_form_may_have_a_time_of_day_of_any_form(day: str, hour: str) -> None:
    times = [datetime(2005, 12, 20) + k * timedelta(hours=1 if hour else 24) for k in range(300)]
    dates = [each.strftime(day + hour) for each in times]
    assert is_date(dates[0]) and moments(dates) == times and why_unread(dates) is None
    assert dates_after(dates[:-3], 3) == dates[-3:]
    assert absent(dates[:50] + dates[52:]) == {50: dates[50:52]}
    with pytest.raises(UserError, match=f"position 2: {dates[1]} is the date of the row before too"):
        as_series({"date": [*dates[:2], *dates[1:]], "sold": range(301)})


def test_am_and_pm_may_be_small() -> None:
    dates = [f"3/{day}/24 {hour}:00 {half}m" for day in (4, 5) for half in "ap" for hour in (12, *range(1, 12))]
    assert moments(dates) == [datetime(2024, 3, 4) + timedelta(hours=k) for k in range(48)]
    assert dates_after(dates[:30], 18) == dates[30:]


@pytest.mark.parametrize("hour", ["", "H:M", "I:M", "0H:M"])
@pytest.mark.parametrize("order", ["{d}/{m}/{y}", "{m}/{d}/{y}", "{y}-{m}-{d}", "{m}/{d}/{short:02}"])
def test_without_zeros_they_stay_without(order: str, hour: str) -> None:
    def text(time: datetime) -> str:
        day = order.format(d=time.day, m=time.month, y=time.year, short=time.year % 100)
        clock = {
            "": "",
            "H:M": f" {time.hour}:{time.minute:02}",
            "0H:M": f" {time:%H:%M}",
            "I:M": f" {(time.hour - 1) % 12 + 1}:{time:%M %p}",
        }
        return day + clock[hour]

    step = timedelta(hours=24 if not hour else 1, minutes=5 if hour else 0)
    dates = [text(datetime(2004, 12, 3) + k * step) for k in range(700)]
    for end in (100, 340, 690):
        assert dates_after(dates[:end], 10) == dates[end : end + 10]


def test_whole_numbers_are_seconds_or_dates_without_signs() -> None:
    seconds = [str(1704067200 + 3600 * k) for k in range(30)]
    assert moments(seconds) == [int(each) for each in seconds]
    assert dates_after(seconds, 1) == ["1704175200"] and absent(seconds[:9] + seconds[10:]) == {9: [seconds[9]]}
    compact = [each.strftime("%Y%m%d%H") for each in hours(50)]
    assert moments(compact) == hours(50) and dates_after(compact[:-1], 1) == compact[-1:]
    assert why_unread(["20200131", "20200232"]) == "'20200232'"


def test_what_cannot_be_read_is_told() -> None:
    assert why_unread(["04-Mar-24", "05-Foo-24", "x"]) == "'05-Foo-24'"
    assert why_unread(["2020-01-01 00:00 CET"]) == "'2020-01-01 00:00 CET'"
    assert why_unread(["13/01/2020", "01/14/2020"]) == "'01/14/2020'"
    assert why_unread(["2020-01-01T00:00", "2020-01-02T00:00Z"]) == "'2020-01-02T00:00Z'"
    assert why_unread(["3/4/2020", "2/5/2020"]) == "days or months first in '3/4/2020'?"
    assert why_unread([]) is why_unread(["7", "3"]) is why_unread(["2020-01-01"]) is None


@pytest.mark.parametrize("name", ["Date Time", "DATE_TIME", "Time Stamp", "ds"])
def test_dates_are_found_by_their_name(name: str) -> None:
    series = as_series({"sold": [1, 2], name: [7, 8]})
    assert series.columns == ("sold",) and series.dates == ("7", "8")


def test_an_hour_that_comes_twice_leads_to_zones() -> None:
    clocks = (
        r"where clocks were put back an hour comes twice: times with their zone \(such as 2020-10-25 02:00\+02:00\)"
    )
    for dates in (["25.10.2020 02:00"] * 2, ["10/25/2020 1:59 AM", "10/25/2020 1:00 AM"]):
        with pytest.raises(UserError, match=clocks):
            as_series({"time": dates, "sold": [1, 2]})
    for dates in (
        ["2020-10-25"] * 2, ["2020-10-25T02:00Z"] * 2, ["2020-10-25 05:00", "2020-10-25 02:00"], ["7", "7"],
    ):  # fmt: skip
        with pytest.raises(UserError, match=r"row before.*choose one series with where= \(--where\)$"):
            as_series({"time": dates, "sold": [1, 2]})
    with pytest.raises(UserError, match=r"\(--where\)$"):
        as_series({"time": ["2020-10-25 02:00"] * 2, "minute": [1, 1], "sold": [1, 2]}, "sold")


def test_times_with_zones_go_on() -> None:
    assert dates_after(["2020-01-01T22:00:00Z", "2020-01-01T23:00:00Z"], 1) == ["2020-01-02T00:00:00Z"]
    assert dates_after(["2020-01-31 00:00+02:00", "2020-02-29 00:00+02:00"], 1) == ["2020-03-31 00:00+02:00"]
    assert dates_after([berlin(each) for each in hours_of_march(60)], 2) == [
        berlin(each) for each in hours_of_march(62)[60:]
    ]
    # Days of the clock; the zone is the last that is known.
    known = ["2020-03-28T00:00:00+01:00", "2020-03-29T00:00:00+01:00", "2020-03-30T00:00:00+02:00"]
    assert dates_after(known, 1) == ["2020-03-31T00:00:00+02:00"]


def month_ends(year: int, every: int = 1) -> list[str]:
    return [str(date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)) for month in range(every, 13, every)]


def month_firsts(count: int) -> list[str]:
    return [f"{2000 + k // 12}-{k % 12 + 1:02}" for k in range(count)]


def days(count: int, first: date = date(2019, 1, 7)) -> list[date]:
    return [first + timedelta(days=k) for k in range(count)]


def hours(count: int) -> list[datetime]:
    return [datetime(2020, 1, 6) + timedelta(hours=k) for k in range(count)]


def slashed(months: list[str]) -> list[str]:
    return [f"01/{month[5:]}/{month[:4]}" for month in months]


def hours_of_march(count: int) -> list[datetime]:
    """From two days before summer time begins in Europe, at 1 o'clock of the 29th."""
    return [datetime(2020, 3, 27, tzinfo=UTC) + timedelta(hours=k) for k in range(count)]


def berlin(time: datetime) -> str:
    return time.astimezone(timezone(timedelta(hours=1 + (time >= datetime(2020, 3, 29, 1, tzinfo=UTC))))).isoformat()


@pytest.mark.parametrize(
    ("whole", "lacking"),
    [
        (days(60), [20, 21, 40]),
        (days(400)[::7], [5, 9]),
        (hours(100), [30, 31]),
        ([each[:10] + "T00:00:00" for each in map(str, days(60))], [33]),
        (month_firsts(60), [7]),
        (month_ends(2019) + month_ends(2020), [13]),
        (month_ends(2001, 3) + month_ends(2002, 3) + month_ends(2003, 3), [6]),
        ([str(year) for year in range(1900, 1950)], [11, 12]),
        ([f"{each.month}/{each.day}/{each.year}" for each in days(60)], [5]),
        # No day above 12: only as months, or quarters, are the steps alike.
        (slashed(month_firsts(30)), [7, 8]),
        (slashed(month_firsts(40)[::3]), [6]),
        ([f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in hours(100)], [30, 31]),
        ([f"{each:%Y-%m-%d %H:%M:%S}+02:00" for each in hours(100)], [30, 31]),
        ([f"{each:%Y-%m-%dT%H:%M}:00.000-0530" for each in days(60)], [30, 31]),
        ([f"{each:%Y-%m-%d} 00:00:00 UTC" for each in days(60)], [2]),
        ([f"{each}-01 00:00:00+01" for each in month_firsts(30)], [2]),
        # Summer time: hours go on, days are those of the clock.
        ([berlin(each) for each in hours_of_march(72)], [40]),
        ([f"{each}T00:00:00+{1 + (each >= date(2020, 3, 30)):02}:00" for each in days(30, date(2020, 3, 15))], [3]),
    ],
)
def test_holes_are_found(whole: list[Any], lacking: list[int]) -> None:
    dates = [str(each) for each in whole]
    kept = [each for row, each in enumerate(dates) if row not in lacking]
    assert absent(dates) == {}
    found = absent(kept)
    assert [each for some in found.values() for each in some] == [dates[row] for row in lacking]
    assert min(found) == lacking[0]


@pytest.mark.parametrize(
    "dates",
    [
        # Offices, with a holiday; a shop closed on Sundays, one on Sundays and at Christmas; an exchange by the minute.
        [each for each in days(100) if each.weekday() < 5 and each != date(2019, 2, 5)],
        [each for each in days(100) if each.weekday() < 6],
        [each for each in days(400) if each.weekday() < 6 and (each.month, each.day) != (12, 25)],
        [each + timedelta(minutes=k) for each in hours(24 * 3)[::24] for k in range(540, 900)],
        # Calendars of 365 days.
        [each for each in days(800) if (each.month, each.day) != (2, 29)],
        [each for each in days(1000) if each.timetuple().tm_yday < 366],
        # Weeks that a holiday moves; last working days of months; nothing regular; a gap larger than all else.
        [each - timedelta(days=k == 30) for k, each in enumerate(days(400)[::7])],
        ["2020-01-31", "2020-02-28", "2020-03-31", "2020-04-30", "2020-05-29", "2020-06-30", "2020-07-31"],
        [each for k, each in enumerate(days(100)) if k * k % 7 != 2],
        [*days(30), date(2119, 1, 1)],
        ["2020-01-01"], [], ["soon", "later"], ["1", "1", "2"], ["2020-01-02", None, "2020-01-03"],
        # Days or months: both are as regular, with a hole or without.
        slashed(month_firsts(12)), slashed([each for each in month_firsts(12) if each != "2000-05"]),
        ["01/02/2020"], ["01/02/2020"] * 3,
        # Some with a zone and some without cannot be compared.
        [f"{each}T00:00:00" + "Z" * (each.day > 5) for each in days(30) if each.day != 9],
    ],
)  # fmt: skip
def test_these_dates_have_no_holes(dates: list[Any]) -> None:
    assert absent([str(each) for each in dates]) == {}


@pytest.mark.parametrize("every", [1, 2, 3, 6, 12])
def test_month_ends_stay_month_ends(every: int) -> None:
    known = month_ends(2019, every) + month_ends(2020, every)
    assert dates_after(known, 24 // every) == month_ends(2021, every) + month_ends(2022, every)
    assert dates_after([each.replace("-", "") for each in known], 1) == [month_ends(2021, every)[0].replace("-", "")]


def test_days_of_months_stay_those_days() -> None:
    # Not the ends: February has no 30th, and the 28th is the end of some Februaries only.
    assert dates_after(["2021-01-30", "2021-02-28", "2021-03-30"], 2) == ["2021-04-30", "2021-05-30"]
    assert dates_after(["2019-02-28", "2020-02-28"], 4)[-1] == "2024-02-28"
    assert dates_after(["2020-01-30", "2020-01-31"], 1) == ["2020-02-01"]
    assert dates_after(["2020-02-28 06:00:00", "2020-02-29 06:00:00"], 1) == ["2020-03-01 06:00:00"]
