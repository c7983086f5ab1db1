"""What keeps the exponentials of sLSTM in bounds, and its heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import elman
from elman import UserError
from elman.cells import SLSTM


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_inputs_of_any_size_give_finite_numbers(forget: str, backend: str) -> None:
    cell = SLSTM(3, 4, forget=forget)
    x = (torch.randn(12, 2, 3) * 1000).requires_grad_()
    y, _, states = elman.scan(cell, x, return_states=True, backend=backend)
    gradients = torch.autograd.grad(y.square().sum(), [x, *cell.parameters()])
    assert all(each.isfinite().all() for each in (y, *states, *gradients))
    assert y.abs().max() <= 1
    assert states.n.min() >= 1


def test_the_stabiliser_changes_nothing() -> None:
    cell = SLSTM(3, 4, dtype=torch.float64)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    h, c, n, m = (torch.rand(2, 4, dtype=torch.float64) + 1 for _ in "hcnm")
    shift = torch.randn(2, 4, dtype=torch.float64)
    y, _ = elman.scan(cell, x, (h, c, n, m), backend="eager")
    again, _ = elman.scan(cell, x, (h, c * shift.exp(), n * shift.exp(), m - shift), backend="eager")
    torch.testing.assert_close(again, y)


def test_the_first_step_stores_what_it_is_given() -> None:
    cell = SLSTM(3, 4, forget_bias=50.0)
    with torch.no_grad():
        cell.bias_ih[:4] = -90.0  # exp(90) is too much for float32
    x = torch.randn(2, 3)
    y, (_, c, n, m) = cell(x)
    i, _, z, o = (x @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh).chunk(4, 1)
    torch.testing.assert_close(y, torch.sigmoid(o) * torch.tanh(z))
    torch.testing.assert_close(c, torch.tanh(z))
    torch.testing.assert_close(n, torch.ones(2, 4))
    torch.testing.assert_close(m, i)


def test_heads_do_not_see_each_other() -> None:
    cell = SLSTM(3, 6, heads=3)
    assert cell.weight_hh.shape == (24, 2)
    x, state = torch.zeros(1, 3), cell.initial_state(1)
    h = torch.randn(1, 6, requires_grad=True)
    y, _ = cell(x, state._replace(h=h))
    for unit in range(6):
        (gradient,) = torch.autograd.grad(y[0, unit], h, retain_graph=True)
        assert gradient[0].nonzero().flatten().tolist() == [unit // 2 * 2, unit // 2 * 2 + 1]


@pytest.mark.parametrize("heads", [1, 2])
def test_starts_are_those_of_each_head(heads: int) -> None:
    for block in SLSTM(3, 6, heads=heads, init="identity").weight_hh.chunk(4 * heads):
        assert torch.equal(block, torch.eye(6 // heads))
    for block in SLSTM(3, 6, heads=heads, init="xavier").weight_hh.chunk(4 * heads):
        torch.testing.assert_close(block @ block.T, torch.eye(6 // heads), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forget": "exponential"}, "forget='exponential'; valid: exp, sigmoid"),
        ({"heads": 3}, "divides the 4 units"),
        ({"heads": 0}, "heads=0"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SLSTM(3, 4, **options)
