from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import elman.data.splits as splits
from elman.data.splits import Passage, split_documents
from elman.data.text import Document, documents
from elman.errors import UserError

Folder = Callable[..., Path]


def made(lengths: Sequence[int]) -> list[Document]:
    """Documents of which only the lengths matter."""
    found = [Document(str(i), Path(str(i)), str(i)) for i in range(len(lengths))]
    for document, length in zip(found, lengths, strict=True):
        document.__dict__["characters"] = length
    return found


def ranges(passages: Sequence[Passage]) -> list[tuple[str, int, int]]:
    return [(p.document.name, p.start, p.stop) for p in passages]


@given(st.lists(st.integers(20, 900_000), min_size=1, max_size=60))
def test_default_split_partitions_the_text(lengths: list[int]) -> None:
    train, valid = split_documents(made(lengths))
    parts = sorted(ranges(train) + ranges(valid), key=lambda r: (int(r[0]), r[1]))
    position: dict[str, int] = {}
    for name, start, stop in parts:
        assert start == position.get(name, 0)
        assert stop > start
        position[name] = stop
    assert position == {str(i): length for i, length in enumerate(lengths)}
    total = sum(p.characters for p in valid)
    assert total > 0
    whole_files = all(p.start == 0 for p in valid)
    assert whole_files == (len(lengths) >= 10)
    assert total <= splits.MOST_CHARACTERS or (whole_files and len(valid) == 1)


def test_files_are_spread_evenly() -> None:
    train, valid = split_documents(made([100] * 40))
    assert [p.document.name for p in valid] == ["5", "15", "25", "35"]
    assert len(train) == 36
    _, valid = split_documents(made([100] * 6), "files", valid_documents=2)
    assert [p.document.name for p in valid] == ["1", "4"]


def test_files_hold_to_the_cap_with_a_long_file_first() -> None:
    lengths = [100] * 40
    lengths[5] = 300_000
    _, valid = split_documents(made(lengths))
    assert [p.document.name for p in valid] == ["15", "25", "35"]


def test_tails_of_the_longest() -> None:
    train, valid = split_documents(made([500, 900, 300, 900]), "tails", valid_documents=3, valid_characters=200)
    assert ranges(valid) == [("0", 300, 500), ("1", 700, 900), ("3", 700, 900)]
    assert ranges(train) == [("0", 0, 300), ("1", 0, 700), ("2", 0, 300), ("3", 0, 700)]


def test_tails_by_default() -> None:
    _, valid = split_documents(made([1000, 5, 2_000_000]))
    assert ranges(valid) == [("0", 901, 1000), ("2", 1_980_000, 2_000_000)]
    _, valid = split_documents(made([150, 100]), valid_characters=100)
    assert ranges(valid) == [("0", 50, 150)]


def test_passages_read_their_part(folder: Folder) -> None:
    train, valid = split_documents(documents(folder("0123456789" * 3)), valid_characters=12)
    assert ["".join(p.pieces()) for p in train] == ["012345678901234567"]
    assert ["".join(p.pieces()) for p in valid] == ["890123456789"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tail"}, "no split is called 'tail'; did you mean 'tails'"),
        ({"valid_documents": 0}, "valid_documents=0; expected at least 1"),
        ({"valid_characters": -3}, "valid_characters=-3; expected at least 1"),
        ({"split": "files", "valid_characters": 5}, "belongs to split='tails'"),
        ({"split": "files", "valid_documents": 3}, "3 of 3 documents for validation leave none"),
        ({"split": "tails", "valid_documents": 4}, "there are only 3 documents"),
        ({"split": "tails", "valid_documents": 3, "valid_characters": 50}, "has 40 characters, too few to cut 50"),
        ({"split": "tails", "valid_characters": 500}, "has 40 characters, too few to cut 500"),
    ],
)
def test_impossible_splits(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_documents(made([100, 40, 70]), **options)  # type: ignore[arg-type]


def test_a_text_too_short_for_validation() -> None:
    with pytest.raises(UserError, match="has 9 characters, too few to cut a tenth"):
        split_documents(made([9]))
