"""Batches of whole sequences of unequal length: shuffled anew each epoch, alike in length, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError

BatchT = TypeVar("BatchT")
Rows = NDArray[np.int64]

POOL = (
    50  # batches whose examples are sorted by length together: little padding, and still different company each epoch
)
LONG, FAR = 1_000, 20  # steps, and times the median, above which a sequence is far longer than the others


class Batches(Iterator[BatchT], Generic[BatchT]):
    """An endless iterator of batches; an epoch takes every one of the N examples exactly once.

    The order of an epoch follows from ``seed`` and the epoch's number: the examples are shuffled, each pool of 50
    batches is sorted by length and cut, and the batches of the epoch are shuffled. The last batch of an epoch's cut is
    as small as it comes; nothing is dropped. ``collate(rows)`` makes a batch of the examples with these numbers, (B,)
    int64; see :func:`pad` for how. Fits ``elman.training.train``, and resumes from ``state_dict``.

    Raises:
        UserError: no examples at all, or a batch size below 1.

    >>> batches = Batches([3, 1, 2], 2, lambda rows: rows.tolist(), seed=1)
    >>> batches.windows_per_epoch, sorted(next(batches) + next(batches)), batches.epoch
    (2, [0, 1, 2], 1.0)
    """

    def __init__(
        self, lengths: Sequence[int] | NDArray[Any], batch_size: int, collate: Callable[[Rows], BatchT], seed: int = 0
    ) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        if not len(self.lengths):
            raise UserError("there are no examples to train on; give at least one")
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; expected a whole number of at least 1")
        self.batch_size = batch_size
        self.collate = collate
        self.seed = seed
        self.windows_per_epoch = -(-len(self.lengths) // batch_size)
        self._epochs = self._batch = 0
        self._order = self._drawn(0)

    @property
    def epoch(self) -> float:
        """Completed passes over the examples, with the share of the one under way, counted in batches."""
        return self._epochs + self._batch / self.windows_per_epoch

    def __next__(self) -> BatchT:
        batch = self.collate(self._order[self._batch])
        self._batch += 1
        if self._batch == self.windows_per_epoch:
            self._epochs, self._batch = self._epochs + 1, 0
            self._order = self._drawn(self._epochs)
        return batch

    def state_dict(self) -> dict[str, int]:
        """Where the next batch is, and which examples it is taken from."""
        return {"epoch": self._epochs, "batch": self._batch, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where ``state`` was taken; `UserError` if the examples, the batch size or the seed are others."""
        for name, here in self._identity().items():
            if state[name] != here:
                raise UserError(
                    f"the run trained with {state[name]} {name.replace('_', ' ')}, but here it is {here}; resume with "
                    "the data and options it was trained with"
                )
        self._epochs, self._batch = state["epoch"], state["batch"]
        self._order = self._drawn(self._epochs)

    def _identity(self) -> dict[str, int]:
        steps = int(self.lengths.sum())
        return {"examples": len(self.lengths), "steps": steps, "batch_size": self.batch_size, "seed": self.seed}

    def _drawn(self, epoch: int) -> list[Rows]:
        draw = np.random.default_rng((self.seed, epoch))
        shuffled = draw.permutation(len(self.lengths))
        batches: list[Rows] = []
        for start in range(0, len(shuffled), POOL * self.batch_size):
            pool = shuffled[start : start + POOL * self.batch_size]
            batches += _cut(pool[np.argsort(self.lengths[pool], kind="stable")], self.batch_size)
        return [batches[k] for k in draw.permutation(len(batches))]


def by_length(lengths: Sequence[int] | NDArray[Any], batch_size: int) -> Iterator[Rows]:
    """The numbers of all examples once, (B,) int64 at a time, the shortest first: for prediction and evaluation.

    >>> [rows.tolist() for rows in by_length([3, 1, 2], 2)]
    [[1, 2], [0]]
    """
    yield from _cut(np.argsort(np.asarray(lengths, np.int64), kind="stable"), batch_size)


def far_longer(lengths: Sequence[int] | NDArray[Any]) -> Rows:
    """The numbers of the sequences of over 1,000 steps and 20 times the median, which slow a batch, longest first.

    >>> far_longer([30, 41_020, 25, 2_000, 600]).tolist(), far_longer([1_500, 40_000]).tolist()
    ([1], [])
    >>> far_longer([30, 41_020, 25, 2_000, 60]).tolist()
    [1, 3]
    """
    lengths = np.asarray(lengths, np.int64)
    longest = np.argsort(-lengths, kind="stable")
    return longest[lengths[longest] > max(LONG, FAR * float(np.median(lengths)))]


def pad(sequences: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Sequences (T_i, ...) side by side, time first, zeros after their ends: x (T, B, ...) and lengths (B,) int64.

    T is the longest length, at least 1. Integers become int64; floating numbers keep their type.

    >>> x, lengths = pad([np.array([1, 2, 3]), np.array([4])])
    >>> x.T.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    lengths = [len(sequence) for sequence in sequences]
    first = sequences[0]
    kind = np.int64 if np.issubdtype(first.dtype, np.integer) else first.dtype
    padded = np.zeros((max(1, *lengths), len(sequences), *first.shape[1:]), kind)
    for column, sequence in enumerate(sequences):
        padded[: len(sequence), column] = sequence
    return torch.from_numpy(padded), torch.tensor(lengths)


def _cut(rows: Rows, batch_size: int) -> list[Rows]:
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
