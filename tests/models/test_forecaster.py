from __future__ import annotations

import numpy as np
import pytest
import torch

from elman import UserError
from elman.models.forecaster import ForecastNet, pinball


def net(**options: object) -> ForecastNet:
    sizes = {"columns": 3, "targets": 2, "known": 1, "context": 6, "steps": 5, "quantiles": 3, "hidden_size": 4}
    return ForecastNet(**{**sizes, "cell": "rnn", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("divide", [False, True])
def test_a_window_is_made_relative_as_said(divide: bool) -> None:
    history = torch.randn(9, 4, 3, dtype=torch.float64)
    x = history[..., :2]
    want = {
        "nothing": (history[-6:, :, :2], torch.zeros(5, 4, 2)),
        "last": (x[-6:] - x[-1:], x[-1:].expand(5, 4, 2)),
        "mean": (x[-6:] - x[-6:].mean(0), x[-6:].mean(0).expand(5, 4, 2)),
        "difference": (x[-6:] - x[-7:-1], x[-1:].expand(5, 4, 2)),
        "season": (x[-6:] - x[-9:-3], torch.cat([x[-3:], x[-3:-1]])),
    }
    for name, (inputs, base) in want.items():
        model = net(subtract=name, season=3, divide=divide)
        got, frame = model._relative(history[-model.history_needed :])
        unit = inputs.abs().mean(0).clamp_min(1e-2) if divide else torch.ones(4, 2)
        torch.testing.assert_close(got[..., :2], inputs / unit, check_dtype=False)
        torch.testing.assert_close(got[..., 2], history[-6:, :, 2])
        values = torch.randn(5, 4, 2, 3, dtype=torch.float64)
        expected = (values - base.unsqueeze(-1)) / unit.unsqueeze(-1)
        torch.testing.assert_close(frame.relative(values), expected, check_dtype=False)
        torch.testing.assert_close(frame.absolute(frame.relative(values)), values)


def test_quantiles_ascend_and_hear_the_future() -> None:
    model = net()
    history, future = torch.randn(6, 8, 3), torch.randn(5, 8, 1)
    quantiles, _ = model(history, future)
    assert quantiles.shape == (5, 8, 2, 3)
    assert bool((quantiles.diff(dim=-1) >= 0).all())
    assert not torch.equal(model(history, future + 1)[0], quantiles)
    with pytest.raises(UserError, match="give future"):
        model(history)


@pytest.mark.parametrize("subtract", ["nothing", "last", "season"])
def test_the_linear_part_is_a_ridge_regression(subtract: str) -> None:
    draw = np.random.default_rng(0)
    model = net(columns=1, targets=1, known=0, subtract=subtract, season=3).double()
    rows = draw.standard_normal((400, 1)).cumsum(0)
    needed = model.history_needed
    origins = range(needed, 395)
    history = torch.tensor(np.stack([rows[o - needed : o] for o in origins], 1))
    target = torch.tensor(np.stack([rows[o : o + 5] for o in origins], 1))
    model.fit_linear(history, target)
    inputs, frame = model._relative(history)
    left = np.column_stack([inputs[..., 0].T.numpy(), np.ones(len(origins))])
    right = frame.relative(target[..., None])[..., 0, 0].T.numpy()
    solutions = []
    for penalty in 10.0 ** np.arange(-5, 4):
        corner = np.sqrt(penalty * len(left)) * np.eye(6, 7)
        stacked = np.linalg.lstsq(np.vstack([left, corner]), np.vstack([right, np.zeros((6, 5))]), rcond=None)[0]
        solutions.append(stacked)
    weights = np.vstack([model.linear.weight.numpy().T, model.linear.bias.numpy()])  # type: ignore[union-attr]
    assert min(np.abs(weights - each).max() for each in solutions) < 1e-6
    assert not any(parameter.requires_grad for parameter in model.linear.parameters())  # type: ignore[union-attr]
    # The head starts at zero: the net forecasts as the line does.
    quantiles, _ = model(history)
    np.testing.assert_allclose(quantiles[:, :, 0, 1].detach().numpy().T, left @ weights, atol=1e-8)


def test_white_noise_is_not_believed() -> None:
    model = net(columns=1, targets=1, known=0, subtract="nothing")
    rows = torch.randn(400, 1)
    history = torch.stack([rows[o - 6 : o] for o in range(6, 395)], 1)
    model.fit_linear(history, torch.stack([rows[o : o + 5] for o in range(6, 395)], 1))
    assert float(model.linear.weight.abs().max()) < 0.02  # type: ignore[union-attr]


def test_pinball_by_hand_and_its_minimum() -> None:
    quantiles, values = torch.tensor([[0.0, 2.0], [1.0, 1.0]]), torch.tensor([1.0, float("nan")])
    # 0.2 (1 - 0) = 0.2 and (1 - 0.9) (2 - 1) = 0.1; the missing value does not count.
    assert pinball(quantiles, values, torch.tensor([0.2, 0.9])).item() == pytest.approx(0.15)
    draws, levels = torch.randn(20_000, generator=torch.Generator().manual_seed(0)), torch.tensor([0.8])
    grid = torch.linspace(-2, 2, 81)
    best = min(grid, key=lambda q: pinball(q.expand(len(draws), 1), draws, levels).item())
    assert abs(best - draws.quantile(0.8)) < 0.05


def test_bad_options() -> None:
    with pytest.raises(UserError, match="dropout=1"):
        net(dropout=1.0)
