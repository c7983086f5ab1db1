"""The mean of the weights over the last part of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The running mean of a model's weights, begun when validation stops improving.

    Averaged SGD (Polyak and Juditsky 1992) with the start of Merity et al. 2018, arXiv:1708.02182 (NT-ASGD): once
    ``after`` evaluations brought no new best, the weights of every further step are averaged, those present included.
    Training goes on with the weights themselves; evaluations and checkpoints have the mean. With None it never begins.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = Average(model, after=1)
    >>> average.observe(stale=1)
    >>> with torch.no_grad():
    ...     _ = model.weight.add_(2)
    >>> average.update()
    >>> with average.shown():
    ...     mean = model.weight.item()
    >>> round(model.weight.item() - mean, 4)
    1.0
    """

    def __init__(self, model: nn.Module, after: int | None) -> None:
        self._parameters = dict(model.named_parameters())
        self._after = after
        self.count = 0
        self.hidden: dict[str, Tensor] = {}
        """The mean; while that is shown, the weights themselves."""

    def observe(self, stale: int) -> None:
        """Take note of an evaluation, the ``stale``-th without a new best: begins when that is enough."""
        if self._after is not None and stale >= self._after and not self.count:
            self.count = 1
            self.hidden = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after one more step into the mean."""
        if self.count:
            self.count += 1
            torch._foreach_lerp_(list(self.hidden.values()), list(self._parameters.values()), 1 / self.count)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, the model has the mean weights, if there are any."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def load(self, count: int, weights: dict[str, Tensor]) -> None:
        """Go on where the model has the mean of ``count`` steps, and ``weights`` are the weights themselves."""
        self.count = count
        self.hidden = {name: p.detach().clone() for name, p in self._parameters.items() if name in weights}
        for name in self.hidden:
            self._parameters[name].data.copy_(weights[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for name, other in self.hidden.items():
            mine = self._parameters[name].clone()
            self._parameters[name].copy_(other)
            other.copy_(mine)
