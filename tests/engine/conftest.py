"""Two runs of one scan side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.engine.steps import default_state
from elman.structure import State, leaves, rebuild

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def outcome(cell: nn.Module, x: Any, state: State, backend: str, **options: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Every tensor that a scan returns, and the gradients of a fixed loss by inputs, state and parameters."""
    inputs = x if isinstance(x, tuple) else (x,)
    copies = [each.detach().clone().requires_grad_(each.is_floating_point()) for each in inputs]
    state = default_state(cell, inputs[0].shape[1]) if state is None else state
    starts = [leaf.detach().clone().requires_grad_() for leaf in leaves(state)]
    given = tuple(copies) if isinstance(x, tuple) else copies[0]
    made = elman.scan(cell, given, rebuild(state, starts), backend=backend, **options)
    results = [leaf for each in made for leaf in leaves(each)]
    generator = torch.Generator().manual_seed(1)
    loss = sum((each * torch.randn(each.shape, generator=generator, dtype=each.dtype)).sum() for each in results)
    wanted = [each for each in (*copies, *starts, *cell.parameters()) if each.requires_grad]
    found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return [each.detach() for each in results], list(found)


def check_same(cell: nn.Module, x: Any, state: State = None, **options: Any) -> None:
    """Outputs, states and gradients of the compiled loop and the eager one, relative to the norm."""
    ours, theirs = (outcome(cell, x, state, backend, **options) for backend in ("cpu", "eager"))
    for kind, a_group, b_group in zip(("results", "gradients"), ours, theirs, strict=True):
        for number, (a, b) in enumerate(zip(a_group, b_group, strict=True)):
            assert a.shape == b.shape and a.dtype == b.dtype
            error, norm = (a - b).norm().item(), b.norm().item()
            assert error <= TOLERANCE[a.dtype] * max(norm, 1e-2), f"{kind}[{number}]: {error:.3g} of {norm:.3g}"


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    return check_same
