"""Parallel streams of windows for stateful training, and windows that score every document once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from .token_set import TokenSet

HALVED, SIGMA, FEWEST_STEPS = 0.05, 5.0, 5  # of windows whose steps vary
RELEASE_EVERY = 64  # windows between two releases of mapped pages; each row touches a page or two meanwhile


class Window(NamedTuple):
    """``x``, ``y`` (T, B) int64: ids, and the ids that follow; ``resets`` (T, B) bool: the state starts anew here."""

    x: Tensor
    y: Tensor
    resets: Tensor


class Streams(Iterator[Window]):
    """An endless iterator of windows read by ``batch_size`` cursors, each through a contiguous segment of the text.

    The N - 1 transitions are cut into B equal segments (up to B - 1 at the very end are left over); row b of an epoch
    reads segment b from its start to its end, ``window`` steps at a time, the last window of an epoch being as short as
    it comes. The next window goes on where the last one ended, so that the state can be carried. ``resets`` marks the
    first step of an epoch, and, unless ``resets=False``, every step that reads the start of a document. With ``vary``,
    a seed, a window has a normal number of steps of sigma 5, around ``window`` or, one in twenty, around half of it,
    and at least 5 (Merity et al. 2018, arXiv:1708.02182): other ones in every epoch, the same from the same seed;
    ``windows_per_epoch`` is then what is expected. Of ``world`` processes, number ``rank`` gets rows rank * B / world
    to (rank + 1) * B / world; ``batch_size`` is the whole B.
    `UserError`: segments shorter than a window, a batch that the processes cannot share equally.

    >>> streams = Streams(TokenSet(np.arange(12), np.array([0, 3]), 11), batch_size=2, window=4)
    >>> x, y, resets = next(streams)
    >>> x.T.tolist(), y.T.tolist(), resets.T.int().tolist()
    ([[0, 1, 2, 3], [5, 6, 7, 8]], [[1, 2, 3, 4], [6, 7, 8, 9]], [[1, 0, 0, 1], [1, 0, 0, 0]])
    >>> next(streams).x.T.tolist(), streams.epoch
    ([[4], [9]], 1.0)
    """

    def __init__(
        self,
        tokenset: TokenSet,
        batch_size: int,
        window: int,
        rank: int = 0,
        world: int = 1,
        resets: bool = True,
        vary: int | None = None,
    ) -> None:
        if batch_size < 1 or window < 1:
            raise UserError(f"batch of {batch_size} and window of {window}; expected at least 1 of each")
        if batch_size % world:
            raise UserError(
                f"a batch of {batch_size} cannot be shared by {world} processes; choose a multiple of {world}"
            )
        transitions = max(len(tokenset) - 1, 0)
        self.segment = transitions // batch_size
        if self.segment < window:
            raise UserError(
                f"the training text has {transitions} steps, {self.segment} for each of {batch_size} streams, but a "
                f"window needs {window}; give more text, or choose a smaller batch or window"
            )
        self.tokenset = tokenset
        self.window = window
        self.vary = vary
        self.windows_per_epoch = math.ceil(self.segment / (window if vary is None else window * (1 - HALVED / 2)))
        self._begins = np.arange(rank * batch_size // world, (rank + 1) * batch_size // world) * self.segment
        self._document_resets = resets
        self._position = 0
        self._epochs = 0

    @property
    def epoch(self) -> float:
        """Completed passes over the text, with the share of the one under way."""
        return self._epochs + self._position / self.segment

    def __next__(self) -> Window:
        """The next ``window`` steps of every row, fewer at the end of an epoch."""
        steps = min(self._drawn(), self.segment - self._position)
        begins = self._begins + self._position
        rows = np.stack([self.tokenset.tokens[begin : begin + steps + 1] for begin in begins])
        resets = np.zeros((steps, len(begins)), bool)
        resets[0] = self._position == 0
        if self._document_resets:
            self._mark_documents(resets, begins)
        self._advance(steps)
        ids = torch.from_numpy(rows.T.astype(np.int64))
        return Window(ids[:-1], ids[1:], torch.from_numpy(resets))

    def _drawn(self) -> int:
        """The steps of the next window; drawn from its place, so that nothing has to be remembered."""
        if self.vary is None:
            return self.window
        draw = np.random.default_rng((self.vary, self._epochs, self._position))
        around = self.window / (1 + (draw.random() < HALVED))
        return max(FEWEST_STEPS, round(draw.normal(around, SIGMA)))

    def state_dict(self) -> dict[str, int]:
        """Where the next window begins; the same for every rank."""
        return {"epoch": self._epochs, "position": self._position, "segment": self.segment}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where ``state`` was taken; `UserError` if the text or the batch is another."""
        if state["segment"] != self.segment:
            raise UserError(
                f"the run read streams of {state['segment']} steps, but this text and batch give {self.segment}; "
                "resume with the same text, split, tokenizer and batch"
            )
        self._epochs, self._position = state["epoch"], state["position"]

    def _mark_documents(self, resets: NDArray[np.bool_], begins: NDArray[np.int64]) -> None:
        starts = self.tokenset.starts
        first = np.searchsorted(starts, begins)
        last = np.searchsorted(starts, begins + len(resets))
        for row in np.flatnonzero(last > first):
            resets[starts[first[row] : last[row]] - begins[row], row] = True

    def _advance(self, steps: int) -> None:
        self._position += steps
        if (self._position // self.window) % RELEASE_EVERY == 0:
            self.tokenset.release()
        if self._position == self.segment:
            self._epochs, self._position = self._epochs + 1, 0


class EvaluationWindow(NamedTuple):
    """A `Window` and ``scored`` (T, B) bool: which targets count."""

    x: Tensor
    y: Tensor
    resets: Tensor
    scored: Tensor


def evaluation_windows(tokenset: TokenSet, window: int, batch_size: int) -> Iterator[EvaluationWindow]:
    """Every document exactly once, from its start and a reset state, in windows of at most ``window`` steps, (T, B).

    Whole documents follow each other on at most ``batch_size`` rows, longest first to the row with least to read; a row
    that has come to its end is filled with id 0, not scored. Carry the state from window to window.

    >>> tokens = TokenSet(np.array([0, 5, 6, 0, 7, 0]), np.array([0, 3]), 3)
    >>> x, y, resets, scored = next(evaluation_windows(tokens, window=8, batch_size=2))
    >>> x.T.tolist(), y.T.tolist(), scored.T.int().tolist()
    ([[0, 5, 6], [0, 7, 0]], [[5, 6, 0], [7, 0, 0]], [[1, 1, 1], [1, 1, 0]])
    """
    rows = [_Row(spans) for spans in _packed(tokenset.spans, batch_size)]
    steps = max((row.steps for row in rows), default=0)
    for count, begin in enumerate(range(0, steps, window), 1):
        shape = (min(window, steps - begin), len(rows))
        x, y = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        resets, scored = np.zeros(shape, bool), np.zeros(shape, bool)
        for b, row in enumerate(rows):
            at, opens = row.read(begin, begin + shape[0])
            x[: len(at), b], y[: len(at), b] = tokenset.tokens[at], tokenset.tokens[at + 1]
            resets[: len(at), b], scored[: len(at), b] = opens, True
        if count % RELEASE_EVERY == 0:
            tokenset.release()
        yield EvaluationWindow(*map(torch.from_numpy, (x, y, resets, scored)))


class _Row:
    """Documents read one after the other: ``spans`` (documents, 2) of transitions."""

    def __init__(self, spans: NDArray[np.int64]) -> None:
        self._begins = spans[:, 0]
        self._ends = np.cumsum(spans[:, 1] - spans[:, 0])
        self._opens = np.concatenate([[0], self._ends[:-1]])
        self.steps = int(self._ends[-1])

    def read(self, begin: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """For steps ``begin`` to ``stop`` of the row: the token read, and whether it opens a document."""
        step = np.arange(begin, min(stop, self.steps))
        document = np.searchsorted(self._ends, step, side="right")
        inside = step - self._opens[document]
        return self._begins[document] + inside, inside == 0


def _packed(spans: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """The spans dealt to at most ``batch_size`` rows, longest first, each to the row with least to read."""
    lengths = spans[:, 1] - spans[:, 0]
    order = [d for d in np.argsort(-lengths, kind="stable") if lengths[d] > 0]
    rows: list[list[int]] = [[] for _ in range(min(batch_size, len(order)))]
    loads = [0] * len(rows)
    for document in order:
        least = loads.index(min(loads))
        rows[least].append(document)
        loads[least] += int(lengths[document])
    return [spans[row] for row in rows]
