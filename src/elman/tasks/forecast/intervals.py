"""Intervals that hold their shares: how far the quantiles of a net are to be stretched."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ...data.windows import ForecastWindow
from ...models.forecaster import ForecastNet
from ..sequence_task import judging
from .settings import MEDIAN

SMALLEST_SPREAD = 1e-6  # of the scaled series; a quantile nearer to the median is taken to be this far from it


def stretch_of(net: ForecastNet, windows: Iterable[ForecastWindow], levels: tuple[float, ...]) -> Tensor:
    """The factors (Q,), in float64, with which the quantiles at ``levels`` hold their shares of the windows' targets.

    Each is that quantile of the targets' distances from the median over the net's own, all steps together; at least 0,
    and 1 for the median itself.
    """
    middle = levels.index(MEDIAN)
    side = torch.tensor([-SMALLEST_SPREAD if level < MEDIAN else SMALLEST_SPREAD for level in levels])
    ratios = []
    with judging(net) as device:
        for part in windows:
            history, future, target = (each.to(device) for each in part)
            quantiles, frame = net(history, future)
            there = ~target.isnan()
            error = frame.relative(target.unsqueeze(-1))[there] - quantiles[there][:, middle, None]
            spread = quantiles[there] - quantiles[there][:, middle, None]
            ratios.append(error / torch.where(spread.abs() < SMALLEST_SPREAD, side.to(spread), spread))
    whole = torch.cat(ratios).double().cpu().numpy()
    # NumPy's: Tensor.quantile refuses more than 16 million values.
    factors = [max(float(np.quantile(whole[:, k], max(each, 1 - each))), 0.0) for k, each in enumerate(levels)]
    factors[middle] = 1.0
    return torch.tensor(factors, dtype=torch.float64)
