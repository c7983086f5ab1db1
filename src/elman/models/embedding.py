"""Vectors of tokens, some of them read as unknown while training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class TokenEmbedding(nn.Embedding):
    """``vectors = embedding(ids)``, ids (T, B) and vectors (T, B, E), as ``torch.nn.Embedding``.

    In training each token is read as the type ``unknown_id`` with the probability ``word_dropout`` (Iyyer et al. 2015
    leave words out; read as unknown they also teach the vector of unknown words); where ``unknown_id`` is None its
    vector is zero instead.

    >>> embedding = TokenEmbedding(4, 2, word_dropout=0.999, unknown_id=1)
    >>> torch.equal(embedding(torch.tensor([[3]])), embedding.weight[1].view(1, 1, 2))
    True
    """

    def __init__(
        self, types: int, size: int, *, word_dropout: float = 0.0, unknown_id: int | None = None, **place: Any
    ) -> None:
        super().__init__(types, size, **place)
        self.word_dropout = word_dropout
        self.unknown_id = unknown_id

    def forward(self, ids: Tensor) -> Tensor:
        if not (self.training and self.word_dropout):
            return super().forward(ids)
        dropped = torch.rand(ids.shape, device=ids.device) < self.word_dropout
        if self.unknown_id is not None:
            return super().forward(ids.masked_fill(dropped, self.unknown_id))
        return super().forward(ids).masked_fill(dropped.unsqueeze(-1), 0.0)
