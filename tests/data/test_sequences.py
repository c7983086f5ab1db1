from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from elman import UserError
from elman.data import as_sequences


class Column:
    """As much of a column of pandas as is asked for."""

    def __init__(self, values: list[Any], dtype: Any = object) -> None:
        self.values, self.dtype = values, dtype

    def to_numpy(self) -> np.ndarray[Any, Any]:
        return np.array(self.values, self.dtype)


class Frame:
    """As much of a frame of pandas as is asked for."""

    def __init__(self, **columns: Column) -> None:
        self.columns, self._columns = list(columns), columns

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    @property
    def iloc(self) -> Any:
        frame = self

        class Located:
            def __getitem__(self, key: tuple[slice, int]) -> Column:
                return frame._columns[frame.columns[key[1]]]

        return Located()


@pytest.mark.parametrize(
    "X",
    [["a b", "c"], ("a b", "c"), np.array(["a b", "c"]), np.array([["a b"], ["c"]], object), Column(["a b", "c"]),
     Frame(text=Column(["a b", "c"]))],
)  # fmt: skip
def test_texts(X: Any) -> None:
    found = as_sequences(X)
    assert (found.kind, list(found.items)) == ("texts", ["a b", "c"])


def test_tokens() -> None:
    found = as_sequences([["a", "b"], ("c",), []])
    assert (found.kind, found.items) == ("tokens", [["a", "b"], ["c"], []])
    assert as_sequences(np.array([["a", "b"], ["c", "d"]])).items == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    "X",
    [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 4]]), [np.array([1, 2]), [3, 4]],
     Frame(a=Column([1, 3], int), b=Column([2, 4], float)), np.array([[[1], [2]], [[3], [4]]])],
)  # fmt: skip
def test_numbers(X: Any) -> None:
    found = as_sequences(X)
    assert found.kind == "numbers"
    assert [item.tolist() for item in found.items] == [[[1.0], [2.0]], [[3.0], [4.0]]]
    assert found.items[0].dtype == np.float32


def test_unequal_lengths_and_further_axes() -> None:
    found = as_sequences([np.zeros((3, 2)), np.zeros((0, 2))])
    assert [item.shape for item in found.items] == [(3, 2), (0, 2)]
    assert as_sequences(np.zeros((2, 3, 4, 5))).items[0].shape == (3, 20)


def test_numbers_are_cut_anew_in_their_order() -> None:
    image = np.arange(6).reshape(1, 2, 3)
    assert as_sequences(image, step_size=2).items[0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert as_sequences(image, step_size=1).items[0].shape == (6, 1)
    with pytest.raises(UserError, match=r"X\[0\] has 6 numbers, which cannot be cut into steps of 4"):
        as_sequences(image, step_size=4)


def test_a_part_knows_its_places() -> None:
    part = as_sequences(["a", "b", "c"], lambda i: f"row {i + 2}")[[2, 0]]
    assert (part.items, part.place(0), len(part)) == (["c", "a"], "row 4", 2)


@pytest.mark.parametrize(
    ("X", "options", "sentence"),
    [
        ("a text", {}, "X is the one text 'a text'; give a list of texts"),
        ([], {}, "X holds no examples"),
        (3, {}, "X is a int; expected a list of examples"),
        ([3, 4], {}, "X[0] is 3; expected a text, a list of words or a sequence of numbers"),
        (["a", 3], {}, "X[1] is 3; expected a text, as X[0] is"),
        (["a", None], {}, "X[1] is None; expected a text, as X[0] is"),
        ([["a"], "b"], {}, "X[1] is 'b'; expected a list of words, as X[0] is"),
        ([["a", 3]], {}, "X[0] is ['a', 3]; expected a list of words"),
        ([[1.0], ["b"]], {}, "X[1] is ['b']; expected a sequence of numbers, as X[0] is"),
        ([[1.0]], {"kind": "texts"}, "X[0] is [1.0]; expected a text"),
        (["a"], {"kind": "numbers"}, "X[0] is 'a'; expected a sequence of numbers"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], {}, "X[1] has 4 features a step, X[0] has 3; expected the same for all"),
        ([[1.0], [2.0, np.nan]], {}, "X[1] is nan at step 1; expected numbers, so fill gaps first"),
        (np.array([[[0, np.inf]]]), {}, "X[0] is inf at step 0, feature 1"),
        (Frame(a=Column([1]), b=Column(["x"])), {}, "column 'b' of X does not hold numbers"),
    ],
)
def test_bad_examples_are_named(X: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        as_sequences(X, **options)
    assert sentence in str(caught.value)
