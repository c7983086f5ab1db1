"""Attention over a cell's last outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...structure import State, describe, same_shapes
from .wrapper import Inputs, Wrapper, as_tuple, vectors


class AttentionState(NamedTuple):
    """``cell``: that of the cell; ``context`` (B, H); ``memory`` (B, n * H) and ``keys`` (B, n * A), oldest first."""

    cell: Any
    context: Tensor
    memory: Tensor
    keys: Tensor


class Attention(Wrapper):
    """A cell that looks back at its last n outputs with additive attention (Bahdanau et al. 2015, arXiv:1409.0473).

    The idea of Cheng et al. 2016, arXiv:1601.06733, in the form of TensorFlow 1's ``AttentionCellWrapper``, with the
    cell's output in the place of its state as the query. With m_k the last n outputs, the oldest first, zeros before
    there were any (they take part in the softmax too):

    - x'_t = ``mix_in`` [x_t, c_{t-1}], (I)
    - u_t, s_t = cell(x'_t, s_{t-1}), (H)
    - e_k = ``score`` . tanh(``query`` u_t + ``key`` m_k), a = softmax(e) over the n
    - c_t = sum_k a_k m_k, (H)
    - y_t = ``mix_out`` [u_t, c_t], (H), the output, which takes the place of the oldest m.

    The key of an output is computed once, when it is made. The state is `AttentionState`, starting from the cell's own
    start and zeros.

    Args:
        cell: any cell that tells ``input_size`` and ``output_size`` or ``hidden_size``.
        length: n, how many outputs are looked at.
        attention_size: A, the features of queries and keys; default H.

    Raises ``UserError`` for a length or size below 1, a cell that does not tell its sizes, and ids as x.

    >>> import elman
    >>> y, state = elman.scan(Attention(elman.cells.GRU(3, 4), 5), torch.randn(7, 2, 3))
    >>> y.shape, state.memory.shape
    (torch.Size([7, 2, 4]), torch.Size([2, 20]))
    """

    def __init__(self, cell: nn.Module, length: int, *, attention_size: int | None = None) -> None:
        super().__init__(cell)
        if not hasattr(cell, "input_size"):
            raise UserError(f"{type(cell).__name__} does not tell the size of x; give it an attribute input_size")
        inputs, units = self.input_size, self.output_size
        size = units if attention_size is None else attention_size
        counts: dict[str, Any] = {"length": length, "attention_size": size}
        for name, given in counts.items():
            if not isinstance(given, int) or given < 1:
                raise UserError(f"Attention got {name}={given!r}; give a whole number of at least 1")
        self.length = length
        self.attention_size = size
        like = next(cell.parameters(), torch.empty(0))
        place: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
        self.mix_in = nn.Linear(inputs + units, inputs, **place)
        self.query = nn.Linear(units, size, bias=False, **place)
        self.key = nn.Linear(units, size, **place)
        self.score = nn.Parameter(torch.empty(size, **place).uniform_(-(size**-0.5), size**-0.5))
        self.mix_out = nn.Linear(2 * units, units, **place)

    def cell_state(self, state: State) -> State:
        return state[0]

    def initial_state(self, batch_size: int) -> AttentionState:
        zeros, units = self.score.new_zeros, self.output_size
        return AttentionState(
            super().initial_state(batch_size),
            zeros(batch_size, units),
            zeros(batch_size, self.length * units),
            zeros(batch_size, self.length * self.attention_size),
        )

    def check_state(self, state: State, batch_size: int) -> None:
        own = self.initial_state(batch_size)[1:]
        if not isinstance(state, tuple | list) or len(state) != 4 or not same_shapes(tuple(state[1:]), own):
            raise UserError(
                f"Attention got the state {describe(state)}; expected (state of the cell, context, memory, keys), "
                f"the last three {describe(own)}"
            )
        super().check_state(state, batch_size)

    def step(self, x: Inputs, state: State, *drawn: Tensor) -> tuple[Tensor, AttentionState]:
        inner, context, memory, keys = state
        first, extras = vectors(self, x, "mixing it with the context"), as_tuple(x)[1:]
        mixed = self.mix_in(torch.cat([first, context], -1))
        u, inner = self.inner((mixed, *extras) if isinstance(x, tuple) else mixed, inner)
        query = self.query(u)
        scores = [(torch.tanh(query + key) * self.score).sum(-1, keepdim=True) for key in keys.chunk(self.length, -1)]
        weights = torch.softmax(torch.cat(scores, -1), -1).split(1, -1)
        context = sum(a * m for a, m in zip(weights, memory.chunk(self.length, -1), strict=True))
        y = self.mix_out(torch.cat([u, context], -1))
        memory = torch.cat([memory[:, y.shape[-1] :], y], -1)
        keys = torch.cat([keys[:, self.attention_size :], self.key(y)], -1)
        return y, AttentionState(inner, context, memory, keys)

    def extra_repr(self) -> str:
        return f"length={self.length}, attention_size={self.attention_size}"
