"""Labels to numbers and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import UserError, nearest
from .batches import Rows
from .table import is_number

Label = str | int | float | bool
Place = Callable[[int], str]


class Labels:
    """The labels there are, sorted; text, whole numbers or truth values.

    Where all are numbers, as in a column of a file, "1.0" is the label "1"; beside other texts it is one of its own.

    >>> labels = Labels.learned(["ham", "spam", "ham"])
    >>> labels.names, labels.encode(["spam"]).tolist()
    (('ham', 'spam'), [1])
    >>> labels.encode(["spm"], lambda row: f"row {row}")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: row 0: the label 'spm' was not there in training; did you mean 'spam'?
    """

    def __init__(self, names: Sequence[Label]) -> None:
        self.names = tuple(names)
        self._numbers = {name: number for number, name in enumerate(names)}
        self._spelt = _spelling(names)
        texts = Counter(map(self._spelt, names))
        self._by_text = {
            self._spelt(name): number for number, name in enumerate(names) if texts[self._spelt(name)] == 1
        }

    @classmethod
    def learned(cls, y: Iterable[Any], place: Place | None = None) -> Labels:
        """The labels of training; `UserError` for one that is missing, and where all are the same."""
        found = {plain_label(value, number, place) for number, value in enumerate(y)}
        spelt = _spelling(found)
        # Of texts that spell one number the shortest stays.
        one_each = {(isinstance(name, str), spelt(name)): name for name in sorted(found, key=_length, reverse=True)}
        names = sorted(one_each.values(), key=lambda name: (isinstance(name, str), name))
        if len(names) < 2:
            raise UserError(f"all examples have the label {names[0]!r}; expected at least two different ones")
        return cls(names)

    def __len__(self) -> int:
        return len(self.names)

    def find(self, label: Label) -> int | None:
        """The number of a label, None for one that training did not have.

        What a file spells as text is the number or truth value of that spelling, and the other way round.

        >>> labels = Labels.learned([1, 2])
        >>> labels.find(2), labels.find("2"), labels.find("two")
        (1, 1, None)
        """
        return self._numbers.get(label, self._by_text.get(self._spelt(label)))

    def own(self, label: Label) -> Label:
        """The label as training had it, see ``find``; one that it did not have stays as it is."""
        number = self.find(label)
        return label if number is None else self.names[number]

    def encode(self, y: Iterable[Any], place: Place | None = None) -> Rows:
        """The numbers of labels, (n,) int64; `UserError` with its place for one that training did not have."""
        numbers = []
        for row, value in enumerate(y):
            label = plain_label(value, row, place)
            number = self.find(label)
            if number is None:
                hint = nearest(str(label), map(str, self.names))
                raise UserError(f"{_at(row, place)}: the label {label!r} was not there in training; {hint}")
            numbers.append(number)
        return np.array(numbers, np.int64)

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The labels as an array, of objects where they are of several types."""
        kinds = {type(name) for name in self.names}
        return np.array(self.names, dtype=object if len(kinds) > 1 else None)


def plain_label(value: Any, row: int, place: Place | None = None) -> Label:
    """A label as a plain Python value; `UserError` with its place for None, NaN, an empty text and what is no label."""
    value = value.item() if isinstance(value, np.generic) or getattr(value, "ndim", None) == 0 else value
    if value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value.strip()):
        raise UserError(f"{_at(row, place)} has no label; fill it in or take the example out")
    if not isinstance(value, str | bool | int | float):
        raise UserError(f"{_at(row, place)}: {value!r} is no label; expected a text or a number")
    if isinstance(value, float) and not value.is_integer():
        raise UserError(f"{_at(row, place)}: {value!r} is no label but a measure; expected a text or a whole number")
    return int(value) if isinstance(value, float) else value


def _spelling(labels: Iterable[Label]) -> Callable[[Label], str]:
    """How labels are told apart: by their text; whole numbers without zeros behind the point where all are numbers."""
    return _whole if all(is_number(str(label)) for label in labels) else str


def _whole(label: Label) -> str:
    """A label's text without zeros behind the point of a whole number.

    >>> _whole("1.00"), _whole("1.50"), _whole("1.")
    ('1', '1.50', '1')
    """
    return re.sub(r"(?<=\d)\.0*$", "", str(label))


def _length(label: Label) -> int:
    return len(str(label))


def _at(row: int, place: Place | None) -> str:
    return f"y[{row}]" if place is None else place(row)
