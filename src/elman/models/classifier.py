"""The classifier: a sequence in, scores of the classes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError, nearest
from ..initialisation import start_linear
from ..layers.recurrent import CellMaker, place_of
from .pooling import POOLINGS, Pooling
from .reader import Reader
from .spelling import Spelling


class ClassifierNet(nn.Module):
    """A ``Reader`` of tokens or numbers, pooling of its outputs over time, a linear layer.

    ``scores = net(x, lengths=None, spelling=None)`` with x (T, B) ids or (T, B, F) numbers, lengths (B,) and scores
    (B, C) before the softmax. Nothing past a row's length is read.

    Args:
        classes: classes C.
        cell, hidden_size, num_layers: as in ``elman.Recurrent``.
        bidirectional: also read from the end to the start; the outputs of both are concatenated.
        pooling: how T outputs become one, see ``elman.models.pooling``: "last", "mean", "max" or "attention".
        dropout: probability of dropping: in the reader, and before the scores.
        init: start of all weights alike, see ``elman.Cell``.
        **options: those of ``Reader``, and of the cells.

    Raises ``UserError`` where ``Reader`` does, and for an unknown pooling.

    >>> net = ClassifierNet(3, "gru", 8, vocab_size=10, bidirectional=True, pooling="max")
    >>> net(torch.randint(10, (5, 2)), torch.tensor([5, 3])).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        classes: int,
        cell: CellMaker | Sequence[CellMaker] = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int | None = None,
        *,
        bidirectional: bool = False,
        pooling: str = "last",
        dropout: float = 0.0,
        init: str = "torch",
        **options: Any,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise UserError(f"pooling is {pooling!r}; {nearest(pooling, POOLINGS)}")
        self.dropout = dropout
        self.reader = Reader(
            cell, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, init=init, **options
        )
        size, place = self.reader.output_size, place_of(options)
        self.pooling: Pooling = POOLINGS[pooling](size, bidirectional, **place)
        self.head = nn.Linear(size, classes, **place)
        start_linear(self.head, init)

    def forward(self, x: Tensor, lengths: Tensor | None = None, spelling: Spelling | None = None) -> Tensor:
        return self.head(F.dropout(self.pooled(x, lengths, spelling), self.dropout, self.training))

    def pooled(self, x: Tensor, lengths: Tensor | None = None, spelling: Spelling | None = None) -> Tensor:
        """What the scores are made from, (B, output size)."""
        if lengths is None:
            lengths = torch.full((x.shape[1],), x.shape[0], device=x.device)
        return self.pooling(self.reader(x, lengths, spelling), lengths)
