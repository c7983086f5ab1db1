"""The tagger: a sequence in, scores of the tags of every step out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.recurrent import CellMaker
from .crf import CRF
from .embedding import TokenEmbedding
from .frames import frame_encoder
from .spelling import Speller, Spelling, spelled


class TaggerNet(nn.Module):
    """Tokens with their spelling, or numbers; a stack of any cells; a linear layer at every step; softmax or a CRF.

    ``scores = net(x, lengths=None, spelling=None)`` with x (T, B) ids or (T, B, F) numbers, lengths (B,) and scores
    (T, B, K). ``losses``, ``decode`` and ``probabilities`` say what scores mean. How a token is
    spelt stands beside its vector, see ``Speller``. Nothing past a row's length is read.

    Args:
        tags: tags K.
        cell, hidden_size, num_layers: as in ``elman.Recurrent``.
        vocab_size: token types of ids; None for numbers.
        features: numbers a step, F; None for ids.
        characters: character types; None reads no spelling.
        frames, frame_shape, frame_size: as in ``ClassifierNet``.
        bidirectional: also read from the end to the start; the outputs of both are concatenated.
        embedding_size: features of a token's vector.
        character_size: units of the characters' net, each way, and features of a character's vector.
        crf: score whole sequences by an ``elman.models.CRF``; else every step by itself.
        dropout: probability of dropping, on embedded tokens and characters, between layers and before the scores.
        word_dropout, unknown_id: as in ``TokenEmbedding``; the spelling is read all the same.
        init: start of cells, embeddings and output layer alike, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    Raises ``UserError`` unless exactly one of ``vocab_size`` and ``features`` is given, and for characters of numbers.

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
        vocab_size: int | None = None,
        features: int | None = None,
        characters: int | None = None,
        frames: str | None = None,
        frame_shape: Sequence[int] = (),
        frame_size: int = 64,
        bidirectional: bool = True,
        embedding_size: int = 64,
        character_size: int = 32,
        crf: bool = False,
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
        place = {name: cell_options[name] for name in ("device", "dtype") if name in cell_options}
        self.embedding = None
        inputs = features or 0
        if vocab_size is not None:
            self.embedding = TokenEmbedding(
                vocab_size, embedding_size, word_dropout=word_dropout, unknown_id=unknown_id, **place
            )
            inputs = embedding_size
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
        self.head = nn.Linear(self.recurrent.output_size, tags, **place)
        self.crf = CRF(tags, **place) if crf else None
        for layer in (self.embedding, self.head):
            if layer is not None:
                start_linear(layer, init)

    def forward(self, x: Tensor, lengths: Tensor | None = None, spelling: Spelling | None = None) -> Tensor:
        if self.embedding is not None:
            x = F.dropout(spelled(self.embedding(x), self.speller, spelling), self.dropout, self.training)
        elif self.frames is not None:
            x = F.dropout(self.frames(x), self.dropout, self.training)
        y, _ = self.recurrent(x, lengths=lengths)
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
