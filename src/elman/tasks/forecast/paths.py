"""Forecasts of any number of steps from a net that forecasts a block of them: block by block, along drawn paths."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...models.forecaster import ForecastNet
from ..sequence_task import judging
from .settings import MEDIAN

PATHS = 200


def quantiles_ahead(
    net: ForecastNet, history: Tensor, future: Tensor, steps: int, levels: tuple[float, ...], stretch: Tensor
) -> np.ndarray:
    """Quantiles (steps, B, D, Q) after histories (W, B, C) at ``levels``.

    ``future`` (blocks x N, B, K) is known ahead; ``stretch`` (Q,) multiplies each quantile's distance from the median.
    After the first block of N steps, 200 paths a history are drawn from the quantiles of the block before and read as
    history; the quantiles of what is drawn from theirs are the forecast. With the median alone it is fed back itself.
    """
    paths = PATHS if len(levels) > 1 else 1
    draw = torch.Generator(history.device).manual_seed(0)

    def block(history: Tensor, future: Tensor) -> Tensor:
        quantiles, frame = net(history, future)
        median = quantiles[..., levels.index(MEDIAN), None]
        wide = median + (quantiles - median) * stretch.to(quantiles)
        return frame.absolute(wide.sort(-1).values)

    with judging(net):
        quantiles = block(history, future[: net.steps])
        at = torch.tensor(levels).to(quantiles)
        blocks = [quantiles]
        for start in range(net.steps, steps, net.steps):
            if start == net.steps:
                history, future, quantiles = (each.repeat_interleave(paths, 1) for each in (history, future, quantiles))
                drawn = _drawn(quantiles, at, paths, draw)
            rows = torch.cat([drawn, future[start - net.steps : start]], -1)
            history = torch.cat([history, rows])[-net.history_needed :]
            drawn = _drawn(block(history, future[start : start + net.steps]), at, paths, draw)
            blocks.append(torch.quantile(drawn.unflatten(1, (-1, paths)), at, dim=2).movedim(0, -1))
    return torch.cat(blocks)[:steps].cpu().numpy()


def _drawn(quantiles: Tensor, levels: Tensor, paths: int, draw: torch.Generator) -> Tensor:
    """One path (N, B, D) of each row of quantiles (N, B, D, Q), of which every ``paths`` belong together.

    The paths that belong together take evenly spread levels, each once, in random order.
    """
    if paths == 1:
        return quantiles[..., 0]
    _, batch, targets, _ = quantiles.shape
    order = torch.rand(batch // paths, paths, targets, generator=draw, device=quantiles.device).argsort(1)
    normal = torch.special.ndtri((order.flatten(0, 1).to(quantiles) + 0.5) / paths)
    return _at(quantiles, torch.special.ndtri(levels), normal)


def _at(quantiles: Tensor, scores: Tensor, normal: Tensor) -> Tensor:
    """The values (N, B, D) of quantile functions (N, B, D, Q) at standard normal scores (B, D).

    Between the levels, and beyond the outermost, the function is a straight line over the normal score: exact for a
    normal distribution.

    >>> _at(torch.tensor([[[[-1.0, 0.0, 1.0]]]]), torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[2.5]])).item()
    2.5
    """
    upper = torch.searchsorted(scores, normal.contiguous()).clamp(1, len(scores) - 1).expand(quantiles.shape[:-1])
    low, high = (quantiles.gather(-1, (upper - k).unsqueeze(-1)).squeeze(-1) for k in (1, 0))
    return low + (high - low) * (normal - scores[upper - 1]) / (scores[upper] - scores[upper - 1])
