"""``linear_scan``: a recurrence that is linear in its state, over all steps at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .errors import UserError


def linear_scan(a: Tensor, b: Tensor, start: Tensor | None = None, *, reverse: bool = False) -> Tensor:
    """Every h_t = a_t h_{t-1} + b_t, element by element, for t = 0 ... T-1, where h_{-1} is ``start``.

    Steps are joined two by two, (a2, b2) after (a1, b1) being (a2 a1, a2 b1 + b2), and the half as many steps scanned
    in the same way (Blelloch 1990, "Prefix sums and their applications"): 2 log2(T) rounds and O(T) work. Nothing is
    divided and no logarithm taken, so any sign, zero and length is right, and |a| <= 1 cannot overflow. The gradients
    are exact, a scan in the other direction, and can be differentiated again.

    Args:
        a: (T, ...), broadcast against b behind the first axis: (T, 1, H) or (T, H) will do for b (T, B, H).
        b: (T, ...), real or complex.
        start: h before the first step, of the shape of one step of b or broadcast to it; default: zeros.
        reverse: h_t = a_t h_{t+1} + b_t from the last step to the first, where h_T is ``start``.

    Returns h, of b's shape, in the dtype that holds all three.

    Raises ``UserError`` for shapes that do not fit.

    >>> linear_scan(torch.full((3, 1), 0.5), torch.ones(3, 1), torch.tensor([2.0])).flatten()
    tensor([2., 2., 2.])
    >>> linear_scan(torch.ones(4), torch.arange(4.0), reverse=True)
    tensor([6., 6., 5., 3.])
    """
    if start is None:
        start = b.new_zeros(b.shape[1:])
    _check(a, b, start)
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), start.dtype)
    a, b, start = a.to(dtype), b.to(dtype), start.to(dtype)
    a = a.reshape(len(b), *[1] * (b.dim() - a.dim()), *a.shape[1:])
    h: Tensor = _LinearScan.apply(a, b, start, reverse)
    return h


class _LinearScan(torch.autograd.Function):
    """The scan; what reaches the gradient of a step is again such a scan, in the other direction."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor, reverse: bool) -> Tensor:
        h = _scan(a, b, start, reverse)
        ctx.save_for_backward(a, h, start)
        ctx.reverse = reverse
        return h

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        a, h, start = ctx.saved_tensors
        # A step reaches the one after it through that one's factor; nothing comes after the last.
        factor = _before(a, torch.zeros_like(a[:1]), not ctx.reverse).conj()
        total = _LinearScan.apply(factor, grad, torch.zeros_like(start), not ctx.reverse)
        old = _before(h, start.expand(1, *h.shape[1:]), ctx.reverse)
        edge = slice(-1, None) if ctx.reverse else slice(1)
        into_start = (a[edge].conj() * total[edge]).sum(0).sum_to_size(start.shape)
        return (total * old.conj()).sum_to_size(a.shape), total, into_start, None


def _before(each: Tensor, start: Tensor, reverse: bool) -> Tensor:
    """What the step before has, for every step; ``start`` (1, ...) for the one that comes first."""
    if not len(each):
        return each
    return torch.cat([each[1:], start] if reverse else [start, each[:-1]])


def _scan(a: Tensor, b: Tensor, start: Tensor, reverse: bool) -> Tensor:
    steps = len(b)
    if steps < 2:
        return a * start + b
    # In the order of the scan: the first step of all, the first and the second of each pair, all firsts but that one.
    if reverse:
        edge, first, second = steps - 1, slice(steps % 2 + 1, None, 2), slice(steps % 2, None, 2)
        others = slice(1 - steps % 2, -1, 2)
    else:
        edge, first, second = 0, slice(0, -1, 2), slice(1, None, 2)
        others = slice(2, None, 2)
    joined = _scan(a[second] * a[first], torch.addcmul(b[second], a[second], b[first]), start, reverse)
    h = torch.empty_like(b)
    h[edge] = a[edge] * start + b[edge]
    h[second] = joined
    count = len(h[others])
    before = joined[len(joined) - count :] if reverse else joined[:count]
    h[others] = torch.addcmul(b[others], a[others], before)
    return h


def _check(a: Tensor, b: Tensor, start: Tensor) -> None:
    fits = b.dim() > 0 and 0 < a.dim() <= b.dim() and start.dim() < b.dim() and len(a) == len(b)
    for axes in (a.shape[1:], start.shape):
        sizes = zip(reversed(axes), reversed(b.shape[1:]), strict=False)
        fits = fits and all(size in (1, whole) for size, whole in sizes)
    if not fits:
        shapes = ", ".join(str(tuple(each.shape)) for each in (a, b, start))
        raise UserError(f"linear_scan got a, b, start of shapes {shapes}; expected a like b (T, ...), start like b[0]")
