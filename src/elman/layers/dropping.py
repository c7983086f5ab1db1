"""Dropout between layers, unit by unit or locked."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def drop_units(x: Tensor, p: float, training: bool, locked: bool = False) -> Tensor:
    """x (T, B, H) with units dropped with probability p in training, the others scaled by 1 / (1 - p).

    ``locked`` drops the same units of a row at all its steps: Gal and Ghahramani 2016, arXiv:1512.05287.

    >>> y = drop_units(torch.ones(3, 2, 4), 0.5, training=True, locked=True)
    >>> torch.equal(y[0], y[2]), set(y.unique().tolist()) <= {0.0, 2.0}
    (True, True)
    """
    if not locked or not training or not p:
        return F.dropout(x, p, training)
    return x * F.dropout(torch.ones_like(x[:1]), p)
