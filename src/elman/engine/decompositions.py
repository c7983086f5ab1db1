"""Decompositions: operators in simpler ones, values and derivatives PyTorch's own, at infinities and edges too."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

aten = torch.ops.aten

# In pieces their derivative is another one: NaN where exp overflows (0 times infinity), or not 0 at an edge.
_WHOLE = (
    aten.elu,
    aten.gelu,
    aten.hardsigmoid,
    aten.hardtanh,
    aten.leaky_relu,
    aten.mish,
    aten.softplus,
)


@functools.cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """What a trace takes apart, and how: PyTorch's table of core operators with some entries changed."""
    # As a plain dict: PyTorch's own table is filled anew for every trace, at twice the cost of the trace.
    further = [aten._softmax, aten._softmax_backward_data, aten._log_softmax, aten._log_softmax_backward_data]
    table = {**dict(core_aten_decompositions().items()), **get_decompositions(further), **_OURS}
    for whole in _WHOLE:
        table.pop(whole.default, None)
    del table[aten.detach.default]  # as an alias it would let gradients through
    return table


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    # Apart, the sum is a pointwise operator, which costs nothing inside the loop.
    product = a @ b if alpha == 1 else alpha * (a @ b)
    return product + (bias if beta == 1 else beta * bias)


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    axes = list(range(-len(shape), 0))
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    scale = torch.rsqrt((centred * centred).mean(axes, keepdim=True) + eps)
    y = centred * scale
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, scale


def _variance(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> Tensor:
    axes = list(range(x.dim())) if dim is None else list(dim)
    centred = x - x.mean(axes, keepdim=True)
    count = math.prod(x.shape[axis] for axis in axes)
    return (centred * centred).sum(axes, keepdim=keepdim) / max(count - (1 if correction is None else correction), 0)


def _variance_and_mean(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = list(range(x.dim())) if dim is None else list(dim)
    return _variance(x, dim, correction=correction, keepdim=keepdim), x.mean(axes, keepdim)


def _deviation(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> Tensor:
    return _root(_variance(x, dim, correction=correction, keepdim=keepdim))


def _norm(
    x: Tensor, ord: float = 2, dim: Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    if ord != 2 or dim is None or dtype is not None:
        return NotImplemented
    return _root((x * x).sum(list(dim), keepdim=keepdim))


def _root(x: Tensor) -> Tensor:
    """The square root with the derivative 0 at 0, which PyTorch gives norms and standard deviations."""
    zero = x == 0
    return torch.where(zero, 0, torch.where(zero, 1, x).sqrt())


def _sinc(x: Tensor) -> Tensor:
    zero = x * x == 0
    angle = math.pi * torch.where(zero, 1, x)
    return torch.where(zero, 1, angle.sin() / angle)


def _hardswish(x: Tensor) -> Any:
    return x * (aten.hardtanh(x, -3, 3) + 3) / 6


def _celu(x: Tensor, alpha: float = 1) -> Any:
    return aten.elu(x, alpha, 1, 1 / alpha)


def _elu_backward(
    gradient: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool, x: Tensor
) -> Tensor:
    """``x`` is the result where ``is_result``; NaN gives NaN."""
    slope = x + alpha * scale if is_result else alpha * scale * torch.exp(x * input_scale)
    return gradient * torch.where(x > 0, scale, input_scale * slope)


def _hardsigmoid_backward(gradient: Tensor, x: Tensor) -> Tensor:
    # PyTorch's sixth is a float32 in every precision.
    sixth = torch.tensor(1 / 6, dtype=torch.float32).item()
    return torch.where((x > -3) & (x < 3), gradient * sixth, 0)


def _hardtanh_backward(gradient: Tensor, x: Tensor, min_val: float, max_val: float) -> Tensor:
    return torch.where((x > min_val) & (x < max_val), gradient, 0)


def _mish_backward(gradient: Tensor, x: Tensor) -> Tensor:
    t = torch.tanh(torch.log1p(torch.exp(x)))
    return gradient * (t + x * torch.sigmoid(x) * (1 - t * t))


_OURS: dict[Any, Callable[..., Any]] = {
    aten.addmm.default: _addmm,
    aten.celu.default: _celu,
    aten.elu_backward.default: _elu_backward,
    aten.hardsigmoid_backward.default: _hardsigmoid_backward,
    aten.hardswish.default: _hardswish,
    aten.hardtanh_backward.default: _hardtanh_backward,
    aten.linalg_vector_norm.default: _norm,
    aten.mish_backward.default: _mish_backward,
    aten.native_layer_norm.default: _layer_norm,
    aten.sinc.default: _sinc,
    aten.std.correction: _deviation,
    aten.var.correction: _variance,
    aten.var_mean.correction: _variance_and_mean,
}
