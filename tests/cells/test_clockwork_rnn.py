"""The clock of the Clockwork RNN: who works when, who sees whom, and a counter that never goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import elman
from elman import UserError
from elman.cells import ClockworkRNN


@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_groups_work_in_turn_and_the_counter_is_exact(backend: str) -> None:
    cell = ClockworkRNN(2, 7, periods=(7, 1, 3))
    assert cell.period.tolist() == [7, 7, 7, 1, 1, 3, 3]
    _, _, states = elman.scan(cell, torch.randn(64, 3, 2), return_states=True, backend=backend)
    steps = torch.arange(64)
    assert torch.equal(states.t[:, :, 0], ((steps + 1) % 21).float().unsqueeze(1).expand(-1, 3))
    before = torch.cat([torch.zeros(1, 3, 7), states.h[:-1]])
    works = steps.unsqueeze(1) % cell.period.long() == 0
    assert torch.equal(states.h != before, works.unsqueeze(1).expand(-1, 3, -1))


def test_a_group_sees_itself_and_slower_ones() -> None:
    cell = ClockworkRNN(2, 6, periods=(2, 1, 4))
    y, _ = elman.scan(cell, torch.randn(9, 2, 2), backend="eager")
    y.square().sum().backward()
    seen = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 1]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(cell.weight_hh.grad != 0, seen.bool())


def test_a_start_from_noise_keeps_time() -> None:
    cell = ClockworkRNN(2, 4)
    x, h = torch.randn(9, 3, 2), torch.randn(3, 4)
    exact = elman.scan(cell, x, (h, torch.zeros(3, 1)), backend="eager")[0]
    noisy = elman.scan(cell, x, (h, torch.tensor([[0.2], [-0.2], [8.1]])), backend="eager")[0]
    assert torch.equal(noisy, exact)  # 8 is the common cycle of 1, 2, 4, 8


def test_default_groups() -> None:
    assert ClockworkRNN(1, 3).period.tolist() == [1, 2, 4]
    assert ClockworkRNN(1, 16).period.tolist() == [2**k for k in range(8) for _ in range(2)]
    assert ClockworkRNN(1, 4, periods=2).period.tolist() == [1, 1, 2, 2]
    assert "period" not in ClockworkRNN(1, 3).state_dict()


@pytest.mark.parametrize(
    ("periods", "message"),
    [
        ((1, 0), "periods=.* give whole numbers of at least 1"),
        ((1.5,), "give whole numbers"),
        ((), "give whole numbers"),
        (0, "give whole numbers"),
        (5, "5 groups for 4 units"),
        ((4096, 4097), "meet again after 16781312 steps"),
    ],
)
def test_wrong_periods(periods: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ClockworkRNN(2, 4, periods=periods)
