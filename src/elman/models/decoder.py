"""A decoder: token ids in, scores of the next token out, told by a memory, by a vector, or by both."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cell import Cell
from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.memory_attention import Memory, find_attention
from ..layers.recurrent import CellMaker, _per_layer, check_options, options_taken, place_of
from ..structure import State, leaves, map_leaves, rebuild

OUTPUT_SIGMA = 0.2
"""Where output weights start: from PyTorch's far smaller start what lies beneath them learns slowly. The loss after 90
updates on Multi30k, tied, was 6.3 from PyTorch's, 5.6 from sigma 0.1, 5.5 from 0.2, 5.4 from 0.3, 5.5 from 0.5; not
tied 6.1 from PyTorch's, 5.4 from 0.2."""


class DecoderState(NamedTuple):
    """What a decoder carries from token to token, every tensor batch first.

    ``layers``: a state a layer, B rows. ``memory`` and ``vector``: what it was begun with, N rows, where B is N or a
    multiple k N whose rows n k to n k + k - 1 go on from n. ``mixed`` (B, R): what the last token was chosen from,
    where that is fed back.
    """

    layers: tuple[State, ...]
    memory: Memory | None
    vector: Tensor | None
    mixed: Tensor | None

    def select(self, rows: Tensor, memories: Tensor | None = None) -> DecoderState:
        """The state of ``rows`` (B',), int64: the beam's choice; also of other memories, (N',), where these are given.

        With N memories and N' = N the rows stay grouped by memory; to drop a memory drop its rows too.
        """
        layers, mixed = map_leaves(lambda leaf: leaf.index_select(0, rows), (self.layers, self.mixed))
        memory, vector = self.memory, self.vector
        if memories is not None:
            memory, vector = map_leaves(lambda leaf: leaf.index_select(0, memories), (memory, vector))
        return DecoderState(layers, memory, vector, mixed)


class DecoderNet(nn.Module):
    """Embedding, a stack of any cells, attention over a memory where there is one, and a layer onto the vocabulary.

    ``logits, state = net(x, net.begin(memory, lengths, vector))`` with x (T, B) token ids, each the one before the one
    to be scored (the first usually an end mark), and logits (T, B, V). Calling it on T tokens and on one at a time is
    the same but for rounding and dropout; ``states.select`` reorders the rows in between.

    The lowest layer reads the tokens and asks; what its query finds in the memory goes, beside its output, into the
    layers above (Wu et al. 2016, arXiv:1609.08144) and, mixed with the last layer's output, into the scores:
    m_t = tanh(W [y_t, context_t]) (Luong et al. 2015, arXiv:1508.04025, equation 5). So in training the recurrence of
    all steps is one scan, and all steps ask at once. With ``input_feeding`` m_{t-1} is read beside token t (section 3.3
    there), so that the steps follow one another: several times slower in training.

    Args:
        vocab_size: token types V.
        cell, hidden_size, num_layers: as in ``elman.Recurrent``.
        memory_size: features of a place of the memory; None for no attention.
        vector_size: features of a vector that tells the decoder about the whole, (N, features); None for none.
        vector_starts: the vector makes the start state, s_0 = tanh(W v + b), of every state of every layer but those
            that are no units.
        vector_fed: the vector is read beside every token.
        attention: "general", "additive" or "dot", see ``elman.layers.memory_attention``.
        input_feeding: read what the last token was chosen from beside each token.
        embedding_size: features of a token's vector.
        tied: use the embedding as output weights too (Press and Wolf 2017, arXiv:1608.05859); what goes into the scores
            is then of the embedding's size.
        dropout: probability of dropping, on the embedded tokens, between layers and before the scores.
        init: start of cells, embedding and output layer alike, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    Raises ``UserError`` for options that contradict each other.

    >>> net = DecoderNet(10, "gru", 8, memory_size=6, vector_size=4)
    >>> state = net.begin(torch.randn(5, 2, 6), torch.tensor([5, 3]), torch.randn(2, 4))
    >>> logits, state = net(torch.randint(10, (7, 2)), state)
    >>> logits.shape, state.select(torch.tensor([1, 1, 0, 0])).layers[0].shape
    (torch.Size([7, 2, 10]), torch.Size([4, 8]))
    """

    def __init__(
        self,
        vocab_size: int,
        cell: CellMaker | Sequence[CellMaker] = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int | None = None,
        *,
        memory_size: int | None = None,
        vector_size: int | None = None,
        vector_starts: bool = True,
        vector_fed: bool = False,
        attention: str = "general",
        input_feeding: bool = False,
        embedding_size: int = 64,
        tied: bool = False,
        dropout: float = 0.0,
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}; give the probability of dropping, 0 or more and below 1")
        if input_feeding and memory_size is None:
            raise UserError("input_feeding=True feeds what attention found, but there is no memory; give memory_size")
        if vector_size is not None and not (vector_starts or vector_fed):
            raise UserError("a vector that neither starts nor is fed tells nothing; use vector_starts or vector_fed")
        self.vocab_size, self.dropout = vocab_size, dropout
        self.memory_size, self.vector_size, self.vector_fed = memory_size, vector_size, vector_fed
        place = place_of(cell_options)
        makers, sizes = _per_layer(cell, hidden_size, num_layers)
        check_options(makers, cell_options)
        self.embedding = nn.Embedding(vocab_size, embedding_size, **place)

        def layers(makers: list[CellMaker], sizes: list[int], inputs: int) -> Recurrent:
            mine = Recurrent(makers, inputs, sizes, init=init, **options_taken(makers, cell_options))
            # Set here: given to a stack of one layer it warns that nothing is dropped, but this net drops around it.
            mine.dropout = dropout
            return mine

        context = memory_size or 0
        mixed = embedding_size if tied else sizes[-1]
        fed = (vector_size or 0) * vector_fed + mixed * input_feeding
        self.lowest = layers(makers[:1], sizes[:1], embedding_size + fed)
        asked = self.lowest.output_size
        self.attention = None if memory_size is None else find_attention(attention)(asked, memory_size, **place)
        self.upper = layers(makers[1:], sizes[1:], asked + context) if len(makers) > 1 else None
        last = self.upper.output_size if self.upper else asked
        self.input_feeding = input_feeding
        self.mix = None
        if memory_size is not None or (tied and last != embedding_size):
            self.mix = nn.Linear(last + context, mixed, **place)
        else:
            mixed = last
        self.head = nn.Linear(mixed, vocab_size, **place)
        self.starts = None
        if vector_size is not None and vector_starts:
            blank = self._blank(1)
            units = sum(leaf.shape[1] for leaf, unit in zip(leaves(blank), self._units(blank), strict=True) if unit)
            self.starts = nn.Linear(vector_size, units, **place)
        for layer in (self.embedding, self.head, self.mix, self.starts):
            if layer is not None:
                start_linear(layer, init)
        if init in ("torch", "identity"):
            nn.init.normal_(self.head.weight, std=OUTPUT_SIGMA)
        if tied:
            self.embedding.weight = self.head.weight

    def begin(
        self, memory: Tensor | None = None, lengths: Tensor | None = None, vector: Tensor | None = None, rows: int = 1
    ) -> DecoderState:
        """The state before the first token: ``memory`` (S, N, M) and its ``lengths`` (N,), ``vector`` (N, features).

        ``rows`` is N for a decoder that is told nothing. Raises ``UserError`` for what the net was not made for.
        """
        for name, given, size in (("memory", memory, self.memory_size), ("vector", vector, self.vector_size)):
            if (given is None) != (size is None):
                what = "missing" if given is None else "not wanted"
                raise UserError(f"{name} is {what}; this decoder was made with {name}_size={size}")
        if vector is not None and (vector.dim() != 2 or vector.shape[1] != self.vector_size):
            raise UserError(f"the vector is {tuple(vector.shape)}; expected (N, {self.vector_size})")
        if memory is not None:
            rows = memory.shape[1]
        elif vector is not None:
            rows = len(vector)
        remembered = None
        if self.attention is not None:
            assert memory is not None
            remembered = self.attention.remember(memory, lengths)
        layers = self._blank(rows)
        if self.starts is not None:
            blanks, kept = leaves(layers), self._units(layers)
            sizes = [blank.shape[1] for blank, unit in zip(blanks, kept, strict=True) if unit]
            made = iter(torch.tanh(self.starts(vector)).split(sizes, 1))
            layers = rebuild(layers, [next(made) if unit else blank for blank, unit in zip(blanks, kept, strict=True)])
        like = self.head.weight
        mixed = like.new_zeros(rows, self.head.in_features) if self.input_feeding else None
        return DecoderState(layers, remembered, vector if self.vector_fed else None, mixed)

    def forward(self, x: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        mixed, state, _ = self.read(x, state)
        return self.scores(mixed), state

    def step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One token a row: ids (B,), and the logits (B, V) of the next."""
        logits, state = self(ids.unsqueeze(0), state)
        return logits[0], state

    def read(self, x: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState, Tensor | None]:
        """What the scores are made from, (T, B, R), the state after x, and the attention's weights (T, B, S).

        Of padded targets ``scores(mixed[valid])`` is the cheaper half: the vocabulary is the largest product.
        """
        inputs = F.dropout(self.embedding(x), self.dropout, self.training)
        if state.vector is not None:
            told = state.vector.repeat_interleave(x.shape[1] // len(state.vector), 0)
            inputs = torch.cat([inputs, told.expand(len(x), -1, -1)], -1)
        if not self.input_feeding:
            return self._run(inputs, state)
        all_mixed, all_weights = [], []
        for step in inputs.unbind(0):
            assert state.mixed is not None
            mixed, state, weights = self._run(torch.cat([step, state.mixed], -1).unsqueeze(0), state)
            state = state._replace(mixed=F.dropout(mixed[0], self.dropout, self.training))
            all_mixed.append(mixed)
            all_weights.append(weights)
        return torch.cat(all_mixed), state, torch.cat(all_weights)  # type: ignore[arg-type]

    def scores(self, mixed: Tensor) -> Tensor:
        """Logits (..., V) from what ``read`` gives, (..., R)."""
        return self.head(F.dropout(mixed, self.dropout, self.training))

    def _run(self, inputs: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState, Tensor | None]:
        y, after = self.lowest(inputs, state.layers[:1])
        found, weights = [], None
        if self.attention is not None:
            assert state.memory is not None
            context, weights = self.attention(y, state.memory)
            found = [context]
        if self.upper is not None:
            below = F.dropout(torch.cat([y, *found], -1), self.dropout, self.training)
            y, above = self.upper(below, state.layers[1:])
            after = (*after, *above)
        mixed = y if self.mix is None else torch.tanh(self.mix(torch.cat([y, *found], -1)))
        return mixed, state._replace(layers=tuple(after)), weights

    def _blank(self, rows: int) -> tuple[State, ...]:
        """Start states without a vector, one a layer."""
        return tuple(state for stack in self._stacks() for state in stack.initial_state(rows))

    def _units(self, layers: tuple[State, ...]) -> list[bool]:
        """Which tensors of the states hold units, which a vector may start: no counters, no scales."""
        cells = [cell for stack in self._stacks() for layer in stack.layers for cell in layer]  # type: ignore[attr-defined]
        units = []
        for cell, state in zip(cells, layers, strict=True):
            internal = [name in cell.internal for name in cell.states] if isinstance(cell, Cell) else []
            for leaf, other in itertools.zip_longest(leaves(state), internal, fillvalue=False):
                units.append(isinstance(leaf, Tensor) and leaf.is_floating_point() and not other)
        return units

    def _stacks(self) -> list[Recurrent]:
        return [self.lowest] if self.upper is None else [self.lowest, self.upper]
