"""Small language models that keep the contract: x (T, B), logits (T, B, V), a state of (B, ...) leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman.structure import map_leaves


class TinyNet(nn.Module):
    """Embedding, two torch.nn layers with dropout, head; the state is transposed to batch first."""

    def __init__(self, layer: str, vocabulary: int, scale: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 5)
        self.rnn = getattr(nn, layer)(5, 6, num_layers=2, dropout=0.5)
        self.head = nn.Linear(6, vocabulary)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(scale)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        swapped = map_leaves(lambda leaf: leaf.transpose(0, 1).contiguous(), state)
        y, after = self.rnn(self.embedding(x), swapped)
        return self.head(y), map_leaves(lambda leaf: leaf.transpose(0, 1), after)


class Script(nn.Module):
    """A net without memory: the logits after id i are row i of a table."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.table[x], state


@pytest.fixture(params=["GRU", "LSTM"])
def make_net(request: pytest.FixtureRequest) -> Callable[..., nn.Module]:
    def make(vocabulary: int = 7, *, seed: int = 0, scale: float = 2.0) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return TinyNet(request.param, vocabulary, scale).double()

    return make


@pytest.fixture
def script() -> Callable[[Any], nn.Module]:
    """Makes a net from a table of next-id probabilities, one row an id."""
    return lambda table: Script(torch.as_tensor(table, dtype=torch.float64).clamp_min(1e-30).log())


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(17)
