from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from elman.data.windows import ForecastWindow
from elman.models.forecaster import Frame
from elman.tasks.forecast.intervals import stretch_of


class Fixed(nn.Module):
    """Says the same quantiles (Q,) of every target."""

    def __init__(self, quantiles: list[float]) -> None:
        super().__init__()
        self.quantiles = nn.Parameter(torch.tensor(quantiles))

    def forward(self, history: Tensor, future: Tensor) -> tuple[Tensor, Frame]:
        steps, batch = future.shape[:2]
        shape = (steps, batch, 1, len(self.quantiles))
        return self.quantiles.expand(shape), Frame(torch.zeros(1, batch, 1, 1), torch.ones(batch, 1, 1))


def windows(values: Any) -> list[ForecastWindow]:
    target = torch.as_tensor(values, dtype=torch.float32).view(1, -1, 1)
    rows = target.shape[1]
    return [ForecastWindow(torch.zeros(1, rows, 1), torch.zeros(1, rows, 0), target)]


def stretched(quantiles: list[float], levels: tuple[float, ...], values: Any) -> Tensor:
    net: Any = Fixed(quantiles)
    return stretch_of(net, windows(values), levels)


def test_stretched_quantiles_hold_their_shares() -> None:
    values = np.random.default_rng(0).standard_normal(5000)
    factors = stretched([-0.5, 0.1, 1.0], (0.1, 0.5, 0.9), values)
    low, high = (0.1 + float(factors[k]) * (quantile - 0.1) for k, quantile in ((0, -0.5), (2, 1.0)))
    assert factors[1] == 1
    assert (values < low).mean() == pytest.approx(0.1, abs=1e-3)
    assert (values < high).mean() == pytest.approx(0.9, abs=1e-3)
    # Values that are missing do not count.
    np.testing.assert_allclose(stretched([-0.5, 0.1, 1.0], (0.1, 0.5, 0.9), [*values, np.nan]), factors)


def test_without_any_spread_the_factors_are_numbers() -> None:
    factors = stretched([1.0, 1.0, 1.0], (0.1, 0.5, 0.9), [1.0] * 20)
    assert factors.tolist() == [0, 1, 0]
    # Errors to both sides of two quantiles that lie on the median: each side is its own.
    factors = stretched([0.0, 0.0, 0.0], (0.1, 0.5, 0.9), [-2e-6] * 10 + [1e-6] * 10)
    assert factors.tolist() == pytest.approx([2, 1, 1])


@pytest.mark.slow
def test_more_values_than_tensor_quantile_takes() -> None:
    factors = stretched([0.0, 1.0], (0.5, 0.75), torch.linspace(-2, 2, 2**24 + 2))
    assert factors.tolist() == pytest.approx([1, 1], abs=1e-4)
