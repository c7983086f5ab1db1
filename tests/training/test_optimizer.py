from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from elman.training import TrainSettings
from elman.training.optimizer import (
    build_optimizer,
    clip_gradients,
    gradient_norm,
    load_optimizer_tensors,
    optimizer_tensors,
)


def with_gradient(values: list[float]) -> nn.Linear:
    layer = nn.Linear(len(values), 1, bias=False, dtype=torch.float64)
    layer.weight.grad = torch.tensor([values], dtype=torch.float64)
    return layer


def test_adam_equals_kingma_and_ba_written_out() -> None:
    layer = with_gradient([0.3, -2.0])
    weight = layer.weight.detach().numpy().copy()
    optimizer = build_optimizer(layer, TrainSettings(learning_rate=0.1, betas=(0.8, 0.9)))
    m = v = np.zeros((1, 2))
    for step in range(1, 4):
        gradient = np.array([[0.3, -2.0]]) * step
        layer.weight.grad = torch.tensor(gradient)
        optimizer.step()
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        weight -= 0.1 * (m / (1 - 0.8**step)) / (np.sqrt(v / (1 - 0.9**step)) + 1e-8)
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, rtol=1e-12)


def test_sgd_has_momentum_and_only_matrices_decay() -> None:
    layer = nn.Linear(1, 1, dtype=torch.float64)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 2.0)
    settings = TrainSettings(optimizer="sgd", learning_rate=0.5, momentum=0.5, weight_decay=0.1)
    optimizer = build_optimizer(layer, settings)
    for _ in range(2):
        layer.weight.grad, layer.bias.grad = torch.ones(1, 1).double(), torch.ones(1).double()
        optimizer.step()
    # weight: velocity 1.2, w 1.4; velocity .6 + 1.14, w .53.  bias: 1, 1.5; 1.5, .75.
    assert layer.weight.item() == pytest.approx(0.53, rel=1e-12)
    assert layer.bias.item() == pytest.approx(0.75, rel=1e-12)


def test_adamw_with_decay_only_shrinks_weights() -> None:
    layer = with_gradient([0.0, 0.0])
    before = layer.weight.detach().clone()
    build_optimizer(layer, TrainSettings(optimizer="adamw", learning_rate=0.5)).step()
    assert torch.allclose(layer.weight, before * (1 - 0.5 * 0.01), rtol=1e-12)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=6), st.floats(0.1, 10))
def test_clipping_by_norm_and_by_value(values: list[float], clip: float) -> None:
    gradient = np.array(values)
    layer = with_gradient(values)
    norm = gradient_norm(layer)
    assert norm.item() == pytest.approx(np.linalg.norm(gradient), rel=1e-12)

    clip_gradients(layer, TrainSettings(clip=clip), norm)
    expected = gradient * min(1.0, clip / (np.linalg.norm(gradient) + 1e-6))
    np.testing.assert_allclose(layer.weight.grad.numpy()[0], expected, rtol=1e-9)

    layer = with_gradient(values)
    clip_gradients(layer, TrainSettings(clip=clip, clip_by="value"), norm)
    np.testing.assert_allclose(layer.weight.grad.numpy()[0], np.clip(gradient, -clip, clip), rtol=1e-12)

    layer = with_gradient(values)
    clip_gradients(layer, TrainSettings(clip=None), norm)
    np.testing.assert_array_equal(layer.weight.grad.numpy()[0], gradient)


@pytest.mark.parametrize("rule", ["adam", "adamw", "sgd"])
def test_the_memory_of_the_optimiser_goes_out_and_in(rule: str) -> None:
    def model() -> nn.Sequential:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(2, 2))
        net[2].weight = net[1].weight if net[1].weight.shape == net[2].weight.shape else net[2].weight
        return net

    settings = TrainSettings(optimizer=rule)  # type: ignore[arg-type]
    first, second = model(), model()
    one, two = build_optimizer(first, settings), build_optimizer(second, settings)

    def update(net: nn.Module, optimizer: torch.optim.Optimizer, scale: float) -> None:
        for number, parameter in enumerate(net.parameters()):
            parameter.grad = torch.full_like(parameter, scale * (number + 1))
        optimizer.step()

    update(first, one, 1.0)
    second.load_state_dict(first.state_dict())
    load_optimizer_tensors(second, two, {k: v.clone() for k, v in optimizer_tensors(first, one).items()})
    update(first, one, -0.7)
    update(second, two, -0.7)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
