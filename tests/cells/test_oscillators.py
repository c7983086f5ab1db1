"""The time steps of LEM and coRNN."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import elman
from elman import UserError
from elman.cells import LEM, CoRNN


def test_cornn_without_a_drive_is_a_damped_oscillator() -> None:
    cell = CoRNN(1, 1, dt=0.001, gamma=4.0, epsilon=0.5, bias=False, dtype=torch.float64)
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    start = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    y, _ = elman.scan(cell, torch.zeros(3000, 1, 1, dtype=torch.float64), start)
    time = torch.arange(1, 3001, dtype=torch.float64) * 0.001
    turn = (4.0 - 0.25**2) ** 0.5  # y'' = -4 y - y' / 2 from rest at 1
    exact = torch.exp(-0.25 * time) * (torch.cos(turn * time) + 0.25 / turn * torch.sin(turn * time))
    torch.testing.assert_close(y[:, 0, 0], exact, atol=2e-3, rtol=0)


def test_the_parts_of_lem_move_by_at_most_dt() -> None:
    cell, x = LEM(3, 4, dt=0.01), torch.randn(5, 2, 3)
    y, _, states = elman.scan(cell, x, return_states=True, backend="eager")
    for state in (y, states.z):
        assert 0 < (state[1:] - state[:-1]).abs().max() <= 0.01 * 2


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (LEM, {"dt": 0.0}, "dt=0.0; give a number above 0"),
        (CoRNN, {"dt": -1.0}, "dt=-1.0"),
        (CoRNN, {"gamma": -0.1}, "gamma=-0.1"),
        (CoRNN, {"epsilon": -0.1}, "epsilon=-0.1"),
    ],
)
def test_wrong_options(cls: type[LEM | CoRNN], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cls(3, 4, **options)
