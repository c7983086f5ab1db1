"""What the estimators of the jobs that write share: learning to write, the search for texts, how good they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...data import Batches, Sequences, by_length
from ...errors import UserError, nearest
from ...models import CaptionNet, Seq2SeqNet
from ...models.decoder import DecoderNet, DecoderState
from ..sequence_task import Lesson, SequenceEstimator, judging, moved
from .bleu import bleu
from .settings import SearchSettings
from .writer import Ids, Target, Writer, as_target, exact, perplexity, shifted, writing_loss

EVALUATION_ROWS = 64
WritingNet = Seq2SeqNet | CaptionNet


@dataclasses.dataclass(frozen=True)
class Exercises:
    """Texts to write as ids, and ``told(rows)``, what ``net.begin`` takes for some of them."""

    targets: Sequence[Ids]
    told: Callable[[NDArray[np.int64]], tuple[Tensor, ...]]

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
        """What the net is begun with, the ids to write (T, N), and which of them count (T, N)."""
        return (*self.told(rows), *as_target([self.targets[row] for row in rows]))


class WritingEstimator(SequenceEstimator):
    """Base of the estimators whose net has a decoder that writes texts; settings have a group ``search``."""

    writer_: Writer

    def set_search(self, **options: Any) -> Self:
        """Sets how texts are found from now on, by the options of the group ``search``; returns itself.

        Raises ``UserError`` for a name that is none of them and for a value out of range.
        """
        self._require_net()
        search: SearchSettings = self.settings_.search
        known = [each.name for each in dataclasses.fields(search)]
        for name in options:
            if name not in known:
                raise UserError(f"the search has no option {name!r}; {nearest(name, known)}")
        search = dataclasses.replace(search, **options)
        self._check_search(search)
        self.settings_ = dataclasses.replace(self.settings_, search=search)
        return self

    def predictions(
        self, sources: list[str], top: int, attention_map: str | Path | None = None
    ) -> Iterator[tuple[dict[str, Any], str]]:
        """As of every job; where the model looked for the first example is drawn to the PNG file ``attention_map``."""
        raise NotImplementedError

    def _check_search(self, search: SearchSettings) -> None:
        """Refuses what this model cannot do."""

    def _taught(self, decoder: DecoderNet, state: DecoderState, read: Tensor, epoch: float) -> Tensor:
        """What the decoder reads in training where ``read`` (T, N) is right."""
        return read

    def _train_to_write(
        self,
        net: WritingNet,
        exercises: Exercises,
        held: Exercises,
        about: Mapping[str, str],
        *,
        lengths: Sequence[int],
        smoothing: float,
        **how: Any,
    ) -> None:
        """Trains ``net``; exercises alike in ``lengths`` go into one batch. ``how`` is that of ``_train``."""

        def loss(batch: tuple[Tensor, ...]) -> Tensor:
            *told, ids, valid = batch
            state, read = net.begin(*told), shifted(ids, self.writer_.end)
            if net.training:
                read = self._taught(net.decoder, state, read, batches.epoch)
            return writing_loss(net.decoder, state, read, Target(ids, valid), smoothing)

        settings = self.settings_
        batches = Batches(lengths, settings.machine.batch_size, exercises.batch, settings.training.seed)
        lesson = Lesson(
            net,
            batches,
            loss,
            lambda batch: int(batch[-1].sum()),
            lambda: self._perplexity(net, held),
            about,
            counted="tokens",
        )
        self._train(lesson, **how)

    def _perplexity(self, net: WritingNet, exercises: Exercises) -> dict[str, float]:
        like = next(net.parameters())

        def parts() -> Iterator[tuple[Tensor, int]]:
            for rows in by_length([len(ids) for ids in exercises.targets], EVALUATION_ROWS):
                *told, ids, valid = moved(exercises.batch(rows), like)
                read, target = shifted(ids, self.writer_.end), Target(ids, valid)
                yield writing_loss(net.decoder, net.begin(*told), read, target), int(valid.sum())

        with judging(net):
            return perplexity(parts())

    def _compared(self, answers: Sequence[str], wanted: Sequence[Sequence[str]], lower: bool) -> dict[str, Any]:
        """How near answers are to the texts wanted, one or several each; ``lower``: the model knows no capitals."""
        score, signature = bleu(answers, [[text.lower() if lower else text for text in texts] for texts in wanted])
        # As the tokens can write them: words know no blanks of their own.
        each = (self.writer_.ids(Sequences("texts", texts, str)) for texts in wanted)
        known = [[self.writer_.text(ids) for ids in texts] for texts in each]
        return {
            "written": len(answers),
            "exact": exact(answers, known),
            "bleu": score,
            "bleu_signature": signature,
        }


def short_enough(texts: Sequence[Ids], most: int | None, what: str) -> list[int]:
    """Which texts have at most so many tokens beside their end; `UserError` where none has."""
    rows = [row for row, ids in enumerate(texts) if most is None or len(ids) <= most + 1]
    if not rows:
        raise UserError(f"every {what} has more than max_length={most} tokens; raise it")
    return rows


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of ``count`` rows, taken evenly, the first and the last among them.

    >>> evenly(10, 4).tolist(), evenly(2, 4).tolist()
    ([0, 3, 6, 9], [0, 1])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
