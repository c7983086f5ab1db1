"""AMX: products of bfloat16 by tiles of 16 rows of 64 bytes, eight of which a processor that has them keeps.

A tile holds sums, 16 rows by 16 columns of float32; left operands, 16 rows by 32 terms; or weights, 16 pairs of terms
by 16 columns of two terms each. One instruction adds to a tile of sums the products of one of left operands and one of
weights. Elsewhere memory takes the place of the tiles and ordinary instructions do the same, so that the code around
them can be tested.
"""

from __future__ import annotations

import ctypes
import itertools
import platform
import sys
from functools import lru_cache

import llvmlite.ir as ir

from .bf16 import declared, first, load_pair, load_pairs, second
from .simd import I8, I64, POINTER, Simd, Value, carried_loop, index, loop

TILES = 8
ROWS = 16
ROW_BYTES = 64
TILE_BYTES = ROWS * ROW_BYTES
TERMS = 32
PAIRS = TERMS // 2
GROUPS_AHEAD = 8  # of terms, whose weights are fetched meanwhile

_REQUEST_PERMISSION, _OF_TILE_DATA = 0x1023, 18  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
_ARCH_PRCTL = 158


@lru_cache
def permitted() -> bool:
    """Asks the system, once a process, for leave to use the tiles; whether it was given."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _OF_TILE_DATA) == 0


def configure(simd: Simd) -> None:
    """Emits what a thread does before its first tile: all of them are of full size."""
    shapes = [1, *[0] * 15, *[ROW_BYTES, 0] * TILES, *[0] * 16, *[ROWS] * TILES, *[0] * 8]  # palette 1
    kind = ir.ArrayType(I8, len(shapes))
    constant = ir.GlobalVariable(simd.module, kind, "tiles")
    constant.global_constant, constant.linkage, constant.align = True, "internal", ROW_BYTES
    constant.initializer = ir.Constant(kind, shapes)
    simd.builder.call(declared(simd, "llvm.x86.ldtilecfg", _kind(POINTER)), [constant])


def release(simd: Simd) -> None:
    """Emits what it does after the last one."""
    simd.builder.call(declared(simd, "llvm.x86.tilerelease", _kind()), [])


class Tiles:
    """Emits operations on the tiles, told apart by number; where not ``native``, on memory of the function."""

    def __init__(self, simd: Simd, *, native: bool) -> None:
        self.simd, self.builder, self.native = simd, simd.builder, native
        if not native:
            self.memory = self.builder.alloca(simd.vector, size=TILES * ROWS)

    def zero(self, tile: int) -> None:
        """Every element 0."""
        if self.native:
            self._call("tilezero", I8(tile))
            return
        with loop(self.builder, 0, ROWS) as row:
            self.builder.store(self.simd.const(0.0), self._row(tile, row))

    def load(self, tile: int, pointer: Value, stride: Value) -> None:
        """16 rows that lie ``stride`` bytes apart."""
        if self.native:
            self._call("tileloadd64", I8(tile), pointer, stride)
            return
        with loop(self.builder, 0, ROWS) as row:
            vector = self.builder.load(self._at(pointer, row, stride), align=4, typ=self.simd.vector)
            self.builder.store(vector, self._row(tile, row))

    def store(self, tile: int, pointer: Value, stride: Value) -> None:
        """To 16 rows that lie ``stride`` bytes apart."""
        if self.native:
            self._call("tilestored64", I8(tile), pointer, stride)
            return
        with loop(self.builder, 0, ROWS) as row:
            vector = self.builder.load(self._row(tile, row), typ=self.simd.vector)
            self.builder.store(vector, self._at(pointer, row, stride), align=4)

    def multiply(self, sums: int, left: int, weights: int) -> None:
        """Adds products of two tiles to a third: the sum of all first terms plus that of all second ones."""
        if self.native:
            self._call("tdpbf16ps", I8(sums), I8(left), I8(weights))
            return
        simd, b = self.simd, self.builder

        def body(pair: Value, found: list[Value]) -> list[Value]:
            a = load_pair(simd, self._row(left, row), pair)
            w = load_pairs(simd, self._row(weights, pair), index(0))
            return [
                simd.fma(half(simd, a), half(simd, w), each) for half, each in zip((first, second), found, strict=True)
            ]

        with loop(b, 0, ROWS) as row:
            firsts, seconds = carried_loop(b, 0, PAIRS, 1, [simd.const(0.0)] * 2, body)
            place = self._row(sums, row)
            b.store(simd.add(b.load(place, typ=simd.vector), simd.add(firsts, seconds)), place)

    def _row(self, tile: int, row: Value) -> Value:
        place = self.builder.add(row, index(tile * ROWS))
        return self.builder.gep(self.memory, [place], source_etype=self.simd.vector)

    def _at(self, pointer: Value, row: Value, stride: Value) -> Value:
        return self.builder.gep(pointer, [self.builder.mul(row, stride)], source_etype=I8)

    def _call(self, name: str, *arguments: Value) -> None:
        kind = _kind(*(each.type for each in arguments))
        self.builder.call(declared(self.simd, f"llvm.x86.{name}", kind), arguments)


def place(builder: Value, row: Value, term: Value, terms: int) -> Value:
    """Where a term of a row lies, in elements, in rows of so many terms cut into tiles of left operands."""
    b = builder
    tile = b.add(b.mul(b.lshr(row, index(4)), index(terms // TERMS)), b.lshr(term, index(5)))
    inside = b.add(b.mul(b.and_(row, index(ROWS - 1)), index(TERMS)), b.and_(term, index(TERMS - 1)))
    return b.add(b.mul(tile, index(ROWS * TERMS)), inside)


def _kind(*arguments: ir.Type) -> ir.FunctionType:
    return ir.FunctionType(ir.VoidType(), arguments)


def tile_function(simd: Simd, tall: int, sums: int, *, native: bool) -> ir.Function:
    """``void(lefts, apart, weights, groups, sums, stride)``: products of ``tall`` (1 or 2) tiles of rows by ``sums``.

    ``lefts`` points to tiles of left operands, one for each of the ``groups`` of 32 terms, and those of the second tile
    of rows ``apart`` bytes on; ``weights`` to [pair of terms][sum][column]. Rows of sums lie ``stride`` bytes apart.
    Made once a module.
    """
    name = f"tiles.{tall}x{sums}"
    module = simd.module
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, _kind(POINTER, I64, POINTER, I64, POINTER, I64), name)
    function.linkage = "internal"
    lefts, apart, weights, groups, found, stride = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    tiles = Tiles(Simd(module, b, simd.dtype, simd.lanes), native=native)
    across = index(sums * ROW_BYTES)  # from one pair of terms to the next

    def weights_at(group: Value, number: int) -> Value:
        place = b.add(b.mul(group, index(PAIRS * sums * ROW_BYTES)), index(number * ROW_BYTES))
        return b.gep(weights, [place], source_etype=I8)

    for begin, end in itertools.pairwise(_parts(sums, 3 if tall == 2 else 6)):
        numbers = range(begin, end)
        count = tall * len(numbers)
        # Left operands stay in tiles of their own where there are enough.
        resident = count + tall < TILES
        left_tiles = range(count, count + (tall if resident else 1))
        weight_tiles = itertools.cycle(range(left_tiles.stop, TILES))
        places = [
            b.gep(found, [b.add(b.mul(stride, index(q * ROWS)), index(n * ROW_BYTES))], source_etype=I8)
            for q in range(tall)
            for n in numbers
        ]
        for tile in range(count):
            tiles.zero(tile)
        with loop(b, 0, groups) as group:
            at = b.mul(group, index(TILE_BYTES))
            rows = [b.gep(lefts, [b.add(b.mul(apart, index(q)), at)], source_etype=I8) for q in range(tall)]
            if resident:
                for q in range(tall):
                    tiles.load(left_tiles[q], rows[q], index(ROW_BYTES))
            for n, number in enumerate(numbers):
                weight_tile = next(weight_tiles)
                tiles.load(weight_tile, weights_at(group, number), across)
                _fetch(tiles.simd, weights_at(b.add(group, index(GROUPS_AHEAD)), number), sums)
                for q in range(tall):
                    if not resident:
                        tiles.load(left_tiles[0], rows[q], index(ROW_BYTES))
                    tiles.multiply(q * len(numbers) + n, left_tiles[q if resident else 0], weight_tile)
        for tile, place in enumerate(places):
            tiles.store(tile, place, stride)
    b.ret_void()
    return function


def _parts(count: int, most: int) -> list[int]:
    """Where to cut so many into parts as even as can be, of ``most`` at most.

    >>> _parts(4, 3), _parts(7, 3)
    ([0, 2, 4], [0, 2, 4, 7])
    """
    parts = -(-count // most)
    return [count * part // parts for part in range(parts + 1)]


def _fetch(simd: Simd, tile: Value, sums: int) -> None:
    """Brings a tile of weights nearer, line by line."""
    for pair in range(PAIRS):
        simd.prefetch(tile, pair * sums * ROW_BYTES // 4)
