from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from elman.models.pooling import POOLINGS, Attention

LENGTHS = [5, 1, 3, 0]


def by_hand(kind: str, steps: np.ndarray, pooling: torch.nn.Module, half: int | None) -> np.ndarray:
    """One row's valid steps (t, H), pooled with NumPy."""
    if kind == "last":
        return steps[-1] if half is None else np.concatenate([steps[-1, :half], steps[0, half:]])
    if kind == "mean":
        return steps.mean(0)
    if kind == "max":
        return steps.max(0)
    weight, bias = pooling.project.weight.detach().numpy(), pooling.project.bias.detach().numpy()
    scores = np.tanh(steps @ weight.T + bias) @ pooling.query.weight.detach().numpy()[0]
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ steps


def outputs(garbage: float) -> Tensor:
    y = torch.randn(5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for row, length in enumerate(LENGTHS):
        y[length:, row] = garbage
    return y


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", sorted(POOLINGS))
def test_it_equals_each_row_by_hand_whatever_is_past_its_end(kind: str, bidirectional: bool) -> None:
    pooling = POOLINGS[kind](6, bidirectional, dtype=torch.float64)
    lengths = torch.tensor(LENGTHS)
    pooled = pooling(outputs(0.0), lengths)
    for row, length in enumerate(LENGTHS[:3]):
        steps = outputs(0.0)[:length, row].numpy()
        expected = by_hand(kind, steps, pooling, 3 if bidirectional else None)
        np.testing.assert_allclose(pooled[row].detach(), expected, rtol=1e-12)
    assert not pooled[3].any(), "nothing was read"
    assert torch.equal(pooling(outputs(1e30), lengths), pooled)


@pytest.mark.parametrize("kind", sorted(POOLINGS))
def test_no_gradient_reaches_the_padding(kind: str) -> None:
    pooling = POOLINGS[kind](6, dtype=torch.float64)
    y = outputs(7.0).requires_grad_()
    (pooling(y, torch.tensor(LENGTHS)) ** 2).sum().backward()
    assert y.grad is not None and torch.isfinite(y.grad).all()
    for row, length in enumerate(LENGTHS):
        assert not y.grad[length:, row].any()
    assert y.grad[:3, 2].any()


def test_attention_never_attends_to_padding() -> None:
    pooling = Attention(6, dtype=torch.float64)
    weights = pooling.weights(outputs(50.0), torch.tensor(LENGTHS))
    assert weights.sum(0).tolist() == pytest.approx([1, 1, 1, 0])
    for row, length in enumerate(LENGTHS):
        assert not weights[length:, row].any()
        assert (weights[:length, row] > 0).all()
