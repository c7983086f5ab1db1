"""Examples kept back from training, to judge by: of every class its share, or whole groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from ..errors import UserError
from .batches import Rows


def hold_out(
    count: int,
    share: float = 0.1,
    *,
    labels: Sequence[Hashable] | None = None,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> tuple[Rows, Rows]:
    """The numbers of the examples to train on and of those to judge by, ascending, drawn by ``seed``.

    With ``labels`` (one an example) every class gives its share, rounded, and keeps at least one example for training.
    With ``groups`` (one an example) whole groups are drawn until the share is reached, so that no group is on both
    sides; it cannot be combined with ``labels``. With neither the examples are drawn alike.

    Raises:
        UserError: a share that is not between 0 and 1, or one side that would be left empty.

    >>> train, valid = hold_out(10, 0.2, labels=["a"] * 5 + ["b"] * 5)
    >>> len(train), [row // 5 for row in valid.tolist()]
    (8, [0, 1])
    """
    if not 0 < share < 1:
        raise UserError(f"valid_share is {share}; expected a part of the examples, above 0 and below 1")
    draw = np.random.default_rng(seed)
    if groups is not None:
        valid = _whole_groups(groups, share * count, draw)
    else:
        valid = []
        for rows in _rows_by(labels if labels is not None else [0] * count).values():
            kept = min(round(share * len(rows)), len(rows) - 1)
            valid += draw.permutation(rows)[:kept].tolist()
        # Classes too small to give any: the few examples that the share asks for come from all of them, but from those
        # that are alone in their class only where all are.
        if not valid and count > 1:
            sizes = Counter(labels or ())
            several = [row for row in range(count) if labels is None or sizes[labels[row]] > 1] or list(range(count))
            valid = draw.permutation(several)[: max(1, round(share * count))].tolist()
    if not 0 < len(valid) < count:
        what = f"{count} examples" if groups is None else f"{len(set(groups))} groups"
        raise UserError(f"{what} cannot be split into a part to learn from and a part to judge by; give more data")
    chosen = np.zeros(count, bool)
    chosen[valid] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _rows_by(keys: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return rows


def _whole_groups(groups: Sequence[Hashable], wanted: float, draw: np.random.Generator) -> list[int]:
    members = list(_rows_by(groups).values())
    valid: list[int] = []
    # The last group drawn must stay for training, whatever the share.
    for number in draw.permutation(len(members))[:-1]:
        if len(valid) >= wanted:
            break
        valid += members[number]
    return valid
