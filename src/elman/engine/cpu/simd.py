"""Vectors of the host in LLVM IR: the one place that knows vector types. Everything above speaks of ``Simd`` only."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.ir as ir
import torch

from .jit import host

Value = Any
"""A value of the IR: llvmlite has no types of its own for mypy."""

BOOL, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = ir.PointerType()
SCALARS = {torch.float32: ir.FloatType(), torch.float64: ir.DoubleType()}
INTEGERS = {torch.float32: I32, torch.float64: I64}
_C_TYPES = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
MANTISSA_BITS = {torch.float32: 23, torch.float64: 52}


def index(number: int | Value) -> Value:
    """A Python number as an i64 constant; an IR value as it is."""
    return ir.Constant(I64, number) if isinstance(number, int) else number


class _Everywhere(ir.Constant):
    """A vector constant with one value in every lane, written once: the text of a module is mostly constants."""

    def __init__(self, vector: Value, value: float) -> None:
        super().__init__(vector.element, value)
        self.type = vector

    def _get_reference(self) -> str:
        scalar = self.type.element
        return f"splat ({scalar} {scalar.format_constant(self.constant)})"


class Simd:
    """Emits vectors of ``lanes`` elements of ``dtype`` (float32 or float64) into ``builder``.

    Values are of three kinds: vectors (``.vector``), masks (``.mask``, one bit a lane) and scalars (``.scalar``).
    Pointers point to elements, offsets are i64 values or Python numbers counted in elements, and no address needs to be
    aligned beyond one element. ``count`` limits a load or store to the first so many lanes: the others are
    neither read nor written, and come as 0.

    >>> module = ir.Module("example")
    >>> double = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "double")
    >>> builder = ir.IRBuilder(double.append_basic_block())
    >>> simd = Simd(module, builder, torch.float32, lanes=4)
    >>> x = simd.load(double.args[0], 0)
    >>> simd.store(simd.mul(x, simd.const(2)), double.args[0], 0)
    >>> print(x.type)
    <4 x float>
    """

    def __init__(self, module: Value, builder: Value, dtype: torch.dtype, lanes: int) -> None:
        self.module = module
        self.builder = builder
        self.dtype = dtype
        self.lanes = lanes
        self.scalar = SCALARS[dtype]
        self.integer = INTEGERS[dtype]
        self.vector = ir.VectorType(self.scalar, lanes)
        self.integers = ir.VectorType(self.integer, lanes)
        self.mask = ir.VectorType(BOOL, lanes)

    def with_dtype(self, dtype: torch.dtype) -> Simd:
        """The same builder and number of lanes, another type of element."""
        return Simd(self.module, self.builder, dtype, self.lanes)

    # Constants and lanes

    def const(self, number: float) -> Value:
        """The same number in every lane, rounded to ``dtype`` (what is too large becomes infinite)."""
        return _Everywhere(self.vector, _C_TYPES[self.dtype](number).value)

    def const_mask(self, truth: bool) -> Value:
        return _Everywhere(self.mask, truth)

    def const_integers(self, number: int) -> Value:
        """The same integer, of the width of one element, in every lane."""
        return _Everywhere(self.integers, number)

    def splat(self, scalar: Value) -> Value:
        """A scalar (of any type) in every lane."""
        kind = ir.VectorType(scalar.type, self.lanes)
        nothing = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(nothing, scalar, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, nothing, zeros)

    def reduce(self, combine: Callable[[Value, Value], Value], vector: Value) -> Value:
        """All lanes combined into one scalar, the upper half onto the lower until one is left: a fixed order.

        ``combine`` takes two vectors, as ``simd.add`` and ``simd.max`` do; ``lanes`` must be a power of two.
        """
        half = self.lanes // 2
        while half:
            # Lanes past the half repeat the lower ones; nothing reads them.
            lower = [k % half for k in range(self.lanes)]
            upper = [k + half for k in lower]
            vector = combine(self._shuffled(vector, lower), self._shuffled(vector, upper))
            half //= 2
        return self.builder.extract_element(vector, ir.Constant(I32, 0))

    def _shuffled(self, vector: Value, lanes: list[int]) -> Value:
        order = ir.Constant(ir.VectorType(I32, self.lanes), lanes)
        return self.builder.shuffle_vector(vector, vector, order)

    # Memory

    def load(self, pointer: Value, offset: int | Value, count: int | Value | None = None) -> Value:
        """A vector from ``pointer[offset:]``."""
        return self._load(self.scalar, pointer, offset, count)

    def store(self, value: Value, pointer: Value, offset: int | Value, count: int | Value | None = None) -> None:
        """A vector to ``pointer[offset:]``."""
        self._store(value, self.scalar, pointer, offset, count)

    def gather(self, pointer: Value, offset: int | Value, stride: Value, count: int | Value) -> Value:
        """``count`` elements, each ``stride`` after the one before, from ``pointer[offset:]`` on; the others are 0."""
        steps = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        places = self.builder.mul(self.splat(stride), steps)
        places = self.builder.add(places, self.splat(index(offset)))
        pointers = ir.VectorType(POINTER, self.lanes)
        addresses = self.builder.add(
            self.builder.mul(places, ir.Constant(places.type, [_bytes(self.scalar)] * self.lanes)),
            self.splat(self.builder.ptrtoint(pointer, I64)),
        )
        kind = ir.FunctionType(self.vector, [pointers, self.mask, self.vector])
        gather = self._intrinsic(f"llvm.masked.gather.{_suffix(self.vector)}.v{self.lanes}p0", kind)
        addresses = self.builder.inttoptr(addresses, pointers)
        return self.builder.call(gather, [addresses, self.first_lanes(count), ir.Constant(self.vector, None)])

    def load_mask(self, pointer: Value, offset: int | Value, count: int | Value | None = None) -> Value:
        """A mask from a bool tensor, one byte an element."""
        return self.builder.icmp_unsigned("!=", *self._pair(self._load(I8, pointer, offset, count), 0))

    def store_mask(self, mask: Value, pointer: Value, offset: int | Value, count: int | Value | None = None) -> None:
        """A mask to a bool tensor, one byte an element."""
        self._store(self.builder.zext(mask, ir.VectorType(I8, self.lanes)), I8, pointer, offset, count)

    def load_scalar(self, pointer: Value, offset: int | Value) -> Value:
        """One element; ``splat`` spreads it."""
        return self.builder.load(self._address(self.scalar, pointer, offset), typ=self.scalar)

    def store_scalar(self, value: Value, pointer: Value, offset: int | Value) -> None:
        self.builder.store(value, self._address(self.scalar, pointer, offset))

    def prefetch(self, pointer: Value, offset: int | Value) -> None:
        """Brings the cache line of ``pointer[offset]`` near; the address need not be valid."""
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
        hints = [ir.Constant(I32, hint) for hint in (0, 3, 1)]  # to read, into all caches, data
        fetch = self._intrinsic("llvm.prefetch.p0", kind)
        self.builder.call(fetch, [self._address(self.scalar, pointer, offset), *hints])

    def first_lanes(self, count: int | Value) -> Value:
        """The mask of the first ``count`` lanes."""
        if isinstance(count, int):
            return ir.Constant(self.mask, [k < count for k in range(self.lanes)])
        numbers = ir.Constant(ir.VectorType(I32, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.splat(self.builder.trunc(count, I32)))

    def _address(self, scalar: Value, pointer: Value, offset: int | Value) -> Value:
        return self.builder.gep(pointer, [index(offset)], source_etype=scalar)

    def _load(self, scalar: Value, pointer: Value, offset: int | Value, count: int | Value | None) -> Value:
        address = self._address(scalar, pointer, offset)
        vector = ir.VectorType(scalar, self.lanes)
        if count is None or (isinstance(count, int) and count >= self.lanes):
            return self.builder.load(address, align=_bytes(scalar), typ=vector)
        kind = ir.FunctionType(vector, [POINTER, self.mask, vector])
        masked = self._intrinsic(f"llvm.masked.load.{_suffix(vector)}.p0", kind)
        return self.builder.call(masked, [address, self.first_lanes(count), ir.Constant(vector, None)])

    def _store(
        self, value: Value, scalar: Value, pointer: Value, offset: int | Value, count: int | Value | None
    ) -> None:
        address = self._address(scalar, pointer, offset)
        if count is None or (isinstance(count, int) and count >= self.lanes):
            self.builder.store(value, address, align=_bytes(scalar))
            return
        kind = ir.FunctionType(ir.VoidType(), [value.type, POINTER, self.mask])
        masked = self._intrinsic(f"llvm.masked.store.{_suffix(value.type)}.p0", kind)
        self.builder.call(masked, [value, address, self.first_lanes(count)])

    @staticmethod
    def _pair(vector: Value, number: int) -> tuple[Value, Value]:
        return vector, ir.Constant(vector.type, [number] * vector.type.count)

    # Arithmetic

    def add(self, a: Value, b: Value) -> Value:
        return self.builder.fadd(a, b)

    def sub(self, a: Value, b: Value) -> Value:
        return self.builder.fsub(a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self.builder.fmul(a, b)

    def div(self, a: Value, b: Value) -> Value:
        return self.builder.fdiv(a, b)

    def quotient(self, a: Value, b: Value) -> Value:
        """a / b to the last bit or the one before, for finite numbers with 2**-126 <= b: four times as fast as `div`.

        Where the host has an instruction for a reciprocal of 14 bits, one step of Newton's follows it; else it divides.
        """
        if self.dtype != torch.float32 or self.lanes * 4 != host().vector_bytes or host().vector_bytes != 64:
            return self.div(a, b)
        words = ir.IntType(self.lanes)
        kind = ir.FunctionType(self.vector, [self.vector, self.vector, words])
        estimate = self._intrinsic("llvm.x86.avx512.rcp14.ps.512", kind)
        r = self.builder.call(estimate, [b, ir.Constant(self.vector, ir.Undefined), ir.Constant(words, -1)])
        q = self.mul(a, r)
        return self.fma(self.fma(self.neg(q), b, a), r, q)

    def neg(self, a: Value) -> Value:
        return self.builder.fneg(a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c: rounded once where the host has such an instruction, twice elsewhere."""
        return self.intrinsic("fmuladd", a, b, c)

    def min(self, a: Value, b: Value) -> Value:
        """The smaller one, and ``b`` where either is NaN: one instruction, so put the operand that may be NaN last."""
        return self.select(self.compare("<", a, b), a, b)

    def max(self, a: Value, b: Value) -> Value:
        """The larger one, and ``b`` where either is NaN: one instruction, so put the operand that may be NaN last."""
        return self.select(self.compare(">", a, b), a, b)

    def abs(self, a: Value) -> Value:
        return self.intrinsic("fabs", a)

    def sqrt(self, a: Value) -> Value:
        return self.intrinsic("sqrt", a)

    def intrinsic(self, name: str, *vectors: Value) -> Value:
        """A function of LLVM that maps vectors to a vector lane by lane: "floor", "copysign", ...

        Those no instruction exists for ("sin", "atan", "pow", ...) become one call of the C library a lane.
        """
        kind = ir.FunctionType(self.vector, [self.vector] * len(vectors))
        return self.builder.call(self._intrinsic(f"llvm.{name}.{_suffix(self.vector)}", kind), vectors)

    def _intrinsic(self, name: str, kind: Value) -> Value:
        known = self.module.globals.get(name)
        return known if known is not None else ir.Function(self.module, kind, name)

    # Masks and bits

    def compare(self, operator: str, a: Value, b: Value) -> Value:
        """The mask of ``a operator b`` for one of == != < <= > >=; with NaN only != holds, as in Python."""
        compare = self.builder.fcmp_unordered if operator == "!=" else self.builder.fcmp_ordered
        return compare(operator, a, b)

    def select(self, mask: Value, a: Value, b: Value) -> Value:
        """``a`` where the mask is set, else ``b``."""
        return self.builder.select(mask, a, b)

    def any(self, mask: Value) -> Value:
        """Whether any lane of the mask is set: an i1."""
        word = ir.IntType(self.lanes)
        return self.builder.icmp_unsigned("!=", self.builder.bitcast(mask, word), ir.Constant(word, 0))

    def bits(self, vector: Value) -> Value:
        """The same bits read as integers."""
        return self.builder.bitcast(vector, self.integers)

    def from_bits(self, integers: Value) -> Value:
        """The same bits read as numbers."""
        return self.builder.bitcast(integers, self.vector)


def _bytes(scalar: Value) -> int:
    return {I8: 1, SCALARS[torch.float32]: 4, SCALARS[torch.float64]: 8}[scalar]


def _suffix(vector: Value) -> str:
    """How LLVM writes a vector type in the name of an intrinsic: v16f32."""
    return f"v{vector.count}{vector.element.intrinsic_name}"


@contextmanager
def loop(builder: Value, start: int | Value, stop: int | Value, step: int | Value = 1) -> Iterator[Value]:
    """``for i in range(start, stop, step)`` in the code that is emitted: ``with loop(builder, 0, n) as i: ...``.

    ``i`` is an i64; start, stop and step are Python numbers or i64 values, the step positive. Zero rounds when
    start >= stop. After the block the builder stands behind the loop.
    """
    start, stop, step = index(start), index(stop), index(step)
    before = builder.block
    body = builder.append_basic_block("loop")
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", start, stop), body, after)
    builder.position_at_end(body)
    i = builder.phi(I64)
    i.add_incoming(start, before)
    yield i
    following = builder.add(i, step)
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, stop), body, after)
    builder.position_at_end(after)


def carried_loop(
    builder: Value,
    start: int | Value,
    stop: int | Value,
    step: int | Value,
    initial: Sequence[Value],
    body: Callable[[Value, list[Value]], Sequence[Value]],
) -> list[Value]:
    """A `loop` that carries values, such as accumulators held in registers, from round to round.

    ``body(i, values) -> new values``, as many and of the same types; returns the last ones, ``initial`` after zero
    rounds.
    """
    before = builder.block
    with loop(builder, start, stop, step) as i:
        carried = [builder.phi(value.type) for value in initial]
        results = body(i, list(carried))
        end = builder.block
        for phi, value, result in zip(carried, initial, results, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(result, end)
    finals = [builder.phi(value.type) for value in initial]
    for phi, value, result in zip(finals, initial, results, strict=True):
        phi.add_incoming(value, before)
        phi.add_incoming(result, end)
    return finals
