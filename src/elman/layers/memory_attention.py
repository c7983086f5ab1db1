"""Attention over a memory: the outputs of an encoder, the places of an image."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UserError, nearest


class Memory(NamedTuple):
    """What is looked at, batch first: ``values`` (N, S, M), ``keys`` (N, S, A), ``past`` (N, S), true past the end."""

    values: Tensor
    keys: Tensor
    past: Tensor


class MemoryAttention(nn.Module):
    """Weights over the places of a memory for every query, and the mean of the memory by these weights.

    ``context, weights = attention(queries, attention.remember(values, lengths))`` with queries (T, B, Q), values
    (S, N, M), lengths (N,), context (T, B, M) and weights (T, B, S). B is N, or a multiple k N whose rows n k to
    n k + k - 1 look at memory n, as the hypotheses of a beam do. A place past the end of its memory has weight 0 to the
    last bit; a memory of length 0 gives a context of zeros.

    A subclass says how a place is scored: ``key`` makes of the values what can be computed once, and ``score``
    compares queries (N, T, Q) with keys (N, S, A).

    Args:
        query_size: features Q of a query.
        memory_size: features M of a place.

    Raises ``UserError`` for sizes below 1 or that cannot be compared.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        sizes: dict[str, Any] = {"query_size": query_size, "memory_size": memory_size}
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise UserError(f"attention got {name}={value!r}; give a whole number of at least 1")
        self.query_size, self.memory_size = query_size, memory_size

    def key(self, values: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no key; write key(self, values)")

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no score; write score(self, queries, keys)")

    def remember(self, values: Tensor, lengths: Tensor | None = None) -> Memory:
        """The memory of values (S, N, M), of which row n has ``lengths[n]`` places, all S unless given."""
        if values.dim() != 3 or values.shape[2] != self.memory_size:
            raise UserError(f"the memory is {tuple(values.shape)}; expected (S, N, {self.memory_size}), places first")
        count, rows = values.shape[:2]
        if lengths is None:
            past = torch.zeros(rows, count, dtype=torch.bool, device=values.device)
        else:
            lengths = torch.as_tensor(lengths, device=values.device)
            if lengths.shape != (rows,):
                raise UserError(f"lengths is {tuple(lengths.shape)}; expected one for each of the {rows} memories")
            past = torch.arange(count, device=values.device) >= lengths[:, None]
        # Padding may hold anything, NaN included, which a weight of zero would not take away.
        batch_first = values.transpose(0, 1).masked_fill(past.unsqueeze(-1), 0.0)
        return Memory(batch_first, self.key(batch_first), past)

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        time, batch = queries.shape[:2]
        rows, places = memory.past.shape
        each = batch // max(rows, 1)
        if each * rows != batch:
            raise UserError(f"{batch} rows look at {rows} memories; expected as many, or a multiple")
        # (T, N k, Q) as (N, T k, Q): the rows of one memory are further queries of it.
        asked = queries.view(time, rows, each, -1).transpose(0, 1).reshape(rows, time * each, -1)
        scores = self.score(asked, memory.keys)  # (N, T k, S)
        past = memory.past.unsqueeze(1)
        # The lowest number, not -inf: a memory of length 0 has nothing to divide by.
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(past, lowest).softmax(-1).masked_fill(past, 0.0)
        context = torch.bmm(weights, memory.values)
        return (
            context.view(rows, time, each, -1).transpose(0, 1).reshape(time, batch, -1),
            weights.view(rows, time, each, places).transpose(0, 1).reshape(time, batch, places),
        )


class AdditiveAttention(MemoryAttention):
    """A place scores v . tanh(W q + U m + b), Bahdanau et al. 2015, arXiv:1409.0473; v has ``size`` features, or Q.

    >>> attention = AdditiveAttention(4, 6, 5)
    >>> memory = attention.remember(torch.randn(3, 2, 6), torch.tensor([3, 1]))
    >>> context, weights = attention(torch.randn(7, 2, 4), memory)
    >>> context.shape, weights[:, 1, 1:].abs().max().item()
    (torch.Size([7, 2, 6]), 0.0)
    """

    def __init__(self, query_size: int, memory_size: int, size: int | None = None, **place: Any) -> None:
        super().__init__(query_size, memory_size)
        size = query_size if size is None else size
        self.of_query = nn.Linear(query_size, size, bias=False, **place)
        self.of_memory = nn.Linear(memory_size, size, **place)
        self.direction = nn.Parameter(torch.empty(size, **place).uniform_(-(size**-0.5), size**-0.5))

    def key(self, values: Tensor) -> Tensor:
        return self.of_memory(values)

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return torch.tanh(self.of_query(queries).unsqueeze(2) + keys.unsqueeze(1)) @ self.direction


class GeneralAttention(MemoryAttention):
    """A place scores q . W m, Luong et al. 2015, arXiv:1508.04025, "general".

    >>> attention = GeneralAttention(4, 6)
    >>> attention(torch.randn(7, 2, 4), attention.remember(torch.randn(3, 2, 6)))[1].sum(-1).allclose(torch.ones(7, 2))
    True
    """

    def __init__(self, query_size: int, memory_size: int, **place: Any) -> None:
        super().__init__(query_size, memory_size)
        self.of_memory = nn.Linear(memory_size, query_size, bias=False, **place)

    def key(self, values: Tensor) -> Tensor:
        return self.of_memory(values)

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return torch.bmm(queries, keys.transpose(1, 2))


class DotAttention(MemoryAttention):
    """A place scores q . m / sqrt(M), Luong et al. 2015, "dot", with the divisor of Vaswani et al. 2017.

    Queries and memory must be of one size. The divisor keeps the scores of long vectors from starting at all or none.

    >>> DotAttention(4, 6)
    Traceback (most recent call last):
        ...
    elman.errors.UserError: dot attention compares queries of 4 with places of 6 features; use "general" or "additive"
    """

    def __init__(self, query_size: int, memory_size: int, **place: Any) -> None:
        super().__init__(query_size, memory_size)
        if query_size != memory_size:
            raise UserError(
                f"dot attention compares queries of {query_size} with places of {memory_size} features; "
                'use "general" or "additive"'
            )

    def key(self, values: Tensor) -> Tensor:
        return values / math.sqrt(self.memory_size)

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return torch.bmm(queries, keys.transpose(1, 2))


ATTENTIONS: dict[str, type[MemoryAttention]] = {
    "additive": AdditiveAttention,
    "general": GeneralAttention,
    "dot": DotAttention,
}


def find_attention(name: str) -> type[MemoryAttention]:
    """The attention of a name.

    >>> find_attention("aditive")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: attention is 'aditive'; did you mean 'additive'?
    """
    if name not in ATTENTIONS:
        raise UserError(f"attention is {name!r}; {nearest(name, ATTENTIONS)}")
    return ATTENTIONS[name]
