"""Files of examples as columns: CSV, JSON Lines, lines of text, NumPy; every value knows its row and column."""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, nearest

MOST_NAMED = 20  # columns an error lists


@dataclass(frozen=True)
class Table:
    """Columns of one length: ``columns[name][i]`` is record i, which stands in row ``rows[i]`` of the file.

    Rows are counted from 1 as a spreadsheet does, the row of column names included.
    """

    name: str
    columns: dict[str, Sequence[Any]]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, record: int, column: str | None = None) -> str:
        """Where a value stands, in words.

        >>> Table("pets.csv", {"kind": ["dog"]}, [2]).place(0, "kind")
        "pets.csv row 2, column 'kind'"
        """
        return f"{self.name} row {self.rows[record]}" + (f", column {column!r}" if column else "")

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column; `UserError` naming the nearest one there is."""
        if name not in self.columns:
            raise UserError(f"{self.name} has no column {name!r}; {nearest(name, list(self.columns)[:MOST_NAMED])}")
        return self.columns[name]

    def numbers(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Columns as numbers, (records, columns); `UserError` with the place of a value that is none."""
        numbers = np.empty((len(self), len(names)))
        for k, name in enumerate(names):
            for record, value in enumerate(self.column(name)):
                try:
                    numbers[record, k] = value
                except (TypeError, ValueError):
                    raise UserError(f"{self.place(record, name)} is {value!r}; expected a number") from None
        return numbers

    def described(self) -> str:
        """Its columns in words."""
        return f"the columns {', '.join(map(repr, list(self.columns)[:12]))}"

    def matching(self, patterns: Sequence[str]) -> list[str]:
        """The columns that the names stand for, in the order of the names; ``*`` stands for any letters.

        >>> Table("a.csv", {"p1": [], "p2": [], "y": []}, []).matching(["p*"])
        ['p1', 'p2']
        """
        names: list[str] = []
        for pattern in patterns:
            found = [name for name in self.columns if fnmatch.fnmatchcase(name, pattern)] if "*" in pattern else []
            if not found:
                self.column(pattern)
            names += found or [pattern]
        return names


def read_table(path: str | Path, encoding: str = "utf-8", *, numbers: bool = False) -> Table:
    """The table in a file, read by its ending, each also with .gz after it; ``-`` is standard input, lines of text.

    With ``numbers`` standard input is read as a .csv file, and a first row of numbers alone in a .csv or .tsv file
    names no columns: it is a record, and the columns are those of `unnamed_columns`.

    - .csv (comma, or semicolon where the first row has no comma) and .tsv: the first row names the columns; fields may
      be quoted and may then hold line ends; blank lines are skipped.
    - .jsonl, .ndjson: one JSON object a line; a name that a line lacks is None there.
    - .txt: ``label<TAB>text`` a line, or texts alone; columns "label" and "text".
    - .npz: arrays x (n, ...), y (n,) or (n, T) and lengths (n,), the last two where there are any; columns "x" and
      "y", x and a y of several axes cut to their lengths.

    A byte-order mark is read over. `UserError`: no such file, an ending or encoding not known, no records, a row with
    another number of fields, broken quotes or JSON, with the row.
    """
    if str(path) == "-":
        name, kind, data = "standard input", ".csv" if numbers else ".txt", sys.stdin.buffer.read()
        if not data.strip():
            raise UserError("standard input is empty; write the examples to it, or name a file")
    else:
        name, (kind, data) = Path(path).name, read_file(path, READABLE)
    options = {"numbers": numbers} if kind in (".csv", ".tsv") else {}
    table = _arrays(name, data) if kind == ".npz" else _READERS[kind](name, decoded(name, data, encoding), **options)
    if not len(table):
        raise UserError(f"{path} holds no examples; expected at least one row")
    return table


def read_file(path: str | Path, endings: Sequence[str]) -> tuple[str, bytes]:
    """The ending of a file, one of those given, and its bytes; of a file with .gz after the ending its contents.

    `UserError`: no such file, another ending, a broken gzip file.
    """
    path = Path(path).expanduser()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if zipped else suffixes)[-1:]
    if not kind or kind[0] not in endings:
        raise UserError(
            f"{path} ends in none of {', '.join(endings)}; rename the file or convert it (in Python, texts themselves "
            "come in a list)"
        )
    try:
        return kind[0], gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or "it is no whole gzip file"
        raise UserError(f"cannot read {path}: {what}; check the name") from error


def decoded(name: str, data: bytes, encoding: str) -> str:
    r"""The text of a file; `UserError` with its name and the row where it cannot be decoded.

    >>> decoded("a.txt", b"caf\xe9", "utf-8")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    elman.errors.UserError: a.txt is not utf-8 text: byte 3 (0xe9) in row 1 cannot be decoded; give its encoding, ...
    """
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise UserError(f"no encoding is called {encoding!r}; try utf-8, utf-16, latin-1 or cp1252") from error
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{name} is not {encoding} text: byte {error.start} (0x{data[error.start]:02x}) in row {row} cannot be "
            "decoded; give its encoding, such as latin-1 or utf-16, or save the file as UTF-8"
        ) from error


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, ended by \n or \r\n and by nothing else: signs such as U+2028 may stand within one.

    >>> lines_of("one\r\ntwo\u2028three\n")
    ['one', 'two\u2028three']
    """
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def unnamed_columns(count: int) -> list[str]:
    """What columns without names are called.

    >>> unnamed_columns(1), unnamed_columns(3)
    (['value'], ['0', '1', '2'])
    """
    return ["value"] if count == 1 else [str(column) for column in range(count)]


def is_number(cell: str) -> bool:
    """Whether a text is a number.

    >>> is_number(" -1e3"), is_number("2020-01-31")
    (True, False)
    """
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _comma_separated(name: str, text: str, numbers: bool = False) -> Table:
    first = text.partition("\n")[0]
    return _delimited(name, text, ";" if "," not in first and ";" in first else ",", numbers)


def _tab_separated(name: str, text: str, numbers: bool = False) -> Table:
    return _delimited(name, text, "\t", numbers)


def _delimited(name: str, text: str, delimiter: str, numbers: bool) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    rows: list[int] = []
    row = 0
    try:
        for row, record in enumerate(reader, start=1):
            if record:
                records.append(record)
                rows.append(row)
    except csv.Error as error:
        raise UserError(f"{name} row {row + 1}: {error}; mend its quotes") from error
    if not records:
        return Table(name, {}, [])
    if numbers and all(map(is_number, records[0])):
        records, rows = [unnamed_columns(len(records[0])), *records], [rows[0], *rows]
    names = [column.strip() for column in records[0]]
    for number, column in enumerate(names):
        if not column or column in names[:number]:
            what = f"named {column!r}, as an earlier one is" if column else "without a name"
            index = "" if column or number else " (pandas writes its index so; index=False leaves it out)"
            raise UserError(
                f"{name} row {rows[0]}: column {number + 1} is {what}; the first row names the columns{index}"
            )
    for record, row in zip(records, rows, strict=True):
        if len(record) != len(names):
            raise UserError(
                f"{name} row {row} has {len(record)} fields, but row {rows[0]} names {len(names)} columns; a "
                f"field that holds {delimiter!r} or a line end needs quotes"
            )
    fields = list(zip(*records[1:], strict=True)) or [()] * len(names)
    return Table(name, dict(zip(names, fields, strict=True)), rows[1:])


def _json_lines(name: str, text: str) -> Table:
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    for row, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UserError(f"{name} row {row} is no JSON: {error}; expected one object a line") from error
        if not isinstance(record, dict):
            raise UserError(f"{name} row {row} is no JSON object; expected names with values in braces")
        records.append(record)
        rows.append(row)
    names = dict.fromkeys(key for record in records for key in record)
    return Table(name, {key: [record.get(key) for record in records] for key in names}, rows)


def _lines(name: str, text: str) -> Table:
    lines = [(row, line) for row, line in enumerate(lines_of(text), start=1) if line.strip()]
    rows = [row for row, _ in lines]
    tabbed = ["\t" in line for _, line in lines]
    if not any(tabbed):
        return Table(name, {"text": [line for _, line in lines]}, rows)
    if not all(tabbed):
        row = rows[tabbed.index(False)]
        raise UserError(f"{name} row {row} has no tab, others have; expected label<TAB>text in every line, or in none")
    parts = [line.split("\t", 1) for _, line in lines]
    return Table(name, {"label": [label for label, _ in parts], "text": [text for _, text in parts]}, rows)


def _arrays(name: str, data: bytes) -> Table:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{name} is no NumPy .npz file of plain arrays ({error}); write it with numpy.savez") from error
    if "x" not in arrays:
        raise UserError(f"{name} has no array 'x'; it has {', '.join(map(repr, arrays))}; expected x, y and lengths")
    x = arrays["x"]
    for key, most in (("x", x.ndim), ("y", 2), ("lengths", 1)):
        if key in arrays and (not 1 <= arrays[key].ndim <= most or len(arrays[key]) != len(x)):
            raise UserError(f"{name}: array {key!r} is {arrays[key].shape}; expected one entry an example")
    columns: dict[str, Sequence[Any]] = {"x": x}
    if "y" in arrays:
        columns["y"] = arrays["y"].tolist()
    if "lengths" in arrays:
        for key in ("x", "y"):
            if key in arrays and arrays[key].ndim > 1:
                ends = zip(columns[key], arrays["lengths"].tolist(), strict=True)
                columns[key] = [each[:length] for each, length in ends]
    return Table(name, columns, range(len(x)))


_READERS: dict[str, Callable[..., Table]] = {
    ".csv": _comma_separated,
    ".tsv": _tab_separated,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".txt": _lines,
    ".npz": _arrays,
}
READABLE = tuple(_READERS)
"""The endings of files that `read_table` reads."""
