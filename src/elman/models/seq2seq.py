"""Sequence to sequence: an encoder that reads both ways, and a decoder that writes while looking at what was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.recurrent import CellMaker, check_options, makers_of, options_taken, place_of
from .decoder import DecoderNet, DecoderState
from .pooling import Last


class Seq2SeqNet(nn.Module):
    """A bidirectional encoder and a ``DecoderNet`` over its outputs, Bahdanau et al. 2015, arXiv:1409.0473.

    ``logits, state = net(source, lengths, target)`` with source (S, B) and target (T, B) token ids, lengths (B,) those
    of the sources and logits (T, B, V); ``state = net.begin(source, lengths)`` and ``net.decoder`` go on from there
    token by token. The encoder's last outputs, of each direction the one that has read everything, make the decoder's
    start state.

    Args:
        source_types: token types of the sources.
        target_types: token types V of the targets.
        cell, hidden_size, num_layers: of the decoder, as in ``elman.Recurrent``.
        encoder_cell: default: the decoder's lowest.
        encoder_size: units of each direction of the encoder; default half of the decoder's lowest layer.
        encoder_layers: default 1.
        attention: as in ``DecoderNet``; None for none: the last outputs are then also read beside every token (Cho et
            al. 2014, arXiv:1406.1078).
        shared: one embedding for both sides, where they share their vocabulary.
        input_feeding, embedding_size, tied, dropout, init, cell_options: as in ``DecoderNet``, of both sides.

    Raises ``UserError`` for a shared embedding of vocabularies of two sizes.

    >>> import torch
    >>> net = Seq2SeqNet(10, 12, "gru", 8)
    >>> net(torch.randint(10, (5, 2)), torch.tensor([5, 3]), torch.randint(12, (7, 2)))[0].shape
    torch.Size([7, 2, 12])
    """

    def __init__(
        self,
        source_types: int,
        target_types: int,
        cell: CellMaker | Sequence[CellMaker] = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int | None = None,
        *,
        encoder_cell: CellMaker | None = None,
        encoder_size: int | None = None,
        encoder_layers: int = 1,
        attention: str | None = "general",
        input_feeding: bool = False,
        embedding_size: int = 64,
        tied: bool = False,
        shared: bool = False,
        dropout: float = 0.0,
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if shared and source_types != target_types:
            raise UserError(
                f"a shared embedding needs one vocabulary, got {source_types} types of sources and {target_types} of "
                "targets"
            )
        cells = makers_of(cell)
        encoder_cell = encoder_cell or cells[0]
        check_options([encoder_cell, *cells], cell_options)
        units = hidden_size if isinstance(hidden_size, int) else hidden_size[0]
        self.dropout = dropout
        self.encoder = Recurrent(
            encoder_cell,
            embedding_size,
            encoder_size or max(1, units // 2),
            encoder_layers,
            bidirectional=True,
            init=init,
            **options_taken([encoder_cell], cell_options),
        )
        # Set here: given to a stack of one layer it warns that nothing is dropped, but this net drops around the stack.
        self.encoder.dropout = dropout
        size = self.encoder.output_size
        self.last = Last(size, bidirectional=True)
        self.decoder = DecoderNet(
            target_types,
            cell,
            hidden_size,
            num_layers,
            memory_size=None if attention is None else size,
            vector_size=size,
            vector_fed=attention is None,
            attention=attention or "general",
            input_feeding=input_feeding,
            embedding_size=embedding_size,
            tied=tied,
            dropout=dropout,
            init=init,
            **options_taken(cells, cell_options),
        )
        place = place_of(cell_options)
        self.embedding = self.decoder.embedding
        if not shared:
            self.embedding = nn.Embedding(source_types, embedding_size, **place)
            start_linear(self.embedding, init)

    def begin(self, source: Tensor, lengths: Tensor) -> DecoderState:
        """The decoder's state before the first token of the target."""
        inputs = F.dropout(self.embedding(source), self.dropout, self.training)
        y, _ = self.encoder(inputs, lengths=lengths)
        y = F.dropout(y, self.dropout, self.training)
        vector = self.last(y, lengths)
        if self.decoder.memory_size is None:
            return self.decoder.begin(vector=vector)
        return self.decoder.begin(y, lengths, vector)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> tuple[Tensor, DecoderState]:
        return self.decoder(target, self.begin(source, lengths))
