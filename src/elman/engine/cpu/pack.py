"""Pack: a compiled copy of weights into the order in which the products read them.

One function serves all plans. It copies the columns of one product of a panel: [column tile][k][product][vector][lane].
Another one rounds them to bfloat16 on the way, and what it writes for a k are two terms.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from llvmlite import ir
from torch import Tensor

from ..kinds import weight
from ..plan import Plan
from ..trace import Value
from . import bf16
from .gemm import Panel, Tiling
from .jit import Compiled, Host, compile_module, host
from .simd import I64, POINTER, Simd, index, loop
from .threads import FUNCTION, parallel
from .ways import Way

_FIELDS = 10  # of a job: from, to, terms, ks, strides of terms and columns, columns, a tile's vectors, products, which
_SMALL = 1 << 14  # weights that one thread copies sooner than two


def pack_panels(
    plan: Plan, panels: Sequence[Panel], whole: dict[Value, Tensor], cuts: Sequence[Tiling], way: Way | None = None
) -> list[Tensor]:
    """The panels' weights as the code reads them; what lies past the last column is not used.

    With a ``way`` they are pairs of bfloat16, zeros past the last term.
    """
    jobs = array("q", [0, 0])
    packed, here = [], host()
    for panel in panels:
        stage, cut = plan.stages[panel.stage], cuts[panel.stage]
        like = whole[weight(panel.products[0][0])]
        lanes = here.lanes(like.dtype)
        terms, vectors = like.shape[0], -(-stage.width // lanes)
        ks = terms if way is None else way.padded(terms) // 2
        made = like.new_empty(ks * vectors * len(panel.products) * lanes)
        packed.append(made)
        for number, (value, at) in enumerate(panel.products):
            source = whole[weight(value)]
            by_term, by_column = source.stride()
            start = source.data_ptr() + at * by_column * source.element_size()
            place = made.data_ptr()
            shape = stage.width, cut.vectors, len(panel.products), number
            jobs.extend((start, place, terms, ks, by_term, by_column, *shape))
    if packed:
        jobs[0] = len(jobs) // _FIELDS
        total = sum(each.numel() for each in packed)
        _, function = _compiled(packed[0].dtype, here, way)
        parallel(function, jobs.buffer_info()[0], 1 if total < _SMALL else None)
    return packed


@lru_cache
def _compiled(dtype: torch.dtype, here: Host, way: Way | None) -> tuple[Compiled, int]:
    lanes = here.lanes(dtype)
    code = compile_module(lambda: _emit(dtype, lanes, way), "pack", key=f"pack {dtype} {lanes} {way!r}")
    return code, code.address("run")


def _emit(dtype: torch.dtype, lanes: int, way: Way | None) -> ir.Module:
    module = ir.Module("pack")
    function = ir.Function(module, FUNCTION, "run")
    table, thread, threads = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    simd = Simd(module, b, dtype, lanes)
    count = b.load(b.gep(table, [index(0)], source_etype=I64), typ=I64)
    with loop(b, 0, count) as number:
        base = b.add(index(2), b.mul(number, index(_FIELDS)))
        fields = [b.load(b.gep(table, [b.add(base, index(n))], source_etype=I64), typ=I64) for n in range(_FIELDS)]
        source, target = (b.inttoptr(address, POINTER) for address in fields[:2])
        terms, ks, by_term, by_column, columns, vectors, products, product = fields[2:]
        all_vectors = b.sdiv(b.add(columns, index(lanes - 1)), index(lanes))
        first, last = (b.sdiv(b.mul(all_vectors, n), threads) for n in (thread, b.add(thread, index(1))))
        with loop(b, first, last) as vector:
            tile = b.sdiv(vector, vectors)
            begin = b.mul(tile, vectors)
            left = b.sub(all_vectors, begin)
            # The last tile has only the vectors that are left.
            wide = b.select(b.icmp_signed("<", left, vectors), left, vectors)
            a_term = b.mul(b.mul(products, wide), index(lanes))
            inside = b.add(b.mul(product, wide), b.sub(vector, begin))
            start = b.add(b.mul(b.mul(begin, products), b.mul(ks, index(lanes))), b.mul(inside, index(lanes)))
            column = b.mul(vector, index(lanes))
            room = b.sub(columns, column)
            here = b.select(b.icmp_signed("<", room, index(lanes)), room, index(lanes))
            origin = b.gep(source, [b.mul(column, by_column)], source_etype=simd.scalar)
            with b.if_else(b.icmp_signed("==", by_column, index(1))) as (side_by_side, apart):
                for block, take in ((side_by_side, simd.load), (apart, partial(_gather, simd, by_column))):
                    with block, loop(b, 0, ks) as k:
                        found = _taken(simd, partial(take, origin), k, terms, by_term, here, way)
                        simd.store(found, target, b.add(start, b.mul(k, a_term)))
    b.ret_void()
    return module


def _gather(simd: Simd, stride: ir.Value, origin: ir.Value, offset: ir.Value, count: ir.Value) -> ir.Value:
    return simd.gather(origin, offset, stride, count)


def _taken(
    simd: Simd,
    take: Callable[[ir.Value, ir.Value], ir.Value],
    k: ir.Value,
    terms: ir.Value,
    by_term: ir.Value,
    columns: ir.Value,
    way: Way | None,
) -> ir.Value:
    """Some columns of a term, or of a pair of terms; ``take`` reads elements at an offset."""
    b = simd.builder
    if way is None:
        return take(b.mul(k, by_term), columns)
    pair = []
    for half in range(2):
        term = b.add(b.mul(k, index(2)), index(half))
        there = b.select(b.icmp_signed("<", term, terms), columns, index(0))
        pair.append(take(b.mul(term, by_term), there))
    return simd.from_bits(bf16.paired(simd, *pair, native=way.native))
