"""What a trace cannot see of a step is found by running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from elman.engine.trace import Refused, trace
from elman.engine.verify import verify


def check(step: Callable[..., Sequence[Tensor]], dtype: torch.dtype = torch.float64) -> None:
    graph = trace(step, lambda rows: [torch.zeros(3, 3, dtype=dtype), torch.zeros(rows, 3, dtype=dtype)], ["w", "h"])
    verify(graph, step, [torch.zeros(3, 3, dtype=dtype), torch.zeros(1, 3, dtype=dtype)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ordinary_steps_pass(dtype: torch.dtype) -> None:
    check(lambda w, h: [torch.tanh(h @ w)], dtype)
    check(lambda w, h: [torch.softmax(h @ w, -1), (h > 0), h.detach() * w[0]], dtype)
    check(lambda w, h: [h.round()], dtype)
    check(lambda w, h: [torch.full_like(h, 2.0)], dtype)


def test_a_derivative_of_its_own_is_refused() -> None:
    with pytest.raises(Refused, match="derivative by h"):
        check(lambda w, h: [w[0] * h.data])
    with pytest.raises(Refused, match="derivative by w"):
        check(lambda w, h: [h @ w.data])


def test_a_gradient_that_is_stopped_is_refused() -> None:
    def step(w: Tensor, h: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            scale = h.norm(dim=-1, keepdim=True)
        return [h / scale]

    with pytest.raises(Refused, match="derivative by h"):
        check(step)


def test_what_differs_with_gradients_on_is_refused() -> None:
    with torch.no_grad(), pytest.raises(Refused, match="gradients are on"):
        check(lambda w, h: [h if torch.is_grad_enabled() else 2 * h])


def test_a_derivative_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Refused, match="cannot be run"):
        check(lambda w, h: [h, h // 0.7])


def test_random_numbers_of_the_caller_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check(lambda w, h: [torch.tanh(h @ w)])
    assert torch.equal(torch.rand(2), expected)
