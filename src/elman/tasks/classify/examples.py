"""Labelled examples, from wherever they come: in memory, in tables, pictures and recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data import Sequences, Table, as_sequences
from ...data.media import MEDIA_ENDINGS, Files, is_media, loaded, read_examples
from ...data.sequences import Kind
from ...data.sound import SoundReading
from ...data.table import READABLE
from ...errors import UserError
from ..sources import is_path
from .settings import ClassifierSettings

ENDINGS = (*READABLE, ".npy", *MEDIA_ENDINGS, "-ubyte", ".idx")
"""How the names of files of examples end, .gz aside."""

LABEL_NAMES = ("label", "y", "class")
INPUT_NAMES = ("text", "x", "file", "path")


@dataclass(frozen=True)
class Examples:
    """Examples, their labels and groups where there are any, and where a label stands."""

    inputs: Sequences
    labels: Sequence[Any] | None
    groups: Sequence[Any] | None = None
    label_place: Callable[[int], str] | None = None

    def __getitem__(self, rows: NDArray[np.int64]) -> Examples:
        labels, place = self.labels or (), self.label_place
        return Examples(
            self.inputs[rows],
            [labels[row] for row in rows],
            None,
            None if place is None else lambda i: place(int(rows[i])),
        )


def examples_of(
    X: Any,
    y: Any,
    settings: ClassifierSettings,
    *,
    strict: bool = False,
    kind: Kind | None = None,
    groups: Any = None,
) -> Examples:
    """The examples of X, as ``Classifier.fit`` takes them, or of the file or folder that X names.

    ``strict``: for training and evaluation, where labels must be there and no input of a file may be empty; ``kind``:
    what the examples must be, where that is known. Raises ``UserError`` with the place for what cannot be read.
    """
    if is_path(X):
        if y is not None:
            raise UserError(f"X is the file {str(X)!r}, which holds the labels; leave y out")
        if groups is not None:
            raise UserError(f"X is the file {str(X)!r}; name its column of groups with group=, and leave groups out")
        return _from_file(str(X), settings, strict, kind)
    inputs = as_sequences(X, step_size=settings.examples.step_size, kind=kind)
    for name, values in (("y", y), ("groups", groups)):
        if values is not None and len(values) != len(inputs):
            raise UserError(f"X has {len(inputs)} examples, {name} has {len(values)}; expected one for each")
    if strict and y is None:
        raise UserError("y is missing; give a label for every example of X")
    return Examples(inputs, None if y is None else _flat(y), None if groups is None else _flat(groups))


def _from_file(path: str, settings: ClassifierSettings, strict: bool, kind: Kind | None) -> Examples:
    options, sound = settings.examples, settings.sound
    table = read_examples(path, options.encoding)
    label = options.label
    # Lines of label and text, folders and the like have names of their own, whatever those of the file trained on.
    if label is None or table.columns.keys() in ({"label", "text"}, {"label", "x"}):
        label = next((name for name in LABEL_NAMES if name in table.columns), None)
    if strict and label is None:
        raise UserError(f"{table.name} has no column 'label', but {table.described()}; name it with label= (--label)")
    labels = None
    if label is not None and (strict or label in table.columns):
        labels = [each.strip() if isinstance(each, str) else each for each in table.column(label)]
    # Groups say how to part the examples of training: those of a known kind are not to be parted.
    groups = table.column(options.group) if strict and kind is None and options.group else None
    columns = _input_columns(table, options.input, {label, options.group})
    alone = columns[0] if len(columns) == 1 else None

    def place(i: int) -> str:
        return table.place(i, alone)

    if alone is None or _all_numbers(table.columns[alone]):
        values: Any = table.numbers(columns)
    else:
        if strict:
            _refuse_empty(table, alone)
        values = table.column(alone)
        if kind != "texts" and all(isinstance(value, str) and is_media(value) for value in values):
            # Paths in a column are seen from the file they stand in.
            folder = Path() if isinstance(table, Files) else Path(path).expanduser().parent
            values = loaded(values, folder, place, SoundReading(**vars(sound)))
        elif not isinstance(values, np.ndarray):
            values = ["" if value is None else value for value in values]
    inputs = as_sequences(values, place, step_size=options.step_size, kind=kind)
    return Examples(inputs, labels, groups, lambda i: table.place(i, label))


def _flat(values: Any) -> list[Any]:
    """Labels as a plain list, from a list, an array, a tensor or a column."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = np.asarray(values, object) if isinstance(values, list | tuple) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"y is {array.shape}; expected one label an example, (n,)")
    return list(array.tolist())


def _input_columns(table: Table, named: str | Sequence[str] | None, others: set[str | None]) -> list[str]:
    left = [name for name in table.columns if name not in others]
    if len(left) == 1:
        return left
    if named:
        return table.matching([named] if isinstance(named, str) else named)
    for name in INPUT_NAMES:
        if name in left:
            return [name]
    raise UserError(f"{table.name} has {table.described()}; name those of the examples with input= (--input)")


def _all_numbers(column: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in column)


def _refuse_empty(table: Table, column: str) -> None:
    for record, value in enumerate(table.columns[column]):
        if value is None or (isinstance(value, str) and not value.strip()):
            raise UserError(f"{table.place(record, column)} is empty; fill it in or take the row out")
