"""The language model: token ids in, scores of the next token out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent, WeightDrop
from ..layers.dropping import drop_units
from ..layers.recurrent import CellMaker, place_of
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
        input_dropout, output_dropout: probabilities for the embedded input and before the output layer alone.
        embedding_dropout: probability of dropping a whole type from the embedding, for a call.
        weight_drop: probability of dropping a recurrent weight, for a call, see ``elman.layers.WeightDrop``.
        locked: drop the same features of a row at all steps of a call.
        activation_penalty, change_penalty: alpha and beta of the activation regularisation of Merity et al. 2017,
            arXiv:1708.01009: in training ``penalty`` is alpha times the mean square of the last layer's output after
            dropout, plus beta times that of its changes from step to step before dropout, for the loss to add.
        initial_state: as in ``elman.Recurrent``.
        init: start of cells, embedding and output layer alike, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    Raises ``UserError`` for tied weights whose sizes do not fit, and for dropout of an input that is one-hot.

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
        input_dropout: float | None = None,
        output_dropout: float | None = None,
        embedding_dropout: float = 0.0,
        weight_drop: float = 0.0,
        locked: bool = False,
        activation_penalty: float = 0.0,
        change_penalty: float = 0.0,
        initial_state: str | float = "zeros",
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}; give the probability of dropping, 0 or more and below 1")
        if embedding_size is None and (input_dropout or embedding_dropout):
            raise UserError("one-hot vectors are not dropped; give an embedding_size, or no dropout of the input")
        self.vocab_size = vocab_size
        self.input_dropout = dropout if input_dropout is None else input_dropout
        self.output_dropout = dropout if output_dropout is None else output_dropout
        self.embedding_dropout = embedding_dropout
        self.locked = locked
        self.activation_penalty, self.change_penalty = activation_penalty, change_penalty
        self.penalty: Tensor | None = None
        place = place_of(cell_options)
        self.embedding = None if embedding_size is None else nn.Embedding(vocab_size, embedding_size, **place)
        self.recurrent = Recurrent(
            cell,
            vocab_size if embedding_size is None else embedding_size,
            hidden_size,
            num_layers,
            locked=locked,
            initial_state=initial_state,
            init=init,
            **cell_options,
        )
        # Set here: given to a stack of one layer it warns that nothing is dropped, but this net drops around the stack.
        self.recurrent.dropout = dropout
        if weight_drop:
            for cells in self.recurrent.layers:
                cells[0] = WeightDrop(cells[0], weight_drop)  # type: ignore[index, operator]
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
        y, after = self.recurrent(x if self.embedding is None else self._embedded(x), states, resets=resets)
        dropped = drop_units(y, self.output_dropout, self.training, self.locked)
        self.penalty = self._penalty(y, dropped) if self.training else None
        return self.head(dropped), after

    def _embedded(self, x: Tensor) -> Tensor:
        """(T, B, E) of ids (T, B), with types and features dropped."""
        assert self.embedding is not None
        vectors = self.embedding(x)
        if self.training and self.embedding_dropout:
            kept = F.dropout(vectors.new_ones(self.vocab_size, 1), self.embedding_dropout)
            vectors = vectors * kept[x]
        return drop_units(vectors, self.input_dropout, self.training, self.locked)

    def _penalty(self, y: Tensor, dropped: Tensor) -> Tensor | None:
        parts = []
        if self.activation_penalty:
            parts.append(self.activation_penalty * dropped.square().mean())
        if self.change_penalty and len(y) > 1:
            parts.append(self.change_penalty * (y[1:] - y[:-1]).square().mean())
        return sum(parts[1:], parts[0]) if parts else None
