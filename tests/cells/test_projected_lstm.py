"""The projected LSTM against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import elman
from elman.cells import ProjectedLSTM


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_torchs_lstm_with_proj_size_name_for_name(bias: bool, close: Any) -> None:
    theirs = torch.nn.LSTM(3, 5, proj_size=2, bias=bias, dtype=torch.float64)
    cell = ProjectedLSTM(3, 5, projection_size=2, bias=bias, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in theirs.state_dict().items()})
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    h, c = torch.randn(1, 4, 2, dtype=torch.float64), torch.randn(1, 4, 5, dtype=torch.float64)
    expected, (h_n, c_n) = theirs(x, (h, c))
    y, state = elman.scan(cell, x, cell.pack((h[0], c[0])), backend="eager")
    close((y, *state), (expected, h_n[0], c_n[0]))


def test_clips_hold_the_state_and_the_output() -> None:
    cell = ProjectedLSTM(3, 5, projection_size=2, cell_clip=0.25, projection_clip=0.125)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(20)
    y, (h, c) = elman.scan(cell, torch.randn(9, 4, 3), backend="eager")
    assert c.abs().max() == 0.25 and y.abs().max() == h.abs().max() == 0.125


def test_the_projection_has_half_the_units_by_default() -> None:
    assert [ProjectedLSTM(3, hidden).output_size for hidden in (1, 4, 5)] == [1, 2, 3]
