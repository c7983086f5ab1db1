from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.tasks.tag.spans import are_chunk_tags, span_scores, spans

TAGS = ["O", *(f"{mark}-{kind}" for mark in "BIES" for kind in ("NP", "VP"))]


def by_rules(tags: list[str]) -> set[tuple[int, int, str]]:
    """conlleval's own two rules, start of chunk and end of chunk, written as they stand in its table."""

    def split(tag: str) -> tuple[str, str]:
        return (tag[0], tag[2:]) if tag != "O" else ("O", "")

    def ends(before: str, after: str) -> bool:
        (p, pk), (t, tk) = split(before), split(after)
        pairs = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("B", "S"), ("I", "S")}
        return (p, t) in pairs or p in "ES" or (p != "O" and pk != tk)

    def starts(before: str, after: str) -> bool:
        (p, pk), (t, tk) = split(before), split(after)
        return t in "BS" or ((p in "ESO" or pk != tk) and t in "IE")

    found, start = set(), None
    padded = ["O", *tags, "O"]
    for i in range(1, len(padded)):
        if start is not None and ends(padded[i - 1], padded[i]):
            found.add((start, i - 1, split(padded[i - 1])[1]))
            start = None
        if starts(padded[i - 1], padded[i]):
            start = i - 1
    return found


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_spans_are_those_of_conlleval(tags: list[str]) -> None:
    assert spans(tags) == by_rules(tags)


def test_schemes_are_read_alike() -> None:
    expected = {(0, 3, "A"), (3, 4, "A"), (5, 6, "B")}
    for tags in ("I-A I-A I-A B-A O I-B", "B-A I-A I-A B-A O B-B", "B-A I-A E-A S-A O S-B"):
        assert spans(tags.split()) == expected


def test_scores_by_hand() -> None:
    truth = [["B-NP", "I-NP", "O", "B-VP"], ["B-NP", "B-NP"], []]
    answers = [["B-NP", "I-NP", "O", "B-NP"], ["B-NP", "I-NP"], []]
    found = span_scores(truth, answers)
    assert (found["spans"], found["precision"], found["recall"]) == (4, 1 / 3, 1 / 4)
    assert found["f1"] == pytest.approx(2 / 7)
    assert found["kinds"]["NP"] == {"spans": 3, "precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3}
    assert found["kinds"]["VP"] == {"spans": 1, "precision": 0, "recall": 0, "f1": 0}
    assert span_scores([["O"]], [["O"]])["f1"] == 0


def test_tags_that_mark_spans_are_told_from_others() -> None:
    assert are_chunk_tags(["O", "I-PER"])
    for tags in (["O"], [], ["B-NP", "NN"], ["O", 3], ["BNP"]):
        assert not are_chunk_tags(tags)
