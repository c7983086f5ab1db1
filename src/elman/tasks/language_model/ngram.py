"""An n-gram model of token ids with modified Kneser-Ney smoothing: what a recurrent language model has to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError

Ids = NDArray[np.integer[Any]] | Sequence[int]
Whole = NDArray[np.int64]
Real = NDArray[np.float64]

CELLS_AT_ONCE = 1 << 22  # probabilities held at once where all words are ranked
USUAL_DISCOUNT = 0.75  # where a text is too small to estimate one


class _Level(NamedTuple):
    """The k-grams as a sparse matrix of contexts and words, a row a context of k - 1 tokens.

    ``grams`` (G,): row * V + word, ascending; ``values`` (G,): the discounted shares; ``begins`` (R + 1,): where each
    row begins among them; ``contexts`` (R,): the contexts as numbers, ascending; ``left`` (R,): the share that is left
    for shorter contexts.
    """

    contexts: Whole
    begins: Whole
    grams: Whole
    values: Real
    left: Real

    def rows(self, contexts: Whole) -> tuple[Whole, NDArray[np.bool_]]:
        """The row of each context, and whether it was ever seen."""
        rows = np.minimum(np.searchsorted(self.contexts, contexts), len(self.contexts) - 1)
        return rows, self.contexts[rows] == contexts


class KneserNey:
    """Interpolated n-grams with modified Kneser-Ney smoothing (Chen and Goodman 1998, TR-10-98, sections 2.7 and 3).

    p(w | h) = (c(hw) - D(c)) / c(h) + left(h) p(w | h without its first token); the full order counts how often, the
    lower ones after how many different tokens; the last is uniform over the vocabulary. There is one discount D for
    each of the counts 1, 2 and above, estimated from how many n-grams have the counts 1 to 4.

    Args:
        order: tokens of an n-gram, context and word together.
        boundary: the id of a mark, such as a line end, beyond which no context reaches; None lets contexts run on.

    Raises ``UserError`` for an order below 1, and from ``fit`` for ids outside the vocabulary, no ids at all, and an
    order too high for so many types (5 is fine up to 55,000).

    >>> model = KneserNey(order=2).fit([0, 1, 2, 0, 1, 3, 0, 1, 2], vocab_size=4)
    >>> model.probabilities([0, 1]).round(2).tolist()
    [0.25, 0.08, 0.5, 0.17]
    >>> model.top([0, 1, 2], k=1)[:, 0].tolist()
    [0, 1, 2]
    """

    def __init__(self, order: int = 3, *, boundary: int | None = None) -> None:
        if order < 1:
            raise UserError(f"order is {order}; expected at least 1 token an n-gram")
        self.order = order
        self.boundary = boundary

    def fit(self, ids: Ids, vocab_size: int) -> Self:
        """Counts the n-grams of a text ``ids`` (N,), each from 0 to below ``vocab_size``."""
        self.vocab_size = vocab_size
        if (vocab_size + 1) ** (self.order - 1) >= 1 << 63:
            raise UserError(f"{vocab_size} types are too many for order {self.order}; choose a lower order")
        text = self._checked(ids)
        if not text.size:
            raise UserError("there are no ids to count; give a text of at least one token")
        grams = np.column_stack([self.contexts(text), text])
        levels = []
        counts = np.ones(len(grams), np.int64)
        for _ in range(self.order):
            grams, counts = _unique(grams, counts, vocab_size + 1)
            levels.append(_level(grams, counts, vocab_size))
            # One k-gram counts once for the (k - 1)-gram it ends with: after how many different tokens that stands.
            grams, counts = grams[:, 1:], np.ones(len(grams), np.int64)
        self._levels = levels[::-1]
        return self

    def contexts(self, ids: Ids) -> Whole:
        """(N, order - 1): what stands before each of ``ids`` (N,).

        What lies before the text or beyond a boundary has the boundary's id, or ``vocab_size`` where there is none.
        """
        text = self._checked(ids)
        start = self.vocab_size if self.boundary is None else self.boundary
        padded = np.concatenate([np.full(self.order - 1, start, np.int64), text])
        columns = [padded[k : k + len(text)] for k in range(self.order - 1)]
        if self.boundary is not None:
            for k in range(self.order - 3, -1, -1):
                columns[k] = np.where(columns[k + 1] == start, start, columns[k])
        return np.column_stack(columns) if columns else np.zeros((len(text), 0), np.int64)

    def log_probabilities(self, ids: Ids) -> Real:
        """(N,): the natural logarithm of the probability of each of ``ids`` after those before it."""
        text = self._checked(ids)
        contexts = self.contexts(text)
        p = np.full(len(text), 1 / self.vocab_size)
        for level, keys in zip(self._levels, self._keys(contexts), strict=True):
            rows, seen = level.rows(keys)
            wanted = rows * self.vocab_size + text
            place = np.minimum(np.searchsorted(level.grams, wanted), len(level.grams) - 1)
            share = np.where(level.grams[place] == wanted, level.values[place], 0.0)
            p = np.where(seen, share + level.left[rows] * p, p)
        found: Real = np.log(p)
        return found

    def perplexity(self, ids: Ids) -> float:
        """The exponential of the mean negative log probability of ``ids``."""
        return math.exp(-float(self.log_probabilities(ids).mean()))

    def probabilities(self, ids: Ids) -> Real:
        """(V,): how likely each type is to come after the text ``ids``, of which the last order - 1 count."""
        return self._dense(self._next_context(ids))[0]

    def top(self, ids: Ids, k: int = 5) -> Whole:
        """(N, k): the likeliest types in the place of each of ``ids`` (N,), given those before it; the likeliest first.

        Equal ones come in the order of their ids.
        """
        if not 1 <= k <= self.vocab_size:
            raise UserError(f"k is {k}; expected 1 to {self.vocab_size}, the number of types")
        different, place = np.unique(self.contexts(ids), axis=0, return_inverse=True)
        ranked = np.empty((len(different), k), np.int64)
        rows = max(1, CELLS_AT_ONCE // self.vocab_size)
        for begin in range(0, len(different), rows):
            p = self._dense(different[begin : begin + rows])
            best = np.sort(np.argpartition(p, -k, axis=1)[:, -k:], axis=1)
            order = np.argsort(-np.take_along_axis(p, best, 1), axis=1, kind="stable")
            ranked[begin : begin + rows] = np.take_along_axis(best, order, 1)
        return ranked[place.ravel()]

    def _next_context(self, ids: Ids) -> Whole:
        text = self._checked(ids)
        return self.contexts(np.append(text, 0))[-1:]

    def _dense(self, contexts: Whole) -> Real:
        """(M, V): the probabilities after contexts (M, order - 1)."""
        size = self.vocab_size
        p = np.full((len(contexts), size), 1 / size)
        for level, keys in zip(self._levels, self._keys(contexts), strict=True):
            rows, seen = level.rows(keys)
            p[seen] *= level.left[rows[seen], None]
            for m in np.flatnonzero(seen):
                row = rows[m]
                grams = slice(level.begins[row], level.begins[row + 1])
                p[m, level.grams[grams] - row * size] += level.values[grams]
        return p

    def _keys(self, contexts: Whole) -> list[Whole]:
        """For each order, the contexts' last tokens as one number a row."""
        return [_number(contexts[:, contexts.shape[1] - k :], self.vocab_size + 1) for k in range(self.order)]

    def _checked(self, ids: Ids) -> Whole:
        if not hasattr(self, "vocab_size"):
            raise UserError("this n-gram model has counted no text; call fit(ids, vocab_size)")
        text = np.asarray(ids, np.int64)
        if text.ndim != 1:
            raise UserError(f"got ids of shape {text.shape}; expected one text (N,)")
        if text.size and not 0 <= text.min() <= text.max() < self.vocab_size:
            bad = text[(text < 0) | (text >= self.vocab_size)][0]
            raise UserError(f"got the id {bad}; expected 0 to {self.vocab_size - 1}")
        return text


def _number(tokens: Whole, base: int) -> Whole:
    """Each row of ``tokens`` (M, K) as one number of that base."""
    found = np.zeros(len(tokens), np.int64)
    for column in tokens.T:
        found = found * base + column
    return found


def _unique(grams: Whole, counts: Whole, base: int) -> tuple[Whole, Whole]:
    """The different rows of ``grams`` in ascending order, and the sums of their ``counts``."""
    _, inverse = np.unique(_number(grams[:, :-1], base), return_inverse=True)
    _, first, place = np.unique(inverse * base + grams[:, -1], return_index=True, return_inverse=True)
    return grams[first], np.bincount(place, weights=counts).astype(np.int64)


def _level(grams: Whole, counts: Whole, size: int) -> _Level:
    """The discounted shares of one order's ``grams`` (G, k), ascending, with their ``counts`` (G,)."""
    contexts, begins, row = np.unique(_number(grams[:, :-1], size + 1), return_index=True, return_inverse=True)
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(row, weights=counts)
    return _Level(
        contexts,
        np.append(begins, len(grams)),
        row * size + grams[:, -1],
        (counts - discounts) / totals[row],
        np.bincount(row, weights=discounts) / totals,
    )


def _discounts(counts: Whole) -> Real:
    """What is taken from the counts 0, 1, 2, and 3 or more: Chen and Goodman's equation 17."""
    n1, n2, n3, n4 = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return np.array([0.0, USUAL_DISCOUNT, USUAL_DISCOUNT, USUAL_DISCOUNT])
    y = n1 / (n1 + 2 * n2)
    found = [0.0, *(c - (c + 1) * y * more / n for c, n, more in ((1, n1, n2), (2, n2, n3), (3, n3, n4)))]
    # Outside these bounds, which large texts keep, there would be nothing left to share or something negative.
    return np.clip(found, [0.0, 0.05, 0.05, 0.05], [0.0, 0.95, 1.95, 2.95])
