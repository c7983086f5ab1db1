"""ATen's pointwise operators on vectors: ``POINTWISE[operator](simd, *args, **kwargs)``, with ATen's own signatures.

An argument is a vector, a mask (a bool tensor) or a Python number; a result is a vector or a mask. As in PyTorch, a
mask among numbers counts as 0 and 1, and a number among truths as "is not 0".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from . import elementary
from .simd import Simd, Value

Operator = Callable[..., Value]

POINTWISE: dict[torch._ops.OpOverload, Operator] = {}
"""Every pointwise operator of core ATen on floats and bools, and a few that are not decomposed everywhere."""

aten = torch.ops.aten


def _emits(*operators: torch._ops.OpOverload) -> Callable[[Operator], Operator]:
    """Enters a function into the table."""

    def enter(function: Operator) -> Operator:
        for operator in operators:
            POINTWISE[operator] = function
        return function

    return enter


def is_mask(simd: Simd, x: Any) -> bool:
    """Whether x stands for truth values: a mask or a Python bool."""
    return isinstance(x, bool) or (not isinstance(x, int | float) and x.type == simd.mask)


def number(simd: Simd, x: Any) -> Value:
    """x as a vector."""
    if isinstance(x, int | float):
        return simd.const(x)
    return simd.select(x, simd.const(1), simd.const(0)) if is_mask(simd, x) else x


def truth(simd: Simd, x: Any) -> Value:
    """x as a mask: what is not 0, NaN included, is true."""
    if isinstance(x, int | float):
        return simd.const_mask(x != 0)
    return x if is_mask(simd, x) else simd.compare("!=", x, simd.const(0))


# Functions of one number

_FUNCTIONS: dict[torch._ops.OpOverload, Operator] = {
    aten.abs.default: Simd.abs,
    aten.acosh.default: elementary.acosh,
    aten.asinh.default: elementary.asinh,
    aten.atanh.default: elementary.atanh,
    aten.cos.default: elementary.cos,
    aten.cosh.default: elementary.cosh,
    aten.erf.default: elementary.erf,
    aten.exp.default: elementary.exp,
    aten.exp2.default: elementary.exp2,
    aten.expm1.default: elementary.expm1,
    aten.log.default: elementary.log,
    aten.log10.default: elementary.log10,
    aten.log1p.default: elementary.log1p,
    aten.log2.default: elementary.log2,
    aten.neg.default: Simd.neg,
    aten.sigmoid.default: elementary.sigmoid,
    aten.sin.default: elementary.sin,
    aten.sinh.default: elementary.sinh,
    aten.sqrt.default: Simd.sqrt,
    aten.tan.default: elementary.tan,
    aten.tanh.default: elementary.tanh,
}

_INTRINSICS = {
    aten.acos.default: "acos",
    aten.asin.default: "asin",
    aten.atan.default: "atan",
    aten.ceil.default: "ceil",
    aten.floor.default: "floor",
    aten.round.default: "roundeven",
    aten.trunc.default: "trunc",
}


def _of_number(function: Operator) -> Operator:
    return lambda simd, x: function(simd, number(simd, x))


def _of_intrinsic(name: str) -> Operator:
    return lambda simd, x: simd.intrinsic(name, number(simd, x))


POINTWISE.update({operator: _of_number(function) for operator, function in _FUNCTIONS.items()})
POINTWISE.update({operator: _of_intrinsic(name) for operator, name in _INTRINSICS.items()})


@_emits(aten.reciprocal.default)
def reciprocal(simd: Simd, x: Any) -> Value:
    return simd.div(simd.const(1), number(simd, x))


@_emits(aten.rsqrt.default)
def rsqrt(simd: Simd, x: Any) -> Value:
    return simd.div(simd.const(1), simd.sqrt(number(simd, x)))


@_emits(aten.sign.default)
def sign(simd: Simd, x: Any) -> Value:
    """-1, 0 or 1; 0 for NaN, as in PyTorch."""
    x = number(simd, x)
    below = simd.select(simd.compare("<", x, simd.const(0)), simd.const(-1), simd.const(0))
    return simd.select(simd.compare(">", x, simd.const(0)), simd.const(1), below)


# Arithmetic of two


@_emits(aten.add.Tensor, aten.add.Scalar)
def add(simd: Simd, a: Any, b: Any, alpha: float = 1) -> Value:
    if is_mask(simd, a) and is_mask(simd, b):
        return logical_or(simd, a, b)
    return _multiply_add(simd, alpha, b, a)


@_emits(aten.sub.Tensor, aten.sub.Scalar)
def sub(simd: Simd, a: Any, b: Any, alpha: float = 1) -> Value:
    if alpha == 1:
        return simd.sub(number(simd, a), number(simd, b))
    return _multiply_add(simd, -alpha, b, a)


@_emits(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(simd: Simd, a: Any, b: Any, alpha: float = 1) -> Value:
    return sub(simd, b, a, alpha)


def _multiply_add(simd: Simd, factor: float, b: Any, a: Any) -> Value:
    """factor * b + a."""
    if factor == 1:
        return simd.add(number(simd, a), number(simd, b))
    return simd.fma(simd.const(factor), number(simd, b), number(simd, a))


@_emits(aten.mul.Tensor, aten.mul.Scalar)
def mul(simd: Simd, a: Any, b: Any) -> Value:
    if is_mask(simd, a) and is_mask(simd, b):
        return logical_and(simd, a, b)
    return simd.mul(number(simd, a), number(simd, b))


@_emits(aten.div.Tensor, aten.div.Scalar)
def div(simd: Simd, a: Any, b: Any) -> Value:
    return simd.div(number(simd, a), number(simd, b))


@_emits(aten.div.Tensor_mode, aten.div.Scalar_mode)
def div_rounded(simd: Simd, a: Any, b: Any, rounding_mode: str | None) -> Value:
    quotient = div(simd, a, b)
    if rounding_mode == "trunc":
        return simd.intrinsic("trunc", quotient)
    if rounding_mode == "floor":
        return _floor_divided(simd, number(simd, a), number(simd, b), quotient)
    return quotient


def _floor_divided(simd: Simd, a: Value, b: Value, quotient: Value) -> Value:
    """floor(a / b) as PyTorch has it: from the exact rest, so that rounding in a / b changes nothing."""
    rest, opposed = _rest(simd, a, b)
    exact = simd.div(simd.sub(a, rest), b)
    exact = simd.select(opposed, simd.sub(exact, simd.const(1)), exact)
    whole = simd.intrinsic("roundeven", exact)
    zero = simd.compare("==", whole, simd.const(0))
    whole = simd.select(zero, simd.intrinsic("copysign", whole, quotient), whole)
    return simd.select(simd.compare("==", b, simd.const(0)), quotient, whole)


@_emits(aten.fmod.Tensor, aten.fmod.Scalar)
def fmod(simd: Simd, a: Any, b: Any) -> Value:
    """a - b trunc(a / b), exact; one call of the C library a lane."""
    return simd.builder.frem(number(simd, a), number(simd, b))


@_emits(aten.remainder.Tensor, aten.remainder.Scalar)
def remainder(simd: Simd, a: Any, b: Any) -> Value:
    """a - b floor(a / b), exact, with the sign of b."""
    rest, opposed = _rest(simd, number(simd, a), number(simd, b))
    return simd.select(opposed, simd.add(rest, number(simd, b)), rest)


def _rest(simd: Simd, a: Value, b: Value) -> tuple[Value, Value]:
    """What a leaves when divided by b towards 0, and the mask of where floor(a / b) is one less than that division."""
    rest = fmod(simd, a, b)
    signs_differ = logical_xor(simd, *(simd.compare("<", each, simd.const(0)) for each in (b, rest)))
    return rest, logical_and(simd, simd.compare("!=", rest, simd.const(0)), signs_differ)


@_emits(aten.minimum.default)
def minimum(simd: Simd, a: Any, b: Any) -> Value:
    """The smaller one; NaN where either is NaN."""
    if is_mask(simd, a) and is_mask(simd, b):
        return logical_and(simd, a, b)
    a, b = number(simd, a), number(simd, b)
    return simd.select(isnan(simd, a), a, simd.min(a, b))


@_emits(aten.maximum.default)
def maximum(simd: Simd, a: Any, b: Any) -> Value:
    """The larger one; NaN where either is NaN."""
    if is_mask(simd, a) and is_mask(simd, b):
        return logical_or(simd, a, b)
    a, b = number(simd, a), number(simd, b)
    return simd.select(isnan(simd, a), a, simd.max(a, b))


@_emits(aten.clamp.default, aten.clamp.Tensor)
def clamp(simd: Simd, x: Any, min: Any = None, max: Any = None) -> Value:
    x = number(simd, x)
    if min is not None:
        x = maximum(simd, min, x)
    return x if max is None else minimum(simd, max, x)


@_emits(aten.atan2.default)
def atan2(simd: Simd, a: Any, b: Any) -> Value:
    return simd.intrinsic("atan2", number(simd, a), number(simd, b))


@_emits(aten.pow.Tensor_Tensor, aten.pow.Scalar)
def pow(simd: Simd, base: Any, exponent: Any) -> Value:
    """base ** exponent; one call of the C library a lane."""
    return simd.intrinsic("pow", number(simd, base), number(simd, exponent))


@_emits(aten.pow.Tensor_Scalar)
def pow_constant(simd: Simd, base: Any, exponent: float) -> Value:
    """base ** exponent; the exponents that PyTorch treats apart are multiplications, divisions and roots here too."""
    x = number(simd, base)
    if exponent < 0 and -exponent in _POWERS:
        return simd.div(simd.const(1), _POWERS[-exponent](simd, x))
    return _POWERS[exponent](simd, x) if exponent in _POWERS else pow(simd, x, exponent)


_POWERS: dict[float, Operator] = {
    0: lambda simd, x: simd.const(1),
    0.5: Simd.sqrt,
    1: lambda simd, x: x,
    2: lambda simd, x: simd.mul(x, x),
    3: lambda simd, x: simd.mul(simd.mul(x, x), x),
}


# Truth


def _comparison(sign: str) -> Operator:
    def compare(simd: Simd, a: Any, b: Any) -> Value:
        return simd.compare(sign, number(simd, a), number(simd, b))

    return compare


for _name, _sign in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    _packet = getattr(aten, _name)
    _emits(_packet.Tensor, _packet.Scalar)(_comparison(_sign))


@_emits(aten.logical_and.default, aten.bitwise_and.Tensor, aten.bitwise_and.Scalar)
def logical_and(simd: Simd, a: Any, b: Any) -> Value:
    return simd.builder.and_(truth(simd, a), truth(simd, b))


@_emits(aten.logical_or.default, aten.bitwise_or.Tensor, aten.bitwise_or.Scalar)
def logical_or(simd: Simd, a: Any, b: Any) -> Value:
    return simd.builder.or_(truth(simd, a), truth(simd, b))


@_emits(aten.logical_xor.default, aten.bitwise_xor.Tensor, aten.bitwise_xor.Scalar)
def logical_xor(simd: Simd, a: Any, b: Any) -> Value:
    return simd.builder.xor(truth(simd, a), truth(simd, b))


@_emits(aten.logical_not.default, aten.bitwise_not.default)
def logical_not(simd: Simd, a: Any) -> Value:
    return simd.builder.xor(truth(simd, a), simd.const_mask(True))


@_emits(aten.isnan.default)
def isnan(simd: Simd, x: Any) -> Value:
    x = number(simd, x)
    return simd.compare("!=", x, x)


@_emits(aten.isinf.default)
def isinf(simd: Simd, x: Any) -> Value:
    return simd.compare("==", simd.abs(number(simd, x)), simd.const(math.inf))


@_emits(aten.where.self)
def where(simd: Simd, condition: Any, a: Any, b: Any) -> Value:
    kind = truth if is_mask(simd, a) and is_mask(simd, b) else number
    return simd.select(truth(simd, condition), kind(simd, a), kind(simd, b))


# Copies and constants


@_emits(aten.alias.default, aten.clone.default, aten.detach.default, aten.lift_fresh_copy.default)
def same(simd: Simd, x: Any, memory_format: Any = None) -> Value:
    return x


@_emits(aten._to_copy.default)
def converted(simd: Simd, x: Any, dtype: torch.dtype | None = None, **_: Any) -> Value:
    if dtype is None:
        return x
    return _kind(simd, dtype)(simd, x)


@_emits(aten.full_like.default)
def full_like(simd: Simd, x: Any, fill_value: float, dtype: torch.dtype | None = None, **_: Any) -> Value:
    kind = (truth if is_mask(simd, x) else number) if dtype is None else _kind(simd, dtype)
    return kind(simd, fill_value)


@_emits(aten.zeros_like.default)
def zeros_like(simd: Simd, x: Any, dtype: torch.dtype | None = None, **_: Any) -> Value:
    return full_like(simd, x, 0, dtype)


@_emits(aten.ones_like.default)
def ones_like(simd: Simd, x: Any, dtype: torch.dtype | None = None, **_: Any) -> Value:
    return full_like(simd, x, 1, dtype)


@_emits(aten.fill.Scalar)
def fill(simd: Simd, x: Any, value: float) -> Value:
    return full_like(simd, x, value)


def _kind(simd: Simd, dtype: torch.dtype) -> Operator:
    if dtype not in (torch.bool, simd.dtype):
        raise NotImplementedError(f"{dtype} in a program of {simd.dtype}; expected that or torch.bool")
    return truth if dtype == torch.bool else number


# Activations


@_emits(aten.relu.default)
def relu(simd: Simd, x: Any) -> Value:
    return simd.max(simd.const(0), number(simd, x))


@_emits(aten.leaky_relu.default)
def leaky_relu(simd: Simd, x: Any, negative_slope: float = 0.01) -> Value:
    x = number(simd, x)
    return simd.select(simd.compare(">", x, simd.const(0)), x, simd.mul(x, simd.const(negative_slope)))


@_emits(aten.hardtanh.default)
def hardtanh(simd: Simd, x: Any, min_val: float = -1, max_val: float = 1) -> Value:
    return elementary.clamp(simd, number(simd, x), min_val, max_val)


@_emits(aten.hardsigmoid.default)
def hardsigmoid(simd: Simd, x: Any) -> Value:
    return simd.div(clamp(simd, simd.add(number(simd, x), simd.const(3)), 0, 6), simd.const(6))


@_emits(aten.mish.default)
def mish(simd: Simd, x: Any) -> Value:
    x = number(simd, x)
    return simd.mul(x, elementary.tanh(simd, elementary.log1p(simd, elementary.exp(simd, x))))


@_emits(aten.elu.default)
def elu(simd: Simd, x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    x = number(simd, x)
    above = simd.mul(x, simd.const(scale))
    below = simd.mul(elementary.expm1(simd, simd.mul(x, simd.const(input_scale))), simd.const(alpha * scale))
    return simd.select(simd.compare(">", x, simd.const(0)), above, below)


@_emits(aten.gelu.default)
def gelu(simd: Simd, x: Any, approximate: str = "none") -> Value:
    x = number(simd, x)
    half = simd.mul(x, simd.const(0.5))
    if approximate == "tanh":
        cube = simd.mul(simd.mul(x, x), x)
        inner = simd.mul(simd.fma(cube, simd.const(0.044715), x), simd.const(math.sqrt(2 / math.pi)))
        return simd.fma(half, elementary.tanh(simd, inner), half)
    return simd.mul(half, simd.add(simd.const(1), elementary.erf(simd, simd.mul(x, simd.const(math.sqrt(0.5))))))


@_emits(aten.softplus.default)
def softplus(simd: Simd, x: Any, beta: float = 1, threshold: float = 20) -> Value:
    x = number(simd, x)
    scaled = simd.mul(x, simd.const(beta))
    soft = simd.div(elementary.log1p(simd, elementary.exp(simd, scaled)), simd.const(beta))
    return simd.select(simd.compare(">", scaled, simd.const(threshold)), x, soft)


# Gradients that PyTorch keeps as operators of their own


@_emits(aten.sigmoid_backward.default)
def sigmoid_backward(simd: Simd, grad: Any, output: Any) -> Value:
    """grad y (1 - y)."""
    return simd.mul(number(simd, grad), simd.mul(output, simd.sub(simd.const(1), output)))


@_emits(aten.tanh_backward.default)
def tanh_backward(simd: Simd, grad: Any, output: Any) -> Value:
    """grad (1 - y^2)."""
    return simd.mul(number(simd, grad), simd.fma(simd.neg(output), output, simd.const(1)))


@_emits(aten.threshold_backward.default)
def threshold_backward(simd: Simd, grad: Any, x: Any, threshold: float) -> Value:
    """grad where x is above the threshold, or NaN, else 0."""
    return simd.select(simd.compare("<=", x, simd.const(threshold)), simd.const(0), number(simd, grad))
