"""Time series as numbers with names and dates: from arrays, pandas objects, lists and files."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, nearest
from .dates import absent, is_date, moments
from .table import read_table, unnamed_columns

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "<na>", "nat"}  # the last two as pandas writes them
DATE_NAMES = {"date", "dates", "day", "datetime", "ds", "month", "time", "timestamp", "year"}  # also "Date Time"
# Columns of these names may hold a part of the date; after the highest that it can be it begins anew, years never.
DATE_PARTS = {"year": 0, "quarter": 4, "month": 12, "week": 53, "day": 31, "hour": 24, "minute": 60, "second": 60}
Table = Any
"""What becomes a series: an array (T,) or (T, C), a list, a mapping of columns, a pandas object, a file, a Series."""


@dataclass(frozen=True)
class Series:
    """Columns over time: ``values`` (T, C) in float64 with NaN where a value is missing, oldest first.

    ``columns`` names the C columns, targets first, then covariates known only up to now, then covariates also known for
    the future; ``targets``, ``past`` and ``known`` say how many there are of each. ``dates`` labels the T rows, where
    there are labels. ``places`` says in words where row t came from, for errors.

    >>> series = as_series([1.0, 2.0, 4.0])
    >>> len(series), series.columns, series[1:].values.ravel()
    (3, ('value',), array([2., 4.]))
    """

    values: np.ndarray
    columns: tuple[str, ...]
    targets: int
    known: int = 0
    dates: tuple[str, ...] | None = None
    places: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> Series:
        dates = None if self.dates is None else self.dates[rows]
        return replace(self, values=self.values[rows], dates=dates, places=self.places and self.places[rows])

    @property
    def past(self) -> int:
        """Covariates known only up to now."""
        return len(self.columns) - self.targets - self.known

    @property
    def target_values(self) -> np.ndarray:
        """The targets (T, D)."""
        return self.values[:, : self.targets]

    @property
    def known_values(self) -> np.ndarray:
        """The covariates known for the future too (T, K)."""
        return self.values[:, len(self.columns) - self.known :]

    @property
    def known_columns(self) -> tuple[str, ...]:
        """The names of the covariates known for the future too."""
        return self.columns[len(self.columns) - self.known :]

    @property
    def known_part(self) -> Series:
        """The covariates known for the future too, alone."""
        return replace(self, values=self.known_values, columns=self.known_columns, targets=0)

    def place(self, row: int) -> str:
        """Where row ``row`` came from, in words."""
        found = self.places[row] if self.places else f"position {row}"
        return found if self.dates is None else f"{found} ({self.dates[row]})"


def as_series(
    data: Table,
    target: str | Sequence[str] | None = None,
    *,
    past: Sequence[str] = (),
    known: Sequence[str] = (),
    dates: str | None = None,
    where: str | None = None,
) -> Series:
    """A series from whatever holds one; a file by its ending: .csv, .tsv, .jsonl (also with .gz), .npz, .npy.

    "-" is standard input, read as a .csv file.

    Args:
        data: an array (T,) or (T, C), a list, a mapping of columns, a pandas Series or DataFrame, a path, a ``Series``.
        target: the column or columns to forecast; every column of numbers not named otherwise unless given, which is
            one where at least half of the cells are. Columns without names are called "value", or "0", "1", ... where
            there are several.
        past: covariates whose future is not known.
        known: covariates whose future is known, such as holidays.
        dates: the column of dates; found by its name or its first value that is not missing unless given. Where it can
            be read, dates must come one after the other; columns such as "hour" may be needed to tell them apart. Where
            all are such as 01/02/2020 they are read by the days above 12 or the likeness of their steps; where neither
            tells days from months, they are not checked.
        where: "column=value": only these rows, such as those of one shop.

    Raises ``UserError`` for no such file or column, for what is no number, naming row and column, and for a date that
    does not come after the one before.

    >>> as_series({"day": ["mon", "tue"], "sold": ["3", ""]}, "sold").values.ravel()
    array([ 3., nan])
    """
    if isinstance(data, Series):
        return data
    return _chosen(_frame(data), target, past, known, dates, where)


def series_like(
    data: Table,
    like: Series,
    target: str | Sequence[str] | None = None,
    *,
    past: Sequence[str] = (),
    known: Sequence[str] = (),
    dates: str | None = None,
    where: str | None = None,
) -> Series:
    """A series of the columns of ``like``, in their order; the options are those that ``like`` was read with.

    Columns are found by name, whatever their order. Where either has no names (see `as_series`) they are taken by
    place: targets first, then the covariates known only up to now, then those known for the future.

    Raises ``UserError`` for other columns, and for all that `as_series` refuses.

    >>> series_like({"b": [3, 4], "a": [1, 2]}, as_series({"a": [5], "b": [6]})).values.tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    if isinstance(data, Series):
        series = data
    else:
        frame = _frame(data)
        named = not _unnamed(frame.columns) or set(like.columns) <= set(frame.columns)
        series = _chosen(frame, target, past, known, dates, where) if named else _chosen(frame)
    if set(series.columns) == set(like.columns):
        order = [series.columns.index(name) for name in like.columns]
    elif len(series.columns) == len(like.columns) and (_unnamed(series.columns) or _unnamed(like.columns)):
        order = list(range(len(like.columns)))
    else:
        raise UserError(
            f"the model was trained on the columns {', '.join(like.columns)}; got {', '.join(series.columns)}; give "
            "those, in any order"
        )
    return replace(series, values=series.values[:, order], columns=like.columns, targets=like.targets, known=like.known)


def _unnamed(columns: Collection[str]) -> bool:
    return list(columns) == unnamed_columns(len(columns))


def _chosen(
    frame: _Frame,
    target: str | Sequence[str] | None = None,
    past: Sequence[str] = (),
    known: Sequence[str] = (),
    dates: str | None = None,
    where: str | None = None,
) -> Series:
    if where:
        frame = frame.only(where)
    targets = (target,) if isinstance(target, str) else tuple(target or ())
    named = (*targets, *past, *known)
    dates = dates or frame.date_column(named)
    for name in (dates, *named):
        if name is not None:
            frame.cells(name)
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise UserError(f"column {twice!r} is named twice; a column is a target, a past or a known covariate")
    others = [name for name in frame.columns if name not in {*named, dates}]
    # Where no column is one of numbers the first of the others says what it holds instead.
    found = targets or [name for name in others if frame.is_numeric(name)] or others[:1]
    if not found:
        raise UserError(f"{frame.origin} has no column of numbers; it has {', '.join(map(repr, frame.columns))}")
    chosen = (*found, *past, *known)
    values = np.stack([frame.numbers(name, named=name in targets) for name in chosen], axis=1)
    labels = None if dates is None else tuple(str(cell).strip() for cell in frame.cells(dates))
    if dates is not None and labels:
        _check_order(frame, dates, labels)
    return Series(values, tuple(map(str, chosen)), len(found), len(known), labels, frame.places)


def _check_order(frame: _Frame, column: str, labels: Sequence[str]) -> None:
    """Refuses dates that do not come one after the other; missing ones, and those that cannot be read, pass."""
    rows = [row for row, label in enumerate(labels) if not is_missing(label)]
    when = moments([labels[row] for row in rows])
    if not when or (isinstance(when[0], int) and max(when) <= DATE_PARTS.get(column.lower(), 0)):
        return
    parts = [name for part in DATE_PARTS for name in frame.columns if name.lower() == part and name != column]
    try:
        finer = [[float(frame.columns[name][row]) for name in parts] for row in rows]
    except (TypeError, ValueError):
        return
    for (before, row), (a, b) in zip(pairwise(rows), pairwise(zip(when, finer, strict=True)), strict=True):
        if a < b:
            continue
        here, there = (
            " ".join([labels[each], *(f"{n} {frame.columns[n][each]}" for n in parts)]) for each in (row, before)
        )
        said = f"{frame.origin} {frame.places[row]}: {here}"
        one = "choose one series with where= (--where)"
        if not parts and ":" in labels[row] and _may_be_put_back(a[0], b[0]):
            one += (
                "; where clocks were put back an hour comes twice: times with their zone (such as "
                "2020-10-25 02:00+02:00) tell the two apart"
            )
        if a == b:
            raise UserError(f"{said} is the date of the row before too; keep one row a date, or {one}")
        raise UserError(f"{said} does not come after {there} of the row before; sort the rows, or {one}")


def _may_be_put_back(before: Any, after: Any) -> bool:
    """Whether a time is so little before another, both without a zone, that the clock may have been put back."""
    return isinstance(after, datetime) and after.tzinfo is None and before - after <= timedelta(hours=1)


@dataclass(frozen=True)
class _Frame:
    """Columns of cells as they came, with the names of the rows."""

    origin: str
    columns: Mapping[str, Sequence[Any]]
    places: tuple[str, ...]
    index: Sequence[str] | None = None

    def cells(self, name: str) -> Sequence[Any]:
        if name == INDEX and self.index is not None:
            return self.index
        if name not in self.columns:
            raise UserError(f"{self.origin} has no column {name!r}; {nearest(name, self.columns)}")
        return self.columns[name]

    def numbers(self, name: str, named: bool) -> np.ndarray:
        cells = self.cells(name)
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
            values = cells.astype(np.float64)
        else:
            hint = "mend the cell" if named else "mend the cell, or name the target"
            values = np.array([self._number(name, row, cell, hint) for row, cell in enumerate(cells)])
        infinite = np.isinf(values)
        if infinite.any():
            raise UserError(f"{self.origin} {self.places[int(infinite.argmax())]}, column {name!r}: an infinite value")
        return values

    def _number(self, name: str, row: int, cell: Any, hint: str) -> float:
        if is_missing(cell):
            return np.nan
        try:
            return float(cell)
        except (TypeError, ValueError):
            if re.fullmatch(r"-?\d+,\d+", str(cell)):
                hint = "write numbers without commas: a point before the decimals, nothing between thousands"
            raise UserError(
                f"{self.origin} {self.places[row]}, column {name!r}: {cell!r} is no number; {hint}"
            ) from None

    def is_numeric(self, name: str) -> bool:
        """Whether at least half of the cells that are there are numbers: the others are mistakes then."""
        cells = self.columns[name]
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
            return True
        there = [cell for cell in cells if not is_missing(cell)]
        return sum(_is_number(cell) for cell in there) >= len(there) / 2

    def date_column(self, named: Collection[str]) -> str | None:
        """The column of dates, none of those ``named`` otherwise."""
        for name, cells in {} if self.index and is_date(self.index[0]) else self.columns.items():
            if name not in named and (
                re.sub(r"[\s_-]", "", name.lower()) in DATE_NAMES
                or (is_date(_first(cells)) and not self.is_numeric(name))
            ):
                return name
        return None if self.index is None else INDEX

    def only(self, where: str) -> _Frame:
        name, equals, value = where.partition("=")
        if not equals:
            raise UserError(f"where is {where!r}; expected column=value, such as shop=Berlin")
        rows = [row for row, cell in enumerate(self.cells(name.strip())) if str(cell).strip() == value.strip()]
        if not rows:
            found = sorted({str(cell).strip() for cell in self.cells(name.strip())})
            raise UserError(f"{self.origin} has no row with {where}; {nearest(value.strip(), found[:20])}")
        columns = {
            other: [cells[row] for row in rows] for other, cells in self.columns.items() if other != name.strip()
        }
        index = None if self.index is None else [self.index[row] for row in rows]
        return _Frame(self.origin, columns, tuple(self.places[row] for row in rows), index)


INDEX = "(index)"
"""Stands for a pandas index as the column of dates."""


def _frame(data: Table) -> _Frame:
    if isinstance(data, str | Path):
        return _file_frame(Path(data).expanduser())
    # pandas by its shape, so that it is never imported here.
    if hasattr(data, "to_numpy") and hasattr(data, "index"):
        columns = data if hasattr(data, "columns") else {getattr(data, "name", None) or "value": data}
        names = data.columns if hasattr(data, "columns") else columns
        index = None if type(data.index).__name__ == "RangeIndex" else _labels(data.index)
        return _made("the data", {str(name): _cells(columns[name].to_numpy()) for name in names}, index)
    if isinstance(data, Mapping):
        return _made("the data", {str(name): _cells(_plain(cells)) for name, cells in data.items()})
    array = _plain(data)
    if array.ndim == 1:
        return _made("the series", {"value": array})
    if array.ndim == 2:
        return _made("the series", dict(zip(unnamed_columns(array.shape[1]), array.T, strict=True)))
    raise UserError(f"a series has one axis (time) or two (time, columns); got an array of shape {array.shape}")


def _plain(data: Any) -> np.ndarray:
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise UserError(f"the rows of the series differ in length ({error}); give (time, columns)") from error
    return array if array.dtype.kind in "fiubM" else np.asarray(data, dtype=object)


def _cells(array: np.ndarray) -> np.ndarray | list[str]:
    """The cells of a column, times as text."""
    return _labels(np.datetime_as_string(array, "s")) if array.dtype.kind == "M" else array


def _labels(dates: Iterable[Any]) -> list[str]:
    """Dates as text, without the time where all are of midnight."""
    texts = [re.sub(r"(?<=\d)T(?=\d)", " ", str(date)) for date in dates]
    midnight = " 00:00:00"
    return [text.removesuffix(midnight) for text in texts] if all(midnight in text for text in texts) else texts


def _made(origin: str, columns: dict[str, Any], index: Sequence[str] | None = None) -> _Frame:
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"the columns of {origin} differ in length: {lengths}; give one value a row in each")
    rows = next(iter(lengths.values()), 0)
    if not rows:
        raise UserError(f"{origin} holds no values")
    return _Frame(origin, columns, tuple(f"position {row}" for row in range(rows)), index)


def _file_frame(path: Path) -> _Frame:
    if path.suffix.lower() in (".npz", ".npy"):
        return _numpy(path)
    table = read_table(path, numbers=True)
    return _Frame(table.name, table.columns, tuple(f"row {row}" for row in table.rows))


def _numpy(path: Path) -> _Frame:
    if not path.is_file():
        raise UserError(f"no such file: {str(path)!r}; give a CSV, JSON Lines or NumPy file")
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path.name} is no NumPy file of plain numbers ({error}); write it with np.save") from error
    if isinstance(loaded, np.ndarray):
        return replace(_frame(loaded), origin=path.name)
    arrays = {name: loaded[name] for name in loaded.files}
    if len(arrays) == 1 and next(iter(arrays.values())).ndim == 2:
        return replace(_frame(next(iter(arrays.values()))), origin=path.name)
    for name, array in arrays.items():
        if array.ndim != 1:
            raise UserError(f"{path.name}: the array {name!r} has shape {array.shape}; expected one axis, a column")
    return replace(_made(path.name, arrays), origin=path.name)


def is_missing(cell: Any) -> bool:
    """Whether a cell says that there is no value.

    >>> is_missing(None), is_missing("n/a"), is_missing(0)
    (True, True, False)
    """
    return str(cell).strip().lower() in MISSING


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _first(cells: Iterable[Any]) -> str:
    """The first cell that is not missing, as text."""
    return next((_labels([cell])[0].strip() for cell in cells if not is_missing(cell)), "")


def filled(values: np.ndarray) -> np.ndarray:
    """``values`` (T, C) with gaps drawn straight between their neighbours; at an end the nearest value is repeated.

    Only the rows given are used: a history is filled from itself, never from what comes after. A column without any
    value stays as it is.

    >>> filled(np.array([[1.0], [np.nan], [3.0], [np.nan]])).ravel()
    array([1., 2., 3., 3.])
    """
    values = values.copy()
    for column in values.T:
        there = np.flatnonzero(~np.isnan(column))
        if 0 < len(there) < len(column):
            column[:] = np.interp(np.arange(len(column)), there, column[there])
    return values


def require_complete(series: Series, advice: str) -> None:
    """Raises ``UserError`` naming the first missing value's place and column, if there is one.

    >>> require_complete(as_series([1.0, float("nan")]), "give missing='interpolate'")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: position 1, column 'value': no value (1 missing in all); give missing='interpolate'
    """
    gaps = np.isnan(series.values)
    if gaps.any():
        row, column = map(int, np.argwhere(gaps)[0])
        where = f"{series.place(row)}, column {series.columns[column]!r}"
        raise UserError(f"{where}: no value ({int(gaps.sum())} missing in all); {advice}")


def require_all_dates(series: Series, advice: str) -> None:
    """Raises ``UserError`` naming the first date that an otherwise regular series lacks, if there is one.

    >>> days = [f"2020-01-{day:02}" for day in range(1, 31) if day != 4]
    >>> require_all_dates(as_series({"day": days, "sold": range(29)}), "add it")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    elman.errors.UserError: 2020-01-04 is absent: position 2 (2020-01-03) is followed by position 3 (2020-01-05)...
    """
    lacking = absent(series.dates or ())
    if lacking:
        row, dates = next(iter(lacking.items()))
        rows = sum(map(len, lacking.values()))
        count = "the only date that is" if rows == 1 else f"{rows:,} dates are in all"
        raise UserError(
            f"{dates[0]} is absent: {series.place(row - 1)} is followed by {series.place(row)} ({count}); {advice}"
        )


def with_all_dates(series: Series) -> Series:
    """The series with a row of missing values for every date that it lacks though it is regular otherwise.

    >>> days = [f"2020-01-{day:02}" for day in range(1, 31) if day != 4]
    >>> with_all_dates(as_series({"day": days, "sold": range(29)}))[2:5].values.ravel()
    array([ 2., nan,  3.])
    """
    dates = series.dates or ()
    lacking = absent(dates)
    if not lacking:
        return series
    rows = [row for row, some in lacking.items() for _ in some]
    places = [f"the row that is absent before {series.place(row)}" for row in rows]
    return replace(
        series,
        values=np.insert(series.values, rows, np.nan, axis=0),
        dates=_inserted(dates, rows, [date for some in lacking.values() for date in some]),
        places=series.places and _inserted(series.places, rows, places),
    )


def _inserted(texts: Sequence[str], rows: Sequence[int], new: Sequence[str]) -> tuple[str, ...]:
    return tuple(np.insert(np.array(texts, dtype=object), rows, np.array(new, dtype=object)).tolist())


def series_to_plain(series: Series) -> dict[str, Any]:
    """A series as JSON values, None where a value is missing; ``series_from_plain`` reads it.

    >>> series_from_plain(series_to_plain(as_series({"year": [1, 2], "sold": [3, 4]}))).dates
    ('1', '2')
    """
    values = [[None if np.isnan(value) else value for value in column] for column in series.values.T.tolist()]
    dates = None if series.dates is None else list(series.dates)
    return {"columns": dict(zip(series.columns, values, strict=True)), "dates": dates} | {
        "targets": series.targets,
        "known": series.known,
    }


def series_from_plain(plain: Mapping[str, Any]) -> Series:
    """The series written by ``series_to_plain``."""
    columns: Mapping[str, list[float | None]] = plain["columns"]
    values = np.array([[np.nan if value is None else value for value in column] for column in columns.values()])
    dates = None if plain["dates"] is None else tuple(plain["dates"])
    return Series(values.T, tuple(columns), plain["targets"], plain["known"], dates)
