"""Truncated BPTT in NumPy against ``elman.TBPTT``, window by window, the parameters changing in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elman import TBPTT, Recurrent
from elman.errors import UserError
from elman.reference import readout, tbptt

from .conftest import BATCH, HIDDEN, INPUT, Problem

TIME, TOKENS, RATE = 22, 5, 0.3


class Model(nn.Module):
    """The same net and read-out in PyTorch."""

    def __init__(self, problem: Problem, out: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.layer = Recurrent(problem.name, INPUT, HIDDEN, dtype=torch.float64)
        self.out = nn.Linear(HIDDEN, TOKENS, dtype=torch.float64)
        self.net = self.layer.layers[0][0]
        for module, params in ((self.net, problem.params), (self.out, out)):
            module.load_state_dict({name: torch.from_numpy(each.copy()) for name, each in params.items()})

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        y, state = self.layer(x, state)
        return self.out(y), state


def data(problem: Problem) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    out = readout.start(HIDDEN, TOKENS, rng)
    return out, rng.normal(size=(TIME, BATCH, INPUT)), rng.integers(0, TOKENS, (TIME, BATCH))


def mean_loss(scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten())


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 4), (4, 4), (4, 8), (5, 15), (4, 40), (30, 30)])
def test_every_window_has_the_loss_and_gradients_of_elmans_driver(problem: Problem, k1: int, k2: int) -> None:
    out, x, targets = data(problem)
    model = Model(problem, out)
    driver, optimizer = TBPTT(model, k1, k2), torch.optim.SGD(model.parameters(), RATE)
    starts = range(0, TIME, k1)
    windows = list(tbptt_with_updates(problem, out, x, targets, k1, k2))
    assert len(windows) == len(starts)
    for begin, (loss, gradients) in zip(starts, windows, strict=True):
        optimizer.zero_grad()
        part = slice(begin, begin + k1)
        expected = driver.backward(mean_loss, torch.from_numpy(x[part]), torch.from_numpy(targets[part]))
        assert loss == pytest.approx(expected.item(), rel=1e-10)
        for prefix, module in (("net", model.net), ("out", model.out)):
            for name, parameter in module.named_parameters():
                ours = gradients[f"{prefix}.{name}"]
                np.testing.assert_allclose(parameter.grad.numpy(), ours, rtol=1e-9, atol=1e-12)
        optimizer.step()


def tbptt_with_updates(problem: Problem, out: dict, x: np.ndarray, targets: np.ndarray, k1: int, k2: int) -> Any:
    params = {name: each.copy() for name, each in problem.params.items()}
    for loss, of_net, of_out in tbptt(problem.net, params, out, x, targets, k1, k2):
        yield loss, {f"net.{n}": each for n, each in of_net.items()} | {f"out.{n}": each for n, each in of_out.items()}
        for each, gradients in ((params, of_net), (out, of_out)):
            for name in each:
                each[name] -= RATE * gradients[name]


def test_one_window_over_all_of_it_is_full_backpropagation(problem: Problem) -> None:
    out, x, targets = data(problem)
    state = problem.state
    [(loss, gradients, _)] = tbptt(problem.net, problem.params, out, x, targets, TIME, state=state)
    ys, _, caches = problem.net.forward(problem.params, x, state)
    expected, dlogits = readout.cross_entropy(readout.forward(out, ys), targets)
    full, _, _ = problem.net.backward(problem.params, caches, readout.backward(out, ys, dlogits)[1])
    assert loss == expected
    for name in full:
        np.testing.assert_array_equal(gradients[name], full[name])


def test_a_shorter_memory_is_another_gradient(problem: Problem) -> None:
    out, x, targets = data(problem)
    last = {}
    for k2 in (2, 4, 20):
        *_, (_, gradients, _) = tbptt(problem.net, problem.params, out, x, targets, 2, k2)
        last[k2] = gradients["weight_hh"]
    assert np.linalg.norm(last[2] - last[20]) > np.linalg.norm(last[4] - last[20]) > 1e-6


@pytest.mark.parametrize(("k1", "k2"), [(0, 0), (4, 2), (4, 6)])
def test_lengths_that_do_not_fit_are_refused_at_the_call(problem: Problem, k1: int, k2: int) -> None:
    out, x, targets = data(problem)
    with pytest.raises(UserError, match=f"k1={k1}, k2={k2}; k2 .* multiple of k1"):
        tbptt(problem.net, problem.params, out, x, targets, k1, k2)
