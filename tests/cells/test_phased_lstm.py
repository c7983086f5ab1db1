"""The time gate of the Phased LSTM."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman import UserError
from elman.cells import PeepholeLSTM, PhasedLSTM


def a_cell(**options: Any) -> PhasedLSTM:
    """Period 10, shift 2, open for 4: the gate rises from 2 to 4 and falls from 4 to 6."""
    cell = PhasedLSTM(3, 4, ratio_on=0.4, period_min=10.0, period_max=10.0, dtype=torch.float64, **options)
    torch.nn.init.constant_(cell.shift, 2.0)
    return cell


def gate(cell: PhasedLSTM, time: float) -> Tensor:
    return cell._openness(torch.tensor([[time]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("time", "k"),
    [(2.5, 0.25), (4.0, 1.0), (5.5, 0.25), (7.0, 0.05), (11.0, 0.09), (13.0, 0.5), (-6.0, 1.0), (1.0, 0.09)],
)
def test_the_gate_opens_once_a_period(time: float, k: float) -> None:
    torch.testing.assert_close(gate(a_cell(leak=0.1), time), torch.full((1, 4), k, dtype=torch.float64))


def test_wide_open_it_is_the_lstm_with_peepholes() -> None:
    cell, plain = a_cell(), PeepholeLSTM(3, 4, dtype=torch.float64)
    plain.load_state_dict({name: cell.state_dict()[name] for name in plain.state_dict()})
    x, time = torch.randn(2, 3, dtype=torch.float64), torch.full((2, 1), 14.0, dtype=torch.float64)
    state = tuple(torch.randn(2, 4, dtype=torch.float64) for _ in "hc")
    for ours, theirs in zip(cell((x, time), state)[1], plain(x, state)[1], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_closed_it_leaks_in_training_only() -> None:
    cell = a_cell()
    x, time = torch.randn(2, 3, dtype=torch.float64), torch.full((2, 1), 9.0, dtype=torch.float64)
    state = tuple(torch.randn(2, 4, dtype=torch.float64) for _ in "hc")
    moved = cell((x, time), state)[1]
    assert all(((a - b).abs() > 0).all() and ((a - b).abs() < 0.01).all() for a, b in zip(moved, state, strict=True))
    kept = cell.eval()((x, time), state)[1]
    assert all(torch.equal(a, b) for a, b in zip(kept, state, strict=True))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 2)])
def test_times_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"expected \(B, 1\), so t \(T, B, 1\)"):
        elman.scan(PhasedLSTM(3, 4), (torch.randn(5, 4, 3), torch.rand(shape)))


def test_starts() -> None:
    cell = PhasedLSTM(3, 2000, period_min=2.0, period_max=50.0, init="xavier")
    period = cell.log_period.exp()
    assert 2.0 <= period.min() < 2.1
    assert 48.0 < period.max() <= 50.01
    assert abs(period.log().mean().exp() - 10) < 1  # as often between 2 and 10 as between 10 and 50
    share = cell.shift / period
    assert 0 <= share.min() < 0.01
    assert 0.99 < share.max() <= 1
    torch.testing.assert_close(torch.sigmoid(cell.ratio_logit), torch.full((2000,), 0.05))
    assert not hasattr(PhasedLSTM(3, 2, peephole=False), "weight_ci")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period_min": 0.0}, "expected 0 < min <= max"),
        ({"period_min": 5.0, "period_max": 2.0}, "expected 0 < min <= max"),
        ({"ratio_on": 1.0}, "ratio_on=1.0"),
        ({"leak": -0.1}, "leak=-0.1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PhasedLSTM(3, 4, **options)
