"""Cells of another library, unmodified, on backend "cpu": outputs and gradients of their own loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman.structure import State, map_leaves

torchrecurrent = pytest.importorskip("torchrecurrent", reason="the cells of torchrecurrent are not installed")

Same = Callable[..., None]
NAMES = sorted(name for name, each in vars(torchrecurrent).items() if inspect.isclass(each) and name.endswith("Cell"))
# One of every kind: two products in a row, states of two sizes, an output that is no state, a state that is the last
# input, a parameter of one number, softmax-like rows, a diagonal recurrence, PyTorch's own hard sigmoid.
QUICK = ["DSGUCell", "FastGRNNCell", "IndRNNCell", "LEMCell", "MCLSTMCell", "NASCell", "SCRNCell", "TLSTMCell"]


def made(name: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor, State]:
    """The cell with no parameter at zero, an input (T, B, I), and a state of the structure that it starts from."""
    size = 5 if name == "IntersectionRNNCell" else 3
    cell = getattr(torchrecurrent, name)(size, 5, dtype=dtype)
    with torch.no_grad():
        for each in cell.parameters():
            each.add_(0.1 * torch.randn_like(each))
        x = torch.randn(4, 3, size, dtype=dtype)
        result = cell(x[0])
    decoupled = isinstance(
        cell, torchrecurrent.base.DecoupledSingleStateCellBase | torchrecurrent.base.DecoupledDoubleStateCellBase
    )
    return cell, x, map_leaves(lambda leaf: 0.3 * torch.randn_like(leaf), result[1] if decoupled else result)


def test_there_are_cells_to_try() -> None:
    assert len(NAMES) > 30 and set(QUICK) <= set(NAMES)


@pytest.mark.parametrize("name", QUICK)
def test_some_cells(name: str, same: Same) -> None:
    same(*made(name, torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_every_cell(name: str, dtype: torch.dtype, same: Same) -> None:
    cell, x, state = made(name, dtype)
    same(cell, x, state)
    options: dict[str, Any] = {"lengths": [4, 0, 2], "resets": torch.rand(4, 3) < 0.4, "return_states": True}
    same(cell, x, state, **options)
    same(cell, x, state, reverse=True, **options)


@pytest.mark.parametrize(
    ("dtype", "bias"),
    [
        (torch.float32, True),
        (torch.float64, False),
        pytest.param(torch.float32, False, marks=pytest.mark.slow),
        pytest.param(torch.float64, True, marks=pytest.mark.slow),  # quick with lengths and resets in test_compiled.py
    ],
)
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_pytorchs_cells(kind: Any, dtype: torch.dtype, bias: bool, same: Same) -> None:
    same(kind(3, 7, bias=bias, dtype=dtype), torch.randn(5, 3, 3, dtype=dtype))
