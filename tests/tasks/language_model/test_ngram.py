from __future__ import annotations

import gzip
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman import UserError
from elman.tasks.language_model.ngram import KneserNey

TEXTS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def padded(ids: list[int], order: int, boundary: int | None, size: int) -> list[tuple[int, ...]]:
    """Every token with the order - 1 before it, one at a time."""
    start = size if boundary is None else boundary
    grams = []
    for i, word in enumerate(ids):
        context: list[int] = []
        for j in range(1, order):
            cut = bool(context) and boundary is not None and context[0] == boundary
            context.insert(0, start if cut or i - j < 0 else ids[i - j])
        grams.append((*context, word))
    return grams


def by_counting(
    ids: list[int], order: int, boundary: int | None, size: int, context: tuple[int, ...], word: int
) -> float:
    """Chen and Goodman's equations over dictionaries, from the full order down."""

    def counts(k: int) -> Counter[tuple[int, ...]]:
        grams = Counter(padded(ids, order, boundary, size))
        for length in range(order - 1, k - 1, -1):
            longer = set(grams)
            grams = Counter(gram[1:] for gram in longer)
            assert all(len(gram) == length for gram in grams)
        return grams

    def p(k: int, context: tuple[int, ...]) -> float:
        if k == 0:
            return 1 / size
        below = p(k - 1, context[1:])
        found = counts(k)
        follow = {gram[-1]: c for gram, c in found.items() if gram[:-1] == context}
        if not follow:
            return below
        n = Counter(found.values())
        if all(n[c] for c in (1, 2, 3, 4)):
            y = n[1] / (n[1] + 2 * n[2])
            d = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
            d = [min(max(x, 0.05), c - 0.05) for c, x in enumerate(d, 1)]
        else:
            d = [0.75] * 3
        total = sum(follow.values())
        left = sum(d[min(c, 3) - 1] for c in follow.values()) / total
        mine = follow.get(word, 0)
        return (mine - d[min(mine, 3) - 1] if mine else 0.0) / total + left * below

    return p(order, context)


@given(TEXTS, TEXTS, st.integers(1, 4), st.sampled_from([None, 0]))
def test_it_equals_counting_by_hand(train: list[int], test: list[int], order: int, boundary: int | None) -> None:
    model = KneserNey(order, boundary=boundary).fit(train, 6)
    expected = [
        by_counting(train, order, boundary, 6, gram[:-1], gram[-1]) for gram in padded(test, order, boundary, 6)
    ]
    np.testing.assert_allclose(np.exp(model.log_probabilities(test)), expected, rtol=1e-10)
    assert model.perplexity(test) == pytest.approx(math.exp(-np.log(expected).mean()), rel=1e-10)


@given(TEXTS, TEXTS, st.integers(1, 4), st.sampled_from([None, 0]))
def test_after_every_context_the_types_share_one(
    train: list[int], test: list[int], order: int, boundary: int | None
) -> None:
    model = KneserNey(order, boundary=boundary).fit(train, 6)
    top = model.top(test, 6)
    for n in range(len(test)):
        p = model.probabilities(test[:n])
        assert p.sum() == pytest.approx(1, rel=1e-12) and (p > 0).all()
        assert p[test[n]] == pytest.approx(math.exp(model.log_probabilities(test)[n]), rel=1e-10)
        assert top[n].tolist() == sorted(range(6), key=lambda word: (-p[word], word))


def test_discounts_are_estimated_from_counts_of_counts() -> None:
    # Of the unigrams (an order of one counts occurrences) 4 are seen once, 3 twice, 2 three times, 1 four times.
    ids = [0, 1, 2, 3, *[4, 5, 6] * 2, *[7, 8] * 3, *[9] * 4]
    y = 4 / (4 + 2 * 3)
    d = {1: 1 - 2 * y * 3 / 4, 2: 2 - 3 * y * 2 / 3, 3: 3 - 4 * y * 1 / 2}
    left = (4 * d[1] + 3 * d[2] + 3 * d[3]) / 20
    p = KneserNey(1).fit(ids, 11).probabilities([])
    assert p[[0, 4, 7, 9, 10]] == pytest.approx(
        [(1 - d[1]) / 20 + left / 11, (2 - d[2]) / 20 + left / 11, (3 - d[3]) / 20 + left / 11,
         (4 - d[3]) / 20 + left / 11, left / 11], rel=1e-12,
    )  # fmt: skip


def test_a_word_of_one_phrase_only_is_rare_elsewhere() -> None:
    # Kneser and Ney's point: 4 is frequent, but only ever after 3; 2 follows many.
    ids = [3, 4] * 10 + [0, 2, 1, 2, 3, 2, 5, 2]
    p = KneserNey(2).fit(ids, 7).probabilities([6])
    assert p[2] > p[4]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KneserNey(0), r"order is 0; expected at least 1"),
        (lambda: KneserNey().fit([], 3), r"no ids to count"),
        (lambda: KneserNey().fit([0, 3], 3), r"got the id 3; expected 0 to 2"),
        (lambda: KneserNey().fit(np.zeros((2, 2), int), 3), r"shape \(2, 2\); expected one text"),
        (lambda: KneserNey(9).fit([0], 10_000), r"10000 types are too many for order 9"),
        (lambda: KneserNey().perplexity([0]), r"has counted no text; call fit"),
        (lambda: KneserNey().fit([0, 1], 2).top([0], 3), r"k is 3; expected 1 to 2"),
        (lambda: KneserNey().fit([0, 1], 2).probabilities([-1]), r"got the id -1"),
    ],
)
def test_mistakes_are_said(call: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.slow
def test_penn_treebank_is_as_in_the_literature(shared_data: Path) -> None:
    """Interpolated Kneser-Ney of orders 3 and 5: 148 and 141 (Mikolov's thesis 2012, table 4.1)."""
    parts = {}
    for part in ("train", "test"):
        lines = gzip.decompress((shared_data / "ptb" / f"ptb.{part}.txt.gz").read_bytes()).decode().splitlines()
        parts[part] = [word for line in lines for word in (*line.split(), "\n")]
    ids = {word: i for i, word in enumerate(dict.fromkeys(parts["train"]))}
    train, test = ([ids[word] for word in parts[part]] for part in ("train", "test"))
    for order, reported in ((3, 148), (5, 141)):
        assert KneserNey(order).fit(train, len(ids)).perplexity(test) == pytest.approx(reported, rel=0.01)
