"""Texts that a decoder learns to write and writes: as targets, their loss, the search for the best, and draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...data import Encoder, Sequences, pad
from ...generation import Sampler, beam_decode, draw_decode
from ...models.decoder import DecoderNet, DecoderState
from .settings import SearchSettings

Ids = NDArray[np.int64]


class Answer(NamedTuple):
    """A text, its score (see ``elman.generation.beam_decode``) and the logarithm of its probability."""

    text: str
    score: float
    log_prob: float


class Target(NamedTuple):
    """Ids (T, B) to be written, of which those at ``valid`` (T, B) count."""

    ids: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Writer:
    """Texts as ids with an end mark and back, and what a decoder of these ids writes.

    ``longest`` is the most tokens of a text of training, its end mark included.

    >>> texts = Sequences("texts", ["so good", "so"], str)
    >>> writer = Writer(Encoder.learned(texts, tokens="word", min_count=0), 3)
    >>> [ids.tolist() for ids in writer.ids(texts)], writer.text([2, 3, 0])
    ([[2, 3, 0], [2, 0]], 'so good')
    """

    encoder: Encoder
    longest: int

    @property
    def end(self) -> int:
        """The id before the first token and after the last."""
        assert self.encoder.tokenizer is not None and self.encoder.tokenizer.end_id is not None
        return self.encoder.tokenizer.end_id

    def ids(self, texts: Sequences) -> list[Ids]:
        """Every text as ids, the end mark last."""
        return [np.append(ids, self.end).astype(np.int64) for ids in self.encoder(texts)]

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids, with an end mark or without."""
        assert self.encoder.tokenizer is not None
        return self.encoder.tokenizer.decode(i for i in ids if i != self.end).strip()

    def best(
        self, decoder: DecoderNet, state: DecoderState, search: SearchSettings, n_best: int = 1
    ) -> list[list[Answer]]:
        """For each row of ``state`` the ``n_best`` texts that a beam of at least so many finds."""
        found = beam_decode(
            decoder,
            state,
            length=search.longest or self.longest,
            width=max(search.beam, n_best),
            n_best=n_best,
            length_penalty=search.length_penalty,
            coverage_penalty=search.coverage_penalty,
            **self._marks,
        )
        return [[Answer(self.text(each.ids), each.score, each.log_prob) for each in row] for row in found]

    def drawn(
        self,
        decoder: DecoderNet,
        state: DecoderState,
        sampling: Sampler,
        longest: int | None = None,
        generator: torch.Generator | None = None,
    ) -> list[str]:
        """For each row of ``state`` a text drawn by ``sampling``, of at most ``longest`` tokens."""
        drawn = draw_decode(
            decoder, state, sampling, length=longest or self.longest, generator=generator, **self._marks
        )
        return [self.text(ids) for ids in drawn]

    @property
    def _marks(self) -> dict[str, Any]:
        unknown = self.encoder.tokenizer and self.encoder.tokenizer.unknown_id
        return {"start": self.end, "stop": self.end, "forbid": () if unknown is None else (unknown,)}


def as_target(texts: Sequence[Ids]) -> Target:
    """Texts side by side, with zeros behind their ends, which do not count."""
    ids, lengths = pad(texts)
    return Target(ids, torch.arange(len(ids)).unsqueeze(1) < lengths)


def shifted(target: Tensor, start: int) -> Tensor:
    """What is read where ``target`` (T, B) is to be written: the start mark, then all but the last.

    >>> shifted(torch.tensor([[3], [4]]), 0).tolist()
    [[0], [3]]
    """
    return F.pad(target[:-1], (0, 0, 1, 0), value=start)


def writing_loss(
    decoder: DecoderNet, state: DecoderState, read: Tensor, target: Target, smoothing: float = 0.0
) -> Tensor:
    """Mean loss, nats a token that counts, of writing ``target`` after reading ``read`` (T, B)."""
    mixed, _, _ = decoder.read(read, state)
    scores = decoder.scores(mixed[target.valid]).float()
    return F.cross_entropy(scores, target.ids[target.valid], label_smoothing=smoothing)


def perplexity(parts: Iterable[tuple[Tensor, int]]) -> dict[str, float]:
    """Mean loss a token and its exponential, from mean losses and how many tokens each is of.

    >>> perplexity([(torch.tensor(0.0), 1), (torch.tensor(math.log(4)), 1)])["perplexity"]  # doctest: +ELLIPSIS
    2.0...
    """
    total, tokens = 0.0, 0
    for mean, count in parts:
        total += float(mean.double()) * count
        tokens += count
    loss = total / max(tokens, 1)
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}


def exact(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> float:
    """The share of answers that are one of the texts wanted.

    >>> exact(["a", "b"], [["a", "c"], ["d"]])
    0.5
    """
    return float(np.mean([answer in texts for answer, texts in zip(answers, wanted, strict=True)]))
