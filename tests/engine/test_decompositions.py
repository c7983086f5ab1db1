"""Every operator that is taken apart in our own way, against PyTorch's, extremes included."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from elman.engine import decompositions
from elman.engine.decompositions import _OURS

SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-310, 1.0, -1.0, 3.0, -3.0, 0.5, 25.0, -800.0, 800.0]

OPERATORS: dict[str, Callable[[Tensor], Any]] = {
    "addmm": lambda x: torch.addmm(x, torch.nan_to_num(x, 1, 2, 3), torch.eye(7, dtype=x.dtype), beta=0.5, alpha=2),
    "celu": lambda x: F.celu(x, 0.5),  # the inverse of which PyTorch's derivative has exactly
    "elu_backward": F.elu,
    "hardsigmoid_backward": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh_backward": lambda x: F.hardtanh(x, -3, 3),
    "linalg_vector_norm": lambda x: x.norm(dim=-1),
    "mish_backward": F.mish,
    "native_layer_norm": lambda x: F.layer_norm(x, (7,), x.new_full((7,), 2.0), x.new_full((7,), 0.1)),
    "sinc": torch.sinc,
    "std": lambda x: x.std(-1),
    "var": lambda x: x.var(-1, correction=0),
    "var_mean": lambda x: sum(torch.var_mean(x, -1, keepdim=True)),
}


def test_every_entry_is_tried() -> None:
    assert {str(operator).split(".")[1] for operator in _OURS} <= set(OPERATORS)


@pytest.mark.parametrize("is_result", [False, True])
def test_the_derivative_of_elu_by_its_argument_or_result(is_result: bool) -> None:
    x = torch.tensor(SPECIAL * 3, dtype=torch.float64).clamp(min=-0.4 if is_result else -math.inf)
    arguments = torch.randn(x.shape, dtype=torch.float64), 0.5, 1.1, 0.8, is_result, x
    expected = torch.ops.aten.elu_backward(*arguments)
    torch.testing.assert_close(_OURS[torch.ops.aten.elu_backward.default](*arguments), expected, equal_nan=True)


@pytest.mark.parametrize("name", OPERATORS)
def test_values_and_derivatives_are_pytorchs(name: str) -> None:
    x = torch.randn(2 * len(SPECIAL) + 2, 7, dtype=torch.float64)
    x[: len(SPECIAL), 2] = torch.tensor(SPECIAL, dtype=torch.float64)
    x[len(SPECIAL) : 2 * len(SPECIAL)] = torch.tensor(SPECIAL, dtype=torch.float64).unsqueeze(1)
    if name in ("var", "var_mean"):
        x[x.isinf()] = 9.0  # which PyTorch's own spreads as infinity or as NaN

    def derived(function: Callable[[Tensor], Any], x: Tensor) -> tuple[Tensor, Tensor]:
        y, pull = torch.func.vjp(function, x)
        return y, pull(torch.ones_like(y))[0]

    # As the engine does it: first the function in pieces, then the derivative of these in pieces.
    table = decompositions.decompositions()
    pieces = make_fx(lambda x: OPERATORS[name](x), table)(x)
    ours = make_fx(lambda x: derived(pieces, x), table)(x)
    for a, b in zip(ours(x), derived(OPERATORS[name], x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)
