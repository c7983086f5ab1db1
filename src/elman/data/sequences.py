"""Examples as sequences, whatever they came in: texts, lists of tokens, arrays of numbers, columns of pandas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Kind = Literal["texts", "tokens", "numbers"]


@dataclass(frozen=True)
class Sequences:
    """Examples of one kind: texts (str), tokens (lists of str) or numbers, (T_i, F) float32 with one F for all.

    ``place(i)`` says in words where example i came from. ``shape`` has the axes of a step of numbers before they were
    taken together: (28,) for the rows of a grey image, (32, 32) for the frames of a clip.
    """

    kind: Kind
    items: Sequence[Any]
    place: Callable[[int], str]
    shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: Iterable[int]) -> Sequences:
        numbers = list(rows)
        return Sequences(self.kind, [self.items[i] for i in numbers], lambda i: self.place(numbers[i]), self.shape)


def as_sequences(
    X: Any, place: Callable[[int], str] | None = None, *, step_size: int | None = None, kind: Kind | None = None
) -> Sequences:
    """The examples of X, which is one of

    - strings: a list, a tuple, an array, a column of pandas, also as a frame of one column;
    - lists of strings, one token each;
    - an array (n, T) or (n, T, F, ...), further axes taken together; a frame of n rows and T columns of numbers;
    - a list of arrays or nested lists, (T_i,) or (T_i, F), of unequal length.

    ``step_size`` cuts the numbers of every example, in their order, anew into steps of so many. ``kind`` is what is
    expected; unless given it is told from the first example. ``place(i)`` is where example i came from, for errors.

    Raises:
        UserError: with the place: no examples, one of another kind, unequal features, a value that is no finite number.

    >>> as_sequences([[1, 2, 3], [4]]).items[0].shape, as_sequences(np.zeros((5, 8, 8))).items[0].shape
    ((3, 1), (8, 8))
    >>> as_sequences(["a text", None])
    Traceback (most recent call last):
        ...
    elman.errors.UserError: X[1] is None; expected a text, as X[0] is
    """
    examples = _examples(X)
    where = place or (lambda i: f"X[{i}]")
    if not len(examples):
        raise UserError("X holds no examples; give at least one")
    kind = kind or _kind(examples[0], where(0))
    readers: dict[str, Callable[[Any], Any]] = {"texts": _text, "tokens": _tokens, "numbers": _numbers}
    read = readers[kind]
    items = []
    for i, example in enumerate(examples):
        try:
            item = read(example)
        except (TypeError, ValueError):
            shown = repr(example) if len(repr(example)) < 60 else f"a {type(example).__name__}"
            expected = {"texts": "a text", "tokens": "a list of words", "numbers": "a sequence of numbers"}[kind]
            also = f", as {where(0)} is" if i else ""
            raise UserError(f"{where(i)} is {shown}; expected {expected}{also}") from None
        items.append(_cut_anew(item, step_size, where(i)) if kind == "numbers" else item)
    if kind != "numbers":
        return Sequences(kind, items, where)
    shape = (step_size,) if step_size else np.shape(examples[0])[1:] or (1,)
    sequences = Sequences(kind, items, where, shape)
    _check_numbers(sequences)
    return sequences


def _examples(X: Any) -> Any:
    """X as something with a length and numbered members: a list, a tuple or an array."""
    if isinstance(X, str | bytes):
        raise UserError(f"X is the one text {X[:40]!r}; give a list of texts, [{X[:10]!r}...]")
    if hasattr(X, "iloc") and hasattr(X, "columns"):  # a frame of pandas
        return X.iloc[:, 0].to_numpy() if len(X.columns) == 1 else _frame(X)
    if hasattr(X, "detach"):  # a tensor
        X = X.detach().cpu()
    if hasattr(X, "to_numpy"):  # a column of pandas or of something like it
        X = X.to_numpy()
    if isinstance(X, list | tuple):
        return X
    try:
        array = np.asarray(X)
    except ValueError:
        array = np.asarray(None)
    if not array.ndim:
        raise UserError(f"X is a {type(X).__name__}; expected a list of examples, an array or a column")
    if array.dtype.kind in "UO" and array.ndim == 2:
        return array[:, 0] if array.shape[1] == 1 else array.tolist()
    return array


def _frame(frame: Any) -> NDArray[np.float64]:
    columns = []
    for name in frame.columns:
        try:
            columns.append(np.asarray(frame[name].to_numpy(), np.float64))
        except (TypeError, ValueError):
            raise UserError(
                f"column {name!r} of X does not hold numbers; give one column of texts, or columns of numbers alone"
            ) from None
    return np.stack(columns, axis=1)


def _kind(example: Any, place: str) -> Kind:
    if isinstance(example, str):
        return "texts"
    if isinstance(example, list | tuple | np.ndarray) and len(example) and isinstance(example[0], str):
        return "tokens"
    if np.ndim(example) == 0:
        raise UserError(f"{place} is {example!r}; expected a text, a list of words or a sequence of numbers")
    return "numbers"


def _text(example: Any) -> str:
    if not isinstance(example, str):
        raise TypeError
    return str(example)


def _tokens(example: Any) -> list[str]:
    if isinstance(example, str) or not all(isinstance(token, str) for token in example):
        raise TypeError
    return [str(token) for token in example]


def _numbers(example: Any) -> NDArray[np.float32]:
    array = np.asarray(example)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise TypeError
    array = array.astype(np.float32)
    return array[:, None] if array.ndim == 1 else array.reshape(len(array), math.prod(array.shape[1:]))


def _cut_anew(numbers: NDArray[np.float32], step_size: int | None, place: str) -> NDArray[np.float32]:
    if step_size is None:
        return numbers
    if numbers.size % step_size:
        raise UserError(f"{place} has {numbers.size} numbers, which cannot be cut into steps of {step_size}")
    return numbers.reshape(-1, step_size)


def _check_numbers(sequences: Sequences) -> None:
    features = sequences.items[0].shape[1]
    for i, item in enumerate(sequences.items):
        if item.shape[1] != features:
            raise UserError(
                f"{sequences.place(i)} has {item.shape[1]} features a step, {sequences.place(0)} has {features}; "
                "expected the same for all"
            )
        if not np.isfinite(item).all():
            step, feature = np.argwhere(~np.isfinite(item))[0]
            at = f"at step {step}" + (f", feature {feature}" if features > 1 else "")
            raise UserError(f"{sequences.place(i)} is {item[step, feature]} {at}; expected numbers, so fill gaps first")
