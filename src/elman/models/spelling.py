"""How tokens are spelt: what their characters say of them, beside what their vectors say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.recurrent import CellMaker, check_options, makers_of, options_taken, place_of
from .pooling import Last


class Spelling(NamedTuple):
    """How the tokens of a batch are spelt, each different token once.

    ``characters`` (L, U) ids of the U tokens' characters, ``lengths`` (U,), ``which`` (T, B) the token at each place.
    """

    characters: Tensor
    lengths: Tensor
    which: Tensor


class Speller(nn.Module):
    """What a token's characters say of it: both ends of a small bidirectional net over them (Lample et al. 2016,
    arXiv:1603.01360; Ling et al. 2015, arXiv:1508.02096).

    ``vectors = speller(spelling)`` are (T, B, 2 ``size``); each different token of a batch is read once.

    Args:
        cell: as in ``elman.Recurrent``; of several the first.
        characters: character types.
        size: units each way, and features of a character's vector.
        dropout: probability of dropping, on the characters' vectors.
        init: start of cells and embedding, see ``elman.Cell``.
        **cell_options: options of the cells, of which this one gets its own; ``device`` and ``dtype`` among them.

    >>> speller = Speller("gru", 9, 4)
    >>> twice_the_same = torch.tensor([[0, 1], [1, 1]])
    >>> speller(Spelling(torch.randint(9, (5, 2)), torch.tensor([5, 3]), twice_the_same)).shape
    torch.Size([2, 2, 8])
    """

    def __init__(
        self,
        cell: CellMaker | Sequence[CellMaker],
        characters: int,
        size: int,
        *,
        dropout: float = 0.0,
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        place = place_of(cell_options)
        self.embedding = nn.Embedding(characters, size, **place)
        start_linear(self.embedding, init)
        cells = makers_of(cell)
        check_options(cells, cell_options)
        taken = options_taken(cells[:1], cell_options)
        self.recurrent = Recurrent(cells[0], size, size, bidirectional=True, init=init, **taken)
        self.ends = Last(self.recurrent.output_size, bidirectional=True)

    @property
    def output_size(self) -> int:
        """Features of a token's spelling."""
        return self.recurrent.output_size

    def forward(self, spelling: Spelling) -> Tensor:
        x = F.dropout(self.embedding(spelling.characters), self.dropout, self.training)
        y, _ = self.recurrent(x, lengths=spelling.lengths)
        return F.embedding(spelling.which, self.ends(y, spelling.lengths))


def spelled(vectors: Tensor, speller: Speller | None, spelling: Spelling | None) -> Tensor:
    """Vectors of tokens (T, B, E) with what a speller says of them behind, (T, B, E + S); alone without a speller."""
    if speller is None:
        return vectors
    if spelling is None:
        raise UserError("this net reads the spelling of tokens; give it with spelling=")
    return torch.cat([vectors, speller(spelling)], -1)
