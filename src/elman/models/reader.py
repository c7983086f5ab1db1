"""What nets that read sequences begin with: tokens or numbers in, the outputs of a stack of cells at every step out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.recurrent import CellMaker, place_of
from .embedding import TokenEmbedding
from .frames import frame_encoder
from .spelling import Speller, Spelling, spelled


class Reader(nn.Module):
    """Embedded tokens with their spelling, or numbers, or frames, through a stack of any cells.

    ``y = reader(x, lengths=None, spelling=None)`` with x (T, B) ids or (T, B, F) numbers, lengths (B,) and y (T, B, H),
    H being ``output_size``. How a token is spelt stands beside its vector, see ``Speller``. Nothing past a row's length
    is read.

    Args:
        cell, hidden_size, num_layers: as in ``elman.Recurrent``.
        vocab_size: token types of ids; None for numbers.
        features: numbers a step, F; None for ids.
        characters: character types, for how tokens are spelt; None reads no spelling.
        frames: "cnn" sends every step of numbers through a ``FrameEncoder`` first; None feeds them as they are.
        frame_shape: height, width and, where there are several, channels of such a step.
        frame_size: features of a frame's vector.
        bidirectional: also read from the end to the start; the outputs of both are concatenated.
        embedding_size: features of a token's vector.
        character_size: units of the speller, each way, and features of a character's vector.
        dropout: probability of dropping, on vectors of tokens, characters and frames, and between layers.
        word_dropout, unknown_id: as in ``TokenEmbedding``; the spelling is read all the same.
        init: start of cells and embeddings alike, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole reader.

    Raises ``UserError`` unless exactly one of ``vocab_size`` and ``features`` is given, and for characters of numbers.

    >>> import torch
    >>> reader = Reader("gru", 8, vocab_size=10, bidirectional=True)
    >>> reader(torch.randint(10, (5, 2)), torch.tensor([5, 3])).shape
    torch.Size([5, 2, 16])
    """

    def __init__(
        self,
        cell: CellMaker | Sequence[CellMaker],
        hidden_size: int | Sequence[int],
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
        for name, value in (("dropout", dropout), ("word_dropout", word_dropout)):
            if not 0 <= value < 1:
                raise UserError(f"{name}={value}; give the probability of dropping, 0 or more and below 1")
        self.dropout = dropout
        place = place_of(cell_options)
        self.embedding = None
        inputs = features or embedding_size
        if vocab_size is not None:
            self.embedding = TokenEmbedding(
                vocab_size, embedding_size, word_dropout=word_dropout, unknown_id=unknown_id, **place
            )
            start_linear(self.embedding, init)
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
        # Set here: given to a stack of one layer it warns that nothing is dropped, but nets drop around the stack.
        self.recurrent.dropout = dropout

    @property
    def output_size(self) -> int:
        """Outputs of a step, of both directions."""
        return self.recurrent.output_size

    def forward(self, x: Tensor, lengths: Tensor | None = None, spelling: Spelling | None = None) -> Tensor:
        return self.recurrent(self.vectors(x, spelling), lengths=lengths)[0]

    def vectors(self, x: Tensor, spelling: Spelling | None = None) -> Tensor:
        """What the cells read of every step, (T, B, ...)."""
        if self.embedding is not None:
            return F.dropout(spelled(self.embedding(x), self.speller, spelling), self.dropout, self.training)
        return x if self.frames is None else F.dropout(self.frames(x), self.dropout, self.training)
