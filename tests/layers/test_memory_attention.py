from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from elman.errors import UserError
from elman.layers.memory_attention import ATTENTIONS, MemoryAttention, find_attention

LENGTHS = (5, 2, 0)


def made(name: str, memory_size: int = 4) -> MemoryAttention:
    return ATTENTIONS[name](4, memory_size).double()


def inputs(memory_size: int = 4) -> tuple[Tensor, Tensor]:
    """Queries (3, 3, 4) and a memory (5, 3, M)."""
    return torch.randn(3, 3, 4, dtype=torch.float64), torch.randn(5, 3, memory_size, dtype=torch.float64)


def by_hand(name: str, attention: MemoryAttention, queries: Tensor, values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Context and weights from the papers' formulas, one query and one place at a time."""
    weights = {key: value.detach().numpy() for key, value in attention.named_parameters()}
    q, m = queries.numpy(), values.numpy()
    found, context = np.zeros((3, 3, 5)), np.zeros((3, 3, m.shape[2]))
    for t in range(3):
        for b, length in enumerate(LENGTHS):
            scores = []
            for s in range(length):
                if name == "additive":
                    inner = weights["of_query.weight"] @ q[t, b] + weights["of_memory.weight"] @ m[s, b]
                    scores.append(weights["direction"] @ np.tanh(inner + weights["of_memory.bias"]))
                elif name == "general":
                    scores.append(q[t, b] @ weights["of_memory.weight"] @ m[s, b])
                else:
                    scores.append(q[t, b] @ m[s, b] / math.sqrt(m.shape[2]))
            if length:
                e = np.exp(np.array(scores) - max(scores))
                found[t, b, :length] = e / e.sum()
                context[t, b] = found[t, b, :length] @ m[:length, b]
    return context, found


@pytest.mark.parametrize("name", ATTENTIONS)
def test_as_in_the_papers(name: str) -> None:
    attention = made(name)
    queries, values = inputs()
    context, weights = attention(queries, attention.remember(values, torch.tensor(LENGTHS)))
    expected = by_hand(name, attention, queries, values)
    assert np.abs(context.detach().numpy() - expected[0]).max() < 1e-12
    assert np.abs(weights.detach().numpy() - expected[1]).max() < 1e-12


@pytest.mark.parametrize("name", ATTENTIONS)
def test_padding_is_never_looked_at(name: str) -> None:
    attention = made(name)
    queries, values = inputs()
    lengths = torch.tensor(LENGTHS)
    past = torch.arange(5)[:, None] >= lengths
    context, _ = attention(queries, attention.remember(values, lengths))
    for anything in (math.nan, math.inf, 1e30):
        spoilt = values.masked_fill(past[..., None], anything).requires_grad_()
        again, weights = attention(queries, attention.remember(spoilt, lengths))
        assert torch.equal(again, context)
        assert bool((weights.transpose(0, 2)[past[:, :, None].expand(-1, -1, 3)] == 0.0).all())
        (gradient,) = torch.autograd.grad(again.sum(), spoilt)
        assert bool((gradient[past] == 0.0).all()) and bool(gradient.isfinite().all())


def test_rows_of_one_memory_are_as_rows_of_copies_of_it() -> None:
    attention = made("additive", 6)
    values, lengths = torch.randn(5, 2, 6, dtype=torch.float64), torch.tensor([5, 3])
    queries = torch.randn(2, 6, 4, dtype=torch.float64)
    found = attention(queries, attention.remember(values, lengths))
    copies = attention.remember(values.repeat_interleave(3, 1), lengths.repeat_interleave(3))
    for one, other in zip(found, attention(queries, copies), strict=True):
        assert (one - other).abs().max() < 1e-14


def test_refusals() -> None:
    with pytest.raises(UserError, match="'genral'; did you mean 'general'"):
        find_attention("genral")
    with pytest.raises(UserError, match="query_size=0; give a whole number"):
        ATTENTIONS["general"](0, 3)
    attention = made("general", 6)
    with pytest.raises(UserError, match=r"the memory is \(5, 2, 4\); expected \(S, N, 6\)"):
        attention.remember(torch.zeros(5, 2, 4))
    with pytest.raises(UserError, match="one for each of the 2 memories"):
        attention.remember(torch.zeros(5, 2, 6), torch.tensor([5]))
    memory = attention.remember(torch.zeros(5, 2, 6, dtype=torch.float64))
    with pytest.raises(UserError, match="3 rows look at 2 memories"):
        attention(torch.zeros(1, 3, 4, dtype=torch.float64), memory)
