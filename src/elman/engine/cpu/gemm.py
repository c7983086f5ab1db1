"""Products: how a stage's weights lie in memory, and the code that multiplies a few rows by one tile of columns.

A tile has ``vectors`` vectors of columns of each of the stage's products; its sums stay in registers while the code
runs over ``terms`` terms of the left operand at a time, as many as keep the tile's weights in the first-level cache
while all rows pass by. The sums of all rows meanwhile lie in a small buffer, [row][product][vector][lane].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir

from ..kinds import operand, width
from ..plan import Plan, Stage
from ..trace import Value
from . import amx, bf16
from .simd import I64, POINTER, Simd, carried_loop, index
from .ways import Way

REGISTERS = 24  # vector registers for a tile's sums; the others hold weights, one broadcast and addresses
EMULATING = 20  # where each weight of bfloat16 takes two
MOST_ROWS = 8
WEIGHT_BYTES = 32 * 1024  # of the first-level cache, for the weights of a tile
SUM_BYTES = 16 * 1024  # for the sums of the rows that pass by
UNROLL = 4
ALL = 1 << 40  # terms, however many there are
LINE = 16  # elements to a line of the cache, or half as many of float64
LINES_AHEAD = 2  # fetched in each round
ENOUGH_TILES = 4  # for two threads to share evenly


@dataclass(frozen=True)
class Tiling:
    """How a stage is cut: ``vectors`` side by side for each product, ``rows`` at a time, ``terms`` at a time.

    ``block`` rows pass by each piece of the weights.
    """

    vectors: int
    rows: int
    terms: int
    block: int


def tiling(stage: Stage, lanes: int, rows: int, *, shared: bool, near: bool, way: Way | None = None) -> Tiling:
    """As many sums as fit the registers, for a batch of ``rows``; ``shared``: threads share the tiles of columns.

    Every vector of weights should serve six rows, every broadcast of a left operand some four vectors. ``near``: all of
    a thread's weights stay in its second-level cache, which is near enough for a few rows to pass by all of them at
    once; then what belongs to the rows is read and written in order. Else many rows pass by a piece in the first-level
    cache. With a ``way`` to multiply bfloat16 a term is a pair.

    >>> tiling(Stage(256, [], [(None, 0)] * 4), lanes=16, rows=64, shared=False, near=False)
    Tiling(vectors=1, rows=6, terms=128, block=64)
    >>> tiling(Stage(256, [], [(None, 0)] * 4), lanes=16, rows=1, shared=False, near=True)
    Tiling(vectors=4, rows=1, terms=1099511627776, block=2)
    """
    products = max(len(stage.products), 1)
    fit = -(-stage.width // lanes)
    most = fit // ENOUGH_TILES if shared else fit
    if way is not None and way.kind == "amx":
        # Multiplying takes as long as the second-level cache takes to give the weights, so these need not be nearer.
        return Tiling(max(1, min(4 // products, most)), 2 * amx.ROWS, ALL, (4 if near else 8) * amx.ROWS)
    registers = REGISTERS if way is None or way.native else EMULATING
    # One row needs many sums under way to keep the memory busy.
    vectors = max(1, min(registers // (products * min(rows, 6)), 4 if rows > 1 else 16 // products, most))
    tall = max(1, min(registers // (products * vectors), MOST_ROWS))
    vector_bytes = 64  # of the widest registers: what counts is that it is bounded
    if near:
        return Tiling(vectors, tall, ALL, 2 * tall)
    terms = max(WEIGHT_BYTES // (products * vectors * vector_bytes) // UNROLL, 1) * UNROLL
    block = max(SUM_BYTES // (products * vectors * vector_bytes), tall)
    return Tiling(vectors, tall, terms, block)


@dataclass(frozen=True)
class Panel:
    """Weights of one stage and left operand, to be packed: [column tile][term][product][vector][lane]."""

    stage: int
    left: Value
    products: tuple[tuple[Value, int], ...]


def panels(plan: Plan) -> list[Panel]:
    """All weights of a plan, in the order in which the code takes them."""
    return [
        Panel(number, left, tuple((value, at) for value, at in stage.products if operand(value) is left))
        for number, stage in enumerate(plan.stages)
        for left in dict.fromkeys(operand(value) for value, _ in stage.products)
    ]


def rounded_terms(left: Value) -> int:
    """The terms of a row of a left operand rounded to bfloat16, with zeros up to whole tiles and vectors."""
    return -(-width(left) // amx.TERMS) * amx.TERMS


def rounded_room(stage: Stage, cut: Tiling) -> int:
    """How many numbers the rounded left operands of a block of rows of a stage are."""
    return sum(cut.block * rounded_terms(left) for left in {operand(value) for value, _ in stage.products})


def product_function(simd: Simd, rows: int, sums: int, way: Way | None = None) -> ir.Function:
    """``void(lefts, weights, terms, fresh, sums, stride, ahead)``: adds the terms' products to rows by vectors of sums.

    ``lefts`` points to as many addresses as there are rows, ``weights`` to [term][sum][lane]; ``sums`` holds ``sums``
    vectors a row, ``stride`` vectors from one row to the next, taken for zero where ``fresh``; ``ahead`` is memory to
    fetch meanwhile. With a ``way``, a term is a pair of bfloat16. Made once a module.
    """
    name = f"products.{rows}x{sums}"
    module = simd.module
    if name in module.globals:
        return module.globals[name]
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, ir.IntType(1), POINTER, I64, POINTER])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    lefts, weights, terms, fresh, found, stride, ahead = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    inner = Simd(module, b, simd.dtype, simd.lanes)
    left = [b.load(b.gep(lefts, [index(q)], source_etype=POINTER), typ=POINTER) for q in range(rows)]
    row_sums = [b.gep(found, [b.mul(index(q), stride)], source_etype=inner.vector) for q in range(rows)]
    places = [b.gep(row_sums[q], [index(n)], source_etype=inner.vector) for q in range(rows) for n in range(sums)]
    entry = b.block
    old, start = function.append_basic_block("old"), function.append_basic_block("start")
    b.cbranch(fresh, start, old)
    b.position_at_end(old)
    loaded = [b.load(place, typ=inner.vector) for place in places]
    b.branch(start)
    b.position_at_end(start)
    initial = [b.phi(inner.vector) for _ in places]
    for phi, value in zip(initial, loaded, strict=True):
        phi.add_incoming(inner.const(0.0), entry)
        phi.add_incoming(value, old)

    load, load_everywhere, multiply_add = _arithmetic(inner, way)

    def body(unroll: int, k: ir.Value, acc: list[ir.Value]) -> list[ir.Value]:
        for line in range(LINES_AHEAD if unroll > 1 else 0):
            inner.prefetch(ahead, b.add(b.mul(k, index(LINES_AHEAD * LINE // UNROLL)), index(line * LINE)))
        for u in range(unroll):
            at = b.add(k, index(u))
            base = b.mul(at, index(sums * simd.lanes))
            vectors = [load(weights, b.add(base, index(n * simd.lanes))) for n in range(sums)]
            new = []
            for q in range(rows):
                everywhere = load_everywhere(left[q], at)
                new += [multiply_add(everywhere, vectors[n], acc[q * sums + n]) for n in range(sums)]
            acc = new
        return acc

    whole = b.and_(terms, index(-UNROLL))
    acc = carried_loop(b, 0, whole, UNROLL, initial, lambda k, acc: body(UNROLL, k, acc))
    acc = carried_loop(b, whole, terms, 1, acc, lambda k, acc: body(1, k, acc))
    for place, value in zip(places, acc, strict=True):
        b.store(value, place)
    b.ret_void()
    return function


def _arithmetic(simd: Simd, way: Way | None) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """How to load a vector of weights, a left operand into every lane, and to add their products to sums."""
    if way is None:
        return simd.load, lambda pointer, at: simd.splat(simd.load_scalar(pointer, at)), simd.fma
    return (
        partial(bf16.load_pairs, simd),
        partial(bf16.load_pair, simd),
        partial(bf16.dot, simd, native=way.native),
    )
