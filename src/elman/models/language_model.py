"""The language model: token ids in, scores of the next token out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.recurrent import CellMaker
from ..structure import State


class LanguageNet(nn.Module):
    """Embedding (or one-hot), a stack of any cells, and a linear layer onto the vocabulary.

    ``logits, states = net(x, states=None, *, resets=None)`` with x (T, B) token ids and logits (T, B, V); ``states``
    and ``resets`` are as in ``elman.Recurrent``.

    Args:
        vocab_size: token types V.
        cell: as in ``elman.Recurrent``.
        hidden_size: units, or a list, one a layer.
        num_layers: layers.
        embedding_size: features of a token's vector; ``None`` feeds one-hot vectors, as the textbook does.
        tied: use the embedding as the output weights too (Press and Wolf 2017, arXiv:1608.05859); its size must then be
            the output size of the last layer.
        dropout: probability of dropping, on the embedded input (not on one-hot input), between layers and before the
            output layer.
        initial_state: as in ``elman.Recurrent``.
        init: start of cells, embedding and output layer alike, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    Raises ``UserError`` for tied weights whose sizes do not fit.

    >>> import torch
    >>> net = LanguageNet(10, "gru", hidden_size=8)
    >>> logits, states = net(torch.randint(10, (5, 2)))
    >>> logits.shape
    torch.Size([5, 2, 10])
    """

    def __init__(
        self,
        vocab_size: int,
        cell: CellMaker | Sequence[CellMaker] = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int | None = None,
        *,
        embedding_size: int | None = None,
        tied: bool = False,
        dropout: float = 0.0,
        initial_state: str | float = "zeros",
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}; give the probability of dropping, 0 or more and below 1")
        self.vocab_size = vocab_size
        self.dropout = dropout
        place = {name: cell_options[name] for name in ("device", "dtype") if name in cell_options}
        self.embedding = None if embedding_size is None else nn.Embedding(vocab_size, embedding_size, **place)
        self.recurrent = Recurrent(
            cell,
            vocab_size if embedding_size is None else embedding_size,
            hidden_size,
            num_layers,
            initial_state=initial_state,
            init=init,
            **cell_options,
        )
        # Set here: given to a stack of one layer it warns that nothing is dropped, but this net drops around the stack.
        self.recurrent.dropout = dropout
        self.head = nn.Linear(self.recurrent.output_size, vocab_size, **place)
        for layer in (self.embedding, self.head):
            if layer is not None:
                start_linear(layer, init)
        if tied:
            if self.embedding is None or embedding_size != self.recurrent.output_size:
                raise UserError(
                    f"tied weights need an embedding of the output's size {self.recurrent.output_size}, "
                    f"got embedding_size={embedding_size}"
                )
            # The output layer's start, not the embedding's N(0, 1), whose logits would be far too large.
            self.embedding.weight = self.head.weight

    def initial_state(self, batch_size: int) -> tuple[State, ...]:
        """The states a text starts from, for ``batch_size`` rows."""
        return self.recurrent.initial_state(batch_size)

    def forward(
        self, x: Tensor, states: Sequence[State] | None = None, *, resets: Tensor | None = None
    ) -> tuple[Tensor, tuple[State, ...]]:
        # Without an embedding the ids go on as they are: a cell reads them as one-hot vectors.
        inputs = x if self.embedding is None else F.dropout(self.embedding(x), self.dropout, self.training)
        y, after = self.recurrent(inputs, states, resets=resets)
        return self.head(F.dropout(y, self.dropout, self.training)), after
