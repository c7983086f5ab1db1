"""The classifier: a sequence in, scores of the classes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError, nearest
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.recurrent import CellMaker
from .embedding import TokenEmbedding
from .frames import frame_encoder
from .pooling import POOLINGS, Pooling
from .spelling import Speller, Spelling, spelled


class ClassifierNet(nn.Module):
    """Embedded tokens or numbers, a stack of any cells in one or both directions, pooling over time, a linear layer.

    ``scores = net(x, lengths=None, spelling=None)`` with x (T, B) ids or (T, B, F) numbers, lengths (B,) and scores
    (B, C) before the softmax. Nothing past a row's length is read.

    Args:
        classes: classes C.
        cell, hidden_size, num_layers: as in ``elman.Recurrent``.
        vocab_size: token types of ids; None for numbers.
        features: numbers a step, F; None for ids.
        characters: character types, for how tokens are spelt, see ``Speller``; None reads no spelling.
        frames: "cnn" sends every step of numbers through a ``FrameEncoder`` first; None feeds them as they are.
        frame_shape: height, width and, where there are several, channels of such a step.
        frame_size: features of a frame's vector.
        bidirectional: also read from the end to the start; the outputs of both are concatenated.
        embedding_size: features of a token's vector.
        character_size: units of the speller, each way.
        pooling: how T outputs become one, see ``elman.models.pooling``: "last", "mean", "max" or "attention".
        dropout: probability of dropping, on the embedded input, between layers and before the scores.
        word_dropout, unknown_id: as in ``TokenEmbedding``.
        init: start of cells, embedding and output layer alike, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    Raises ``UserError`` unless exactly one of ``vocab_size`` and ``features`` is given, for characters of numbers, and
    for an unknown pooling.

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
        vocab_size: int | None = None,
        features: int | None = None,
        characters: int | None = None,
        frames: str | None = None,
        frame_shape: Sequence[int] = (),
        frame_size: int = 64,
        bidirectional: bool = False,
        embedding_size: int = 64,
        character_size: int = 32,
        pooling: str = "last",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown_id: int | None = None,
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if (vocab_size is None) == (features is None):
            raise UserError(f"vocab_size={vocab_size} and features={features}; give one, for ids or for numbers")
        if vocab_size is None and characters is not None:
            raise UserError(f"characters={characters}, but numbers are not spelt; leave it out")
        if pooling not in POOLINGS:
            raise UserError(f"pooling is {pooling!r}; {nearest(pooling, POOLINGS)}")
        for name, value in (("dropout", dropout), ("word_dropout", word_dropout)):
            if not 0 <= value < 1:
                raise UserError(f"{name}={value}; give the probability of dropping, 0 or more and below 1")
        self.dropout = dropout
        place = {name: cell_options[name] for name in ("device", "dtype") if name in cell_options}
        self.embedding = None
        if vocab_size is not None:
            self.embedding = TokenEmbedding(
                vocab_size, embedding_size, word_dropout=word_dropout, unknown_id=unknown_id, **place
            )
        inputs = features or embedding_size
        self.frames = frame_encoder(frames, frame_shape, frame_size, **place)
        if self.frames is not None:
            inputs = frame_size
        self.speller = None
        if characters is not None:
            self.speller = Speller(cell, characters, character_size, dropout=dropout, init=init, **cell_options)
            inputs += self.speller.output_size
        self.recurrent = Recurrent(
            cell, inputs, hidden_size, num_layers, bidirectional=bidirectional, init=init, **cell_options
        )
        # Set here: given to a stack of one layer it warns that nothing is dropped, but this net drops around the stack.
        self.recurrent.dropout = dropout
        self.pooling: Pooling = POOLINGS[pooling](self.recurrent.output_size, bidirectional, **place)
        self.head = nn.Linear(self.recurrent.output_size, classes, **place)
        for layer in (self.embedding, self.head):
            if layer is not None:
                start_linear(layer, init)

    def forward(self, x: Tensor, lengths: Tensor | None = None, spelling: Spelling | None = None) -> Tensor:
        return self.head(F.dropout(self.pooled(x, lengths, spelling), self.dropout, self.training))

    def pooled(self, x: Tensor, lengths: Tensor | None = None, spelling: Spelling | None = None) -> Tensor:
        """What the scores are made from, (B, output size)."""
        if lengths is None:
            lengths = torch.full((x.shape[1],), x.shape[0], device=x.device)
        y, _ = self.recurrent(self._vectors(x, spelling), lengths=lengths)
        return self.pooling(y, lengths)

    def _vectors(self, x: Tensor, spelling: Spelling | None) -> Tensor:
        if self.embedding is not None:
            return F.dropout(spelled(self.embedding(x), self.speller, spelling), self.dropout, self.training)
        return x if self.frames is None else F.dropout(self.frames(x), self.dropout, self.training)
