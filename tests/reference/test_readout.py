"""The read-out and its loss against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from elman.errors import UserError
from elman.reference import readout


def test_loss_and_gradients_are_pytorchs() -> None:
    rng = np.random.default_rng(0)
    params, ys, targets = readout.start(4, 6, rng), rng.normal(size=(5, 3, 4)), rng.integers(0, 6, (5, 3))
    params["bias"] += rng.normal(size=6)
    loss, dlogits = readout.cross_entropy(readout.forward(params, ys), targets)
    gradients, dys = readout.backward(params, ys, dlogits)

    weight, bias, y = (torch.from_numpy(each).requires_grad_() for each in (params["weight"], params["bias"], ys))
    expected = F.cross_entropy(F.linear(y, weight, bias).flatten(0, 1), torch.from_numpy(targets).flatten())
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for ours, theirs in ((gradients["weight"], weight), (gradients["bias"], bias), (dys, y)):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_large_scores_do_not_overflow() -> None:
    loss, dlogits = readout.cross_entropy(np.array([[[1000.0, 0.0]]]), np.array([[1]]))
    assert loss == 1000.0
    np.testing.assert_array_equal(dlogits, [[[1.0, -1.0]]])


@pytest.mark.parametrize("targets", [np.zeros((2, 2), int), np.full((3, 2), 5), np.full((3, 2), -1)])
def test_targets_that_do_not_fit(targets: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"targets \(\d, 2\) do not fit logits \(3, 2, 5\).* from 0 to 4"):
        readout.cross_entropy(np.zeros((3, 2, 5)), targets)


def test_no_targets_have_no_mean() -> None:
    with pytest.raises(UserError, match="at least one"):
        readout.cross_entropy(np.zeros((0, 2, 5)), np.zeros((0, 2), int))
