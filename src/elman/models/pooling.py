"""How the outputs over time become one vector a row, without a look past the row's end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Pooling(nn.Module):
    """``pooled = pooling(y, lengths)`` with y (T, B, H), lengths (B,) and pooled (B, H); zeros for rows of length 0."""

    def __init__(self, size: int, bidirectional: bool = False, **place: Any) -> None:
        super().__init__()
        self.size = size
        self.bidirectional = bidirectional


class Last(Pooling):
    """The output after the last step; of a backward layer, whose outputs are the second half, the one at the start.

    >>> y = torch.arange(6.0).view(3, 1, 2)
    >>> Last(2)(y, torch.tensor([2])).tolist(), Last(2, bidirectional=True)(y, torch.tensor([2])).tolist()
    ([[2.0, 3.0]], [[2.0, 1.0]])
    """

    def forward(self, y: Tensor, lengths: Tensor) -> Tensor:
        at = (lengths - 1).clamp(min=0)
        last = y[at, torch.arange(y.shape[1], device=y.device)]
        if self.bidirectional:
            half = self.size // 2
            last = torch.cat([last[:, :half], y[0, :, half:]], -1)
        return last.masked_fill((lengths == 0).unsqueeze(-1), 0.0)


class Mean(Pooling):
    """The mean over the row's steps.

    >>> Mean(1)(torch.tensor([1.0, 3.0, 9.0]).view(3, 1, 1), torch.tensor([2])).item()
    2.0
    """

    def forward(self, y: Tensor, lengths: Tensor) -> Tensor:
        total = y.masked_fill(_past(y, lengths), 0.0).sum(0)
        return total / lengths.clamp(min=1).unsqueeze(-1).to(total.dtype)


class Max(Pooling):
    """The largest output of every unit over the row's steps.

    >>> Max(1)(torch.tensor([-2.0, -1.0, 0.0]).view(3, 1, 1), torch.tensor([2])).item()
    -1.0
    """

    def forward(self, y: Tensor, lengths: Tensor) -> Tensor:
        largest = y.masked_fill(_past(y, lengths), -torch.inf).amax(0)
        return largest.masked_fill((lengths == 0).unsqueeze(-1), 0.0)


class Attention(Pooling):
    """The mean weighted by softmax over time of v . tanh(W y_t + b), Yang et al. 2016 (NAACL, hierarchical attention).

    ``weights(y, lengths)`` gives the weights (T, B): zero past the end, and a row of length 0 has none.
    """

    def __init__(self, size: int, bidirectional: bool = False, **place: Any) -> None:
        super().__init__(size, bidirectional)
        self.project = nn.Linear(size, size, **place)
        self.query = nn.Linear(size, 1, bias=False, **place)

    def weights(self, y: Tensor, lengths: Tensor) -> Tensor:
        scores = self.query(torch.tanh(self.project(y)))
        past = _past(y, lengths)
        # The lowest number, not -inf: a row of length 0 has nothing to divide by.
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(past, lowest).softmax(0).masked_fill(past, 0.0).squeeze(-1)

    def forward(self, y: Tensor, lengths: Tensor) -> Tensor:
        return (self.weights(y, lengths).unsqueeze(-1) * y.masked_fill(_past(y, lengths), 0.0)).sum(0)


POOLINGS: dict[str, type[Pooling]] = {"last": Last, "mean": Mean, "max": Max, "attention": Attention}


def _past(y: Tensor, lengths: Tensor) -> Tensor:
    """Which steps are past their row's end, (T, B, 1)."""
    return (torch.arange(y.shape[0], device=y.device).unsqueeze(-1) >= lengths).unsqueeze(-1)
