"""The tagger: a sequence in, scores of the tags of every step out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..initialisation import start_linear
from ..layers.recurrent import CellMaker, place_of
from .crf import CRF
from .reader import Reader
from .spelling import Spelling


class TaggerNet(nn.Module):
    """A ``Reader`` of tokens with their spelling, or of numbers; a linear layer at every step; softmax or a CRF.

    ``scores = net(x, lengths=None, spelling=None)`` with x (T, B) ids or (T, B, F) numbers, lengths (B,) and scores
    (T, B, K). ``losses``, ``decode`` and ``probabilities`` say what scores mean. Nothing past a row's length is read.

    Args:
        tags: tags K.
        cell, hidden_size, num_layers: as in ``elman.Recurrent``.
        bidirectional: also read from the end to the start; the outputs of both are concatenated.
        crf: score whole sequences by an ``elman.models.CRF``; else every step by itself.
        dropout: probability of dropping: in the reader, and before the scores.
        init: start of all weights but the CRF's alike, see ``elman.Cell``.
        **options: those of ``Reader``, and of the cells.

    Raises ``UserError`` where ``Reader`` does.

    >>> net = TaggerNet(3, "rnn", 12, features=3, crf=True)
    >>> lengths = torch.tensor([5, 3])
    >>> net.decode(net(torch.randn(5, 2, 3), lengths), lengths).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        tags: int,
        cell: CellMaker | Sequence[CellMaker] = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int | None = None,
        *,
        bidirectional: bool = True,
        crf: bool = False,
        dropout: float = 0.0,
        init: str = "torch",
        **options: Any,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.reader = Reader(
            cell, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, init=init, **options
        )
        place = place_of(options)
        self.head = nn.Linear(self.reader.output_size, tags, **place)
        self.crf = CRF(tags, **place) if crf else None
        start_linear(self.head, init)

    def forward(self, x: Tensor, lengths: Tensor | None = None, spelling: Spelling | None = None) -> Tensor:
        y = self.reader(x, lengths, spelling)
        return self.head(F.dropout(y, self.dropout, self.training))

    def losses(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The negative log likelihood of the tags (T, B) of each row, summed over its steps, in nats, (B,)."""
        scores = scores.float() if scores.dtype == torch.bfloat16 else scores
        if self.crf is not None:
            return self.crf(scores, tags, lengths)
        past = _past(tags, lengths)
        targets = tags.masked_fill(past, 0).flatten()
        steps = F.cross_entropy(scores.flatten(0, 1), targets, reduction="none").view_as(tags)
        return steps.masked_fill(past, 0.0).sum(0)

    def decode(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The likeliest tags, (T, B): of every step by itself, with a CRF of the whole sequence; 0 past the end."""
        if self.crf is not None:
            return self.crf.decode(scores, lengths)
        best = scores.argmax(-1)
        return best.masked_fill(_past(best, lengths), 0)

    def probabilities(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The probability of every tag at every step, (T, B, K)."""
        return scores.softmax(-1) if self.crf is None else self.crf.marginals(scores, lengths)


def _past(steps: Tensor, lengths: Tensor) -> Tensor:
    """Which steps are past their row's end, (T, B)."""
    return torch.arange(steps.shape[0], device=steps.device).unsqueeze(1) >= lengths
