"""bfloat16 in the code: factors rounded to it, and products of pairs of terms.

A left operand and the weights are pairs of bfloat16, of terms 2k and 2k + 1, in 32 bits; sums are float32. ``native``
is by the host's own instructions, which take numbers below 2**-126 for zero; what stands in for them keeps those.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir

from .simd import I32, Simd, Value

I16 = ir.IntType(16)


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no type for."""

    def _to_string(self) -> str:
        return "bfloat"


_HALVES = ir.VectorType(_BFloat(), 16)
_PAIRS = ir.VectorType(_BFloat(), 32)


def rounded(simd: Simd, vector: Value, *, native: bool) -> Value:
    """A vector of float32 as bfloat16, <lanes x i16>: to the nearest, of two to the even one; NaN stays NaN."""
    b = simd.builder
    if native:
        kind = ir.FunctionType(_HALVES, [simd.vector])
        made = b.call(declared(simd, "llvm.x86.avx512bf16.cvtneps2bf16.512", kind), [vector])
        return b.bitcast(made, ir.VectorType(I16, simd.lanes))
    bits = simd.bits(vector)
    upper = b.lshr(bits, simd.const_integers(16))
    odd = b.and_(upper, simd.const_integers(1))
    number = b.lshr(b.add(b.add(bits, odd), simd.const_integers(0x7FFF)), simd.const_integers(16))
    # A carry from below could turn a NaN into an infinity or a number.
    nan = b.or_(upper, simd.const_integers(0x40))
    return b.trunc(b.select(simd.compare("!=", vector, vector), nan, number), ir.VectorType(I16, simd.lanes))


def paired(simd: Simd, first: Value, second: Value, *, native: bool) -> Value:
    """Two vectors of float32, rounded, as pairs."""
    b = simd.builder
    lower, upper = (b.zext(rounded(simd, each, native=native), simd.integers) for each in (first, second))
    return b.or_(lower, b.shl(upper, simd.const_integers(16)))


def dot(simd: Simd, left: Value, right: Value, sums: Value, *, native: bool) -> Value:
    """``sums`` plus the products of two vectors of pairs, those of the second terms first."""
    b = simd.builder
    if native:
        kind = ir.FunctionType(simd.vector, [simd.vector, _PAIRS, _PAIRS])
        function = declared(simd, "llvm.x86.avx512bf16.dpbf16ps.512", kind)
        return b.call(function, [sums, b.bitcast(left, _PAIRS), b.bitcast(right, _PAIRS)])
    for half in (second, first):
        sums = simd.fma(half(simd, left), half(simd, right), sums)
    return sums


def first(simd: Simd, pairs: Value) -> Value:
    """The first terms, the lower halves, as float32."""
    return simd.from_bits(simd.builder.shl(pairs, simd.const_integers(16)))


def second(simd: Simd, pairs: Value) -> Value:
    """The second terms, the upper halves, as float32."""
    return simd.from_bits(simd.builder.and_(pairs, simd.const_integers(-0x10000)))


def load_pairs(simd: Simd, pointer: Value, offset: Value) -> Value:
    """A vector of pairs."""
    return simd.builder.load(simd.builder.gep(pointer, [offset], source_etype=I32), align=4, typ=simd.integers)


def load_pair(simd: Simd, pointer: Value, offset: Value) -> Value:
    """One pair in every lane."""
    return simd.splat(simd.builder.load(simd.builder.gep(pointer, [offset], source_etype=I32), align=4, typ=I32))


def declared(simd: Simd, name: str, kind: Any) -> Value:
    """A function of LLVM, declared once a module."""
    known = simd.module.globals.get(name)
    return known if known is not None else ir.Function(simd.module, kind, name)
