"""Windows of a series: the values up to now, and those to forecast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError


class ForecastWindow(NamedTuple):
    """B windows: ``history`` (W, B, C), ``future`` (N, B, K) known ahead, ``target`` (N, B, D), NaN where missing."""

    history: Tensor
    future: Tensor
    target: Tensor


class SeriesWindows:
    """Every window of a series: W rows of history and the N rows after them.

    Args:
        values: (T, C) without gaps, targets first, the K covariates known ahead last; what the history is read from.
        targets: (T, D), NaN where there was no value; a window without any value to forecast is left out.
        known: K.
        context: W.
        steps: N.
        first: the first row that may be forecast; the histories may lie before it. Default W.
        dtype: of the windows.
        part: what the rows from ``first`` on are called in errors.

    Raises ``UserError`` where the series is too short for one window, or has nothing to forecast.

    >>> windows = SeriesWindows(np.arange(6.0)[:, None], np.arange(6.0)[:, None], 0, context=3, steps=2)
    >>> len(windows)
    2
    >>> windows.at(windows.origins[-1:]).history.ravel(), windows.at(windows.origins[-1:]).target.ravel()
    (tensor([1., 2., 3.]), tensor([4., 5.]))
    """

    def __init__(
        self,
        values: np.ndarray,
        targets: np.ndarray,
        known: int,
        context: int,
        steps: int,
        first: int = 0,
        dtype: torch.dtype = torch.float32,
        part: str = "the series",
    ) -> None:
        self.values, self.targets = torch.tensor(values, dtype=dtype), torch.tensor(targets, dtype=dtype)
        self.known, self.context, self.steps = known, context, steps
        begin, end = max(first, context), len(values) - steps + 1
        if end <= begin:
            window = f"the {steps} values of a forecast"
            if first < context:
                window = f"a window of {context} values and the {steps} after them"
            raise UserError(
                f"{part} is too short for {window}; give a longer series, a smaller context or horizon, or other parts "
                "(test, valid)"
            )
        origins = torch.arange(begin, end)
        some = ~self.targets[origins[:, None] + torch.arange(steps)].isnan().flatten(1).all(1)
        self.origins = origins[some]
        if not len(self.origins):
            raise UserError(f"{part} holds no value that could be forecast; give a fuller series")

    def __len__(self) -> int:
        return len(self.origins)

    def at(self, origins: Tensor) -> ForecastWindow:
        """The windows whose first forecast row is each of ``origins`` (B,)."""
        before = origins + torch.arange(-self.context, 0)[:, None]
        after = origins + torch.arange(self.steps)[:, None]
        return ForecastWindow(
            self.values[before],
            self.values[after][..., self.values.shape[1] - self.known :],
            self.targets[after],
        )

    def batches(self, size: int) -> Iterator[ForecastWindow]:
        """All windows once, in order, ``size`` at a time."""
        return (self.at(chunk) for chunk in self.origins.split(size))
