"""The transform gates of the recurrent highway network."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import elman
from elman import UserError
from elman.cells import RHN


def test_the_transform_bias_is_that_of_every_layer() -> None:
    cell = RHN(3, 4, depth=3, transform_bias=-2.5)
    biases = [cell.bias_ih + cell.bias_hh, *(layer.bias for layer in cell.deeper)]
    assert len(biases) == 3
    for bias in biases:
        assert (bias[4:] == -2.5).all()
        assert (bias[:4] != -2.5).all()


def test_every_layer_starts_as_the_first() -> None:
    cells = {init: RHN(3, 20, depth=3, init=init) for init in ("xavier", "identity", "normal")}
    blocks = {init: [block for layer in cell.deeper for block in layer.weight.chunk(2)] for init, cell in cells.items()}
    for block in blocks["xavier"]:
        torch.testing.assert_close(block @ block.T, torch.eye(20), atol=1e-5, rtol=0)
    assert all(torch.equal(block, torch.eye(20)) for block in blocks["identity"])
    for block in blocks["normal"]:
        assert block.abs().max() <= 0.04
        assert block.std().item() == pytest.approx(0.02 * 0.8796, rel=0.15)
    assert not any(layer.bias.any() for cell in cells.values() for layer in cell.deeper)


def test_closed_gates_carry_the_state() -> None:
    cell, s = RHN(3, 4, depth=4, transform_bias=-200.0), torch.randn(2, 4)
    y, _ = elman.scan(cell, torch.randn(9, 2, 3), s, backend="eager")
    assert torch.equal(y, s.expand(9, 2, 4))


def test_depth_counts_the_weights() -> None:
    sizes = [sum(p.numel() for p in RHN(3, 4, depth=depth).parameters()) for depth in (1, 2, 5)]
    assert sizes == [8 * 3 + 8 * 4 + 16, 8 * 3 + 2 * 8 * 4 + 24, 8 * 3 + 5 * 8 * 4 + 48]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth=0; give a whole number of at least 1"),
        ({"depth": 1.5}, "depth=1.5"),
        ({"transform_bias": -2.0, "bias": False}, "nothing to set"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RHN(3, 4, **options)
