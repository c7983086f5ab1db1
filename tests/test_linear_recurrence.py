"""The scan of a linear recurrence against its loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from elman import UserError
from elman.linear_recurrence import linear_scan

SHAPES = [((2, 3), (2, 3)), ((1, 3), (2, 3)), ((3,), (2, 3)), ((), (2, 3)), ((2, 3), (3,)), ((2, 3), ())]


def by_loop(a: Tensor, b: Tensor, start: Tensor, reverse: bool) -> Tensor:
    h, every = start, []
    steps = list(zip(a.unbind(), b.unbind(), strict=True))
    for factor, added in steps[::-1] if reverse else steps:
        h = factor * h + added
        every.append(h)
    return torch.stack(every[::-1] if reverse else every)


def problem(steps: int, of_a: tuple[int, ...], of_start: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    shapes = ((steps, *of_a), (steps, 2, 3), of_start)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@given(st.integers(1, 70), st.sampled_from(SHAPES), st.booleans(), st.sampled_from([torch.float64, torch.complex128]))
@example(1, SHAPES[0], True, torch.float64)
@example(2, SHAPES[0], True, torch.complex128)
@example(64, SHAPES[0], False, torch.float64)
def test_it_is_the_loop_and_so_are_its_gradients(
    steps: int, shapes: tuple[tuple[int, ...], tuple[int, ...]], reverse: bool, dtype: torch.dtype
) -> None:
    tensors = problem(steps, *shapes, dtype)
    results = []
    for scan in (linear_scan, by_loop):
        h = scan(*tensors, reverse=reverse)
        weighted = torch.view_as_real(h + 0j) * torch.linspace(-1, 1, h.numel()).view(*h.shape, 1)
        results.append((h, *torch.autograd.grad(weighted.square().sum(), tensors)))
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).norm() <= 1e-12 * (theirs.norm() + 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("reverse", [False, True])
def test_first_and_second_derivatives_are_right(dtype: torch.dtype, reverse: bool) -> None:
    tensors = problem(5, (1, 3), (3,), dtype)
    assert torch.autograd.gradcheck(lambda *each: linear_scan(*each, reverse=reverse), tensors)
    assert torch.autograd.gradgradcheck(lambda *each: linear_scan(*each, reverse=reverse), tensors, fast_mode=True)


@pytest.mark.parametrize("kept", [0.0, 1e-30, 0.5, -1.0, 1.0])
@pytest.mark.parametrize("reverse", [False, True])
def test_long_sequences_keep_their_precision_and_do_not_overflow(kept: float, reverse: bool) -> None:
    a = torch.full((4096, 3), kept, requires_grad=True)
    a.data[::7] *= 0.9
    b = torch.randn(4096, 3)
    h = linear_scan(a, b, torch.ones(3), reverse=reverse)
    exact = by_loop(a.double(), b.double(), torch.ones(3).double(), reverse)
    assert (h - exact).abs().max() <= 1e-5 * exact.abs().max()
    (grad,) = torch.autograd.grad(h.sum(), a)
    (right,) = torch.autograd.grad(exact.sum(), a)
    assert (grad - right).norm() <= 1e-5 * right.norm()


def test_zeros_forget_all_that_was_before() -> None:
    a, b = torch.rand(9, 2), torch.randn(9, 2)
    a[4] = 0
    b[:4] = 1e38
    torch.testing.assert_close(linear_scan(a, b)[4:], linear_scan(a[4:], b[4:]))


def test_no_steps() -> None:
    a, b, start = problem(0, (2, 3), (2, 3), torch.float64)
    h = linear_scan(a, b, start)
    assert h.shape == (0, 2, 3)
    assert all(not each.any() for each in torch.autograd.grad(h.sum(), (a, b, start)))


def test_without_a_start_it_starts_from_zeros() -> None:
    a, b, _ = problem(4, (2, 3), (), torch.float64)
    assert torch.equal(linear_scan(a, b), linear_scan(a, b, torch.zeros(2, 3)))


def test_different_dtypes_meet_in_the_widest() -> None:
    a, b = torch.rand(4, 2, requires_grad=True), torch.randn(4, 2, dtype=torch.complex128)
    h = linear_scan(a, b, torch.zeros(2))
    assert h.dtype == torch.complex128
    torch.testing.assert_close(h, by_loop(a.to(torch.complex128), b, torch.zeros(2), False))
    (grad,) = torch.autograd.grad(h.real.sum(), a)
    assert grad.dtype == torch.float32
    assert grad[1:].all()


@pytest.mark.parametrize(
    ("a", "b", "start"),
    [
        ((4, 2), (5, 2), (2,)),
        ((5, 3), (5, 2), (2,)),
        ((5, 1, 2), (5, 2), (2,)),
        ((5, 2), (5, 2), (5, 2)),
        ((5, 2), (5, 2), (3,)),
        ((), (), ()),
    ],
)
def test_shapes_that_do_not_fit(a: tuple[int, ...], b: tuple[int, ...], start: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="expected a like b"):
        linear_scan(torch.zeros(a), torch.zeros(b), torch.zeros(start))
