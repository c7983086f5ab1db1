"""Spans that tags such as B-NP I-NP O mark: which there are, and how many of them a tagger found exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

BEGINS, ENDS = ("B", "S"), ("E", "S")
Span = tuple[int, int, str]


def are_chunk_tags(tags: Iterable[Any]) -> bool:
    """Whether tags mark spans: each O, or one of B I E S with a hyphen and a kind; one of them at least no O.

    >>> are_chunk_tags(["B-NP", "I-NP", "O"]), are_chunk_tags(["NOUN", "O"]), are_chunk_tags(["O"])
    (True, False, False)
    """
    marks = [tag for tag in tags if tag != "O"]
    return bool(marks) and all(isinstance(tag, str) and tag[:2] in ("B-", "I-", "E-", "S-") for tag in marks)


def spans(tags: Sequence[str]) -> set[Span]:
    """The spans of a sequence as (first step, step after the last, kind).

    A span begins at B and S, after E and S, after O and where the kind changes, as in the script conlleval of the
    CoNLL shared tasks (Tjong Kim Sang and Buchholz 2000): so IOB1, IOB2 and IOBES are read alike.

    >>> sorted(spans(["B-NP", "I-NP", "B-NP", "O", "I-VP", "I-NP"]))
    [(0, 2, 'NP'), (2, 3, 'NP'), (4, 5, 'VP'), (5, 6, 'NP')]
    """
    found = set()
    start, kind, last = 0, "", ""  # of the open span, none while its kind is empty; the mark before
    for step, tag in enumerate([*tags, "O"]):
        mark, _, of = tag.partition("-")
        if kind and (of != kind or mark in BEGINS or last in ENDS):
            found.add((start, step, kind))
            kind = ""
        if of and not kind:
            start, kind = step, of
        last = mark
    return found


def span_scores(truth: Iterable[Sequence[str]], answers: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Precision, recall and F1 of exact spans over all sequences, and the same for every kind; plain values.

    A span is right where its first step, its last and its kind are. What there is nothing of scores 0.

    >>> found = span_scores([["B-NP", "I-NP", "B-VP"]], [["B-NP", "I-NP", "B-NP"]])
    >>> found["f1"], found["kinds"]["NP"]["precision"], found["kinds"]["VP"]["spans"]
    (0.5, 0.5, 1)
    """
    there: Counter[str] = Counter()
    given: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for tags, tagged in zip(truth, answers, strict=True):
        real, said = spans(tags), spans(tagged)
        for counter, members in ((there, real), (given, said), (right, real & said)):
            counter.update(kind for _, _, kind in members)
    kinds = {kind: _scores(there[kind], given[kind], right[kind]) for kind in sorted(there | given)}
    return {**_scores(there.total(), given.total(), right.total()), "kinds": kinds}


def _scores(there: int, given: int, right: int) -> dict[str, Any]:
    return {
        "spans": there,
        "precision": right / max(given, 1),
        "recall": right / max(there, 1),
        "f1": 2 * right / max(there + given, 1),
    }
