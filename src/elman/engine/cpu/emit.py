"""Emit: a plan as LLVM IR. One function runs the whole loop over time for one thread's share of the work.

The loops, from the outside in: time, stages, tiles of columns, blocks of rows; inside, the products of the block's rows
with the tile's weights (see ``gemm``), then the pointwise program row by row.

Threads share either the rows, and never meet, or the tiles of columns, and meet at a barrier after a stage: then each
reads half the weights only, which so stay in its cache.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from llvmlite import ir

from ..kinds import FILLS, PRODUCTS, is_reduction, operand, weight, width
from ..plan import Plan, Stage, Store, column_source
from ..trace import Refused, Value, operator_name
from . import amx, bf16
from .gemm import (
    LINE,
    LINES_AHEAD,
    UNROLL,
    Panel,
    Tiling,
    panels,
    product_function,
    rounded_room,
    rounded_terms,
    tiling,
)
from .math import POINTWISE, maximum, minimum, number, truth
from .simd import I8, I64, POINTER, Simd, carried_loop, index, loop
from .threads import FUNCTION, emit_barrier
from .ways import Way

aten = torch.ops.aten
_COMBINE: dict[Any, tuple[float, Any]] = {
    aten.amax.default: (-math.inf, maximum),
    aten.amin.default: (math.inf, minimum),
}  # all others add


@dataclass(frozen=True)
class Variant:
    """What one plan is compiled for, beside the processor.

    ``reverse`` runs from the last step to the first. ``lengths``: a row takes part while it lasts. ``resets``: rows
    begin anew where flagged, before the step. In a ``backward`` loop flagged rows carry zero from there on. ``rings``:
    states of which only two steps are kept, in turn. ``shared``: threads share tiles of columns, not rows.
    ``near``: a thread's weights stay in its cache. ``rows``: the batch, where it is smaller than fits the registers.
    ``way``: how products are computed with their factors rounded to bfloat16; ``None`` leaves these as they are.
    """

    dtype: torch.dtype
    lanes: int
    reverse: bool = False
    lengths: bool = False
    resets: bool = False
    backward: bool = False
    rings: tuple[bool, ...] = ()
    shared: bool = False
    near: bool = True
    rows: int = 8
    way: Way | None = None

    def tiling(self, stage: Stage) -> Tiling:
        """How this variant cuts a stage."""
        return tiling(stage, self.lanes, self.rows, shared=self.shared, near=self.near, way=self.way)

    def rounded_room(self, plan: Plan) -> int:
        """How many rounded numbers a thread keeps."""
        return max((rounded_room(stage, self.tiling(stage)) for stage in plan.stages), default=0) if self.way else 0


@dataclass
class Signature:
    """The order of addresses in the table the function reads, behind the first step, T, B and the counter's address.

    Those of ``stepped`` and of the outputs are followed by the elements from one row to the next of each. At the end,
    if products are of bfloat16: `Variant.rounded_room` for each thread; if there are lengths: (B,) rows, the longest
    first, (T,) how many of them take part in each step; if there are resets: (T, B) flags and, but for a backward
    loop, the states to begin from.
    """

    stepped: list[Value]
    vectors: list[Value]
    panels: list[Panel]
    states: int
    outputs: int
    scratch: int


def signature(plan: Plan) -> Signature:
    """What the emitted function of a plan takes."""
    matrices = {weight(value) for stage in plan.stages for value, _ in stage.products}
    vectors = [value for value in plan.whole if value not in matrices]
    for value in vectors:
        if sum(size != 1 for size in value.shape) > 1:
            raise Refused(f"{value} of shape {value.shape} is used element by element ({value.source})")
    for value in matrices:
        if value not in plan.whole:
            raise Refused(f"a product with a matrix that changes from step to step ({value.source})")
    return Signature(plan.stepped, vectors, panels(plan), len(plan.states), len(plan.outputs), len(plan.scratch))


def check(plan: Plan) -> None:
    """Raises ``Refused`` where something in the plan has no machine code, naming its line."""
    given = {*plan.core.inputs}
    for value in plan.core.values:
        arranged = value.op in FILLS or value.op in PRODUCTS or is_reduction(value) or column_source(value, 0)
        if value not in given and not arranged and value.op not in POINTWISE:
            raise Refused(f"{operator_name(value)} has no machine code yet ({value.source})")
    signature(plan)


def emit(plan: Plan, variant: Variant) -> ir.Module:
    """The module with ``run(table, thread, threads)``, see ``threads`` and `Signature`: one thread's share."""
    return _Emitter(plan, variant).module


@dataclass
class _Share:
    """What of a stage a thread does: ranges of rows, in order of length where there are lengths, and of tiles."""

    rows: tuple[ir.Value, ir.Value]
    tiles: tuple[ir.Value, ir.Value]


class _Emitter:
    def __init__(self, plan: Plan, variant: Variant) -> None:
        self.plan, self.variant = plan, variant
        self.reverse, self.backward = variant.reverse, variant.backward
        self.takes = takes = signature(plan)
        self.in_memory = {*plan.core.inputs, *plan.spread}
        self.module = ir.Module("elman")
        function = ir.Function(self.module, FUNCTION, "run")
        table, self.thread, self.threads = function.args
        self.builder = b = ir.IRBuilder(function.append_basic_block("entry"))
        self.simd = Simd(self.module, b, variant.dtype, variant.lanes)
        slot = itertools.count()

        def following(n: int, kind: ir.Type = POINTER) -> list[ir.Value]:
            places = [b.gep(table, [index(next(slot))], source_etype=I64) for _ in range(n)]
            return [b.load(place, typ=kind) for place in places]

        self.first, self.time, self.batch = following(3, I64)
        self.counter = following(1)[0]
        self.stepped = dict(zip(takes.stepped, following(len(takes.stepped)), strict=True))
        self.strides = dict(zip(takes.stepped, following(len(takes.stepped), I64), strict=True))
        self.vectors = dict(zip(takes.vectors, following(len(takes.vectors)), strict=True))
        self.panels = dict(zip(takes.panels, following(len(takes.panels)), strict=True))
        self.states = following(takes.states)
        self.outputs, self.output_strides = following(takes.outputs), following(takes.outputs, I64)
        self.scratch = following(takes.scratch)
        self.rounded = following(1)[0] if variant.way else None
        self.order = following(1)[0] if variant.lengths else None
        self.active = following(1)[0] if variant.lengths else None
        self.resets = following(1)[0] if variant.resets else None
        self.reset_states = following(takes.states) if variant.resets and not self.backward else []

        cuts = [variant.tiling(stage) for stage in plan.stages]
        sums = [len(stage.products) * cut.vectors for stage, cut in zip(plan.stages, cuts, strict=True)]
        room = max((cut.block * count for cut, count in zip(cuts, sums, strict=True)), default=0)
        self.sums = b.alloca(self.simd.vector, size=max(room, 1))
        self.lefts = b.alloca(POINTER, size=max((cut.rows for cut in cuts), default=1))
        if self.rounded is not None:
            own = b.mul(self.thread, index(variant.rounded_room(plan)))
            self.rounded = b.gep(self.rounded, [own], source_etype=bf16.I16)
        self.in_tiles = variant.way is not None and variant.way.kind == "amx"
        self.native = variant.way is not None and variant.way.native
        if self.in_tiles and self.native:
            amx.configure(self.simd)
        with loop(b, self.first, self.time) as step:
            last = b.sub(self.time, index(1))
            self.t = b.sub(last, step) if self.reverse else step
            self.back = b.trunc(step, ir.IntType(1))
            self.count = self._index(self.active, self.t, I64) if variant.lengths else self.batch
            for number, stage in enumerate(plan.stages):
                self._stage(number, stage)
                if variant.shared and self._must_meet(number):
                    emit_barrier(self.module, b, self.counter, self.threads)
        if self.in_tiles and self.native:
            amx.release(self.simd)
        b.ret_void()

    def _stage(self, number: int, stage: Stage) -> None:
        """A thread's tiles of columns: the full ones in a loop, what is left over as a narrower one."""
        b, cut = self.builder, self.variant.tiling(stage)
        tile = cut.vectors * self.simd.lanes
        full, rest = divmod(stage.width, tile)
        panels = self._panels_of(number)
        share = self._share(full + bool(rest))
        first, last = share.tiles
        counts: list[int | None] = [None] * (rest // self.simd.lanes)
        counts += [rest % self.simd.lanes] if rest % self.simd.lanes else []
        narrow = Tiling(len(counts), cut.rows, cut.terms, cut.block)

        with loop(b, *share.rows, cut.block if panels else 1) as begin:
            rows = begin, self._least(b.add(begin, index(cut.block if panels else 1)), share.rows[1])
            for panel in panels if self.variant.way else ():
                self._round(panel, cut, rows)
            if full:
                end = self._least(last, index(full))
                with loop(b, first, end) as at:
                    # To and fro: the weights used last are still in the cache.
                    place = b.select(self.back, b.sub(b.add(first, b.sub(end, index(1))), at), at)
                    self._rows(stage, panels, cut, rows, b.mul(place, index(tile)), [None] * cut.vectors)
            if rest:
                with b.if_then(b.icmp_signed(">", last, index(full))):
                    self._rows(stage, panels, narrow, rows, index(full * tile), counts)

    def _panels_of(self, number: int) -> list[Panel]:
        return [panel for panel in self.takes.panels if panel.stage == number]

    def _share(self, tiles: int) -> _Share:
        """This thread's rows and tiles: some of the rows, or all of them and some of the tiles if there are several."""
        by_tiles = self.variant.shared and tiles > 1
        rows = (index(0), self.count) if by_tiles else self._part(self.count)
        return _Share(rows, self._part(index(tiles)) if by_tiles else (index(0), index(tiles)))

    def _part(self, count: ir.Value) -> tuple[ir.Value, ir.Value]:
        b, one = self.builder, index(1)
        ends = [b.sdiv(b.mul(count, number), self.threads) for number in (self.thread, b.add(self.thread, one))]
        return ends[0], ends[1]

    def _must_meet(self, number: int) -> bool:
        """Whether threads that share tiles have to wait after a stage: not if each goes on with columns of its own."""
        plan, stages = self.plan, self.plan.stages
        stage, following = stages[number], stages[(number + 1) % len(stages)]
        own = stage.width == following.width and self.variant.tiling(stage) == self.variant.tiling(following)
        if plan.spread or following.products or not own or any(is_reduction(value) for value in plan.core.values):
            return True
        read_whole = {operand(value) for other in stages for value, _ in other.products}
        states = [plan.states[store.index] for store in following.stores if store.kind == "state"]
        return any(store.kind == "scratch" for store in following.stores) or not read_whole.isdisjoint(states)

    def _rows(
        self,
        stage: Stage,
        panels: list[Panel],
        cut: Tiling,
        rows: tuple[ir.Value, ir.Value],
        column: ir.Value,
        counts: list[int | None],
    ) -> None:
        """A block of rows of one column tile."""
        b = self.builder
        begin, end = rows
        first_sum = 0
        for panel in panels:
            self._products(stage, panel, cut, rows, column, first_sum)
            first_sum += len(panel.products) * cut.vectors
        with loop(b, begin, end) as at:
            row = at if self.order is None else self._index(self.order, at, I64)
            self._pointwise(stage, panels, cut, row, b.sub(at, begin), column, counts)

    def _least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def _products(
        self,
        stage: Stage,
        panel: Panel,
        cut: Tiling,
        rows: tuple[ir.Value, ir.Value],
        column: ir.Value,
        first_sum: int,
    ) -> None:
        """The sums of a block's rows with one left operand, left in ``self.sums``; some terms of all rows at a time."""
        b, simd, way = self.builder, self.simd, self.variant.way
        terms, sums = width(panel.left), len(panel.products) * cut.vectors
        if way is not None:
            terms = way.padded(terms) // 2
        # Columns before this tile, all packed alike: each took terms * products values.
        before = b.mul(column, index(terms * len(panel.products)))
        if self.in_tiles:
            weights = b.gep(self.panels[panel], [before], source_etype=simd.scalar)
            self._by_tiles(stage, panel, cut, rows, first_sum, weights)
            return
        with loop(b, 0, terms, cut.terms) as k:
            some = self._least(b.sub(index(terms), k), index(cut.terms))
            weights = b.gep(
                self.panels[panel], [b.add(before, b.mul(k, index(sums * simd.lanes)))], source_etype=simd.scalar
            )
            self._by_vectors(stage, panel, cut, rows, first_sum, k, some, weights)

    def _by_vectors(
        self,
        stage: Stage,
        panel: Panel,
        cut: Tiling,
        rows: tuple[ir.Value, ir.Value],
        first_sum: int,
        k: ir.Value,
        some: ir.Value,
        weights: ir.Value,
    ) -> None:
        """The products of ``some`` terms from ``k`` on."""
        b, simd = self.builder, self.simd
        sums = len(panel.products) * cut.vectors
        begin, end = rows
        count = b.sub(end, begin)
        # As many tiles as are needed, all of them as tall as each other, or one row taller.
        tiles = b.sdiv(b.add(count, index(cut.rows - 1)), index(cut.rows))
        tall = b.sdiv(count, tiles)
        taller = b.sub(count, b.mul(tall, tiles))
        fresh = b.icmp_signed("==", k, index(0))
        terms_ahead = b.mul(b.sdiv(some, index(UNROLL)), index(LINES_AHEAD * LINE))
        with loop(b, 0, tiles) as tile:
            row = b.add(b.add(begin, b.mul(tile, tall)), self._least(tile, taller))
            here = b.add(tall, b.zext(b.icmp_signed("<", tile, taller), I64))
            found = self._sum(stage, cut, b.sub(row, begin), first_sum)
            # While the rows pass by, the next piece of the weights comes nearer, each tile of rows fetching a part.
            part = b.mul(tile, terms_ahead)
            ahead = b.gep(weights, [b.add(b.mul(some, index(sums * simd.lanes)), part)], source_etype=simd.scalar)
            stride = index(len(stage.products) * cut.vectors)
            self._call(panel, cut, begin, row, here, k, (weights, some, fresh, found, stride, ahead))

    def _by_tiles(
        self,
        stage: Stage,
        panel: Panel,
        cut: Tiling,
        rows: tuple[ir.Value, ir.Value],
        first_sum: int,
        weights: ir.Value,
    ) -> None:
        """The products of all terms, in pairs of bfloat16, two tiles of rows at a time, the last perhaps not full."""
        b, sums = self.builder, len(panel.products) * cut.vectors
        count = b.sub(rows[1], rows[0])
        apart = rounded_terms(panel.left) * 2 * amx.ROWS
        stride = len(stage.products) * cut.vectors * amx.ROW_BYTES
        groups = rounded_terms(panel.left) // amx.TERMS
        with loop(b, 0, count, 2 * amx.ROWS) as q:
            lefts, found = self._rounded(panel, cut, q, index(0)), self._sum(stage, cut, q, first_sum)
            given = [lefts, index(apart), weights, index(groups), found, index(stride)]
            both = b.icmp_signed(">", b.sub(count, q), index(amx.ROWS))
            with b.if_else(both) as (two, one):
                for tall, block in ((2, two), (1, one)):
                    with block:
                        b.call(amx.tile_function(self.simd, tall, sums, native=self.native), given)

    def _round(self, panel: Panel, cut: Tiling, rows: tuple[ir.Value, ir.Value]) -> None:
        """Puts a block's rows of a left operand, rounded to bfloat16, where the products find them."""
        b, simd, size = self.builder, self.simd, width(panel.left)
        begin, end = rows
        whole = size // simd.lanes * simd.lanes

        def store(q: ir.Value, k: ir.Value, vector: ir.Value) -> None:
            halves = bf16.rounded(simd, vector, native=self.native)
            b.store(halves, self._rounded(panel, cut, q, k), align=2)

        with loop(b, begin, end) as at:
            row = at if self.order is None else self._index(self.order, at, I64)
            source, q = self._row(panel.left, row), b.sub(at, begin)
            with loop(b, 0, whole, simd.lanes) as k:
                store(q, k, simd.load(source, k))
            for k in range(whole, rounded_terms(panel.left), simd.lanes):
                store(q, index(k), simd.load(source, k, size - k) if k < size else simd.const(0.0))

    def _rounded(self, panel: Panel, cut: Tiling, q: ir.Value, k: ir.Value) -> ir.Value:
        """The address of term ``k`` of row ``q`` of a block's rounded left operand."""
        b, terms = self.builder, rounded_terms(panel.left)
        others = itertools.takewhile(lambda other: other is not panel, self._panels_of(panel.stage))
        before = sum(cut.block * rounded_terms(other.left) for other in others)
        place = amx.place(b, q, k, terms) if self.in_tiles else b.add(b.mul(q, index(terms)), k)
        return b.gep(self.rounded, [b.add(place, index(before))], source_etype=bf16.I16)

    def _call(
        self,
        panel: Panel,
        cut: Tiling,
        begin: ir.Value,
        first: ir.Value,
        here: ir.Value,
        k: ir.Value,
        rest: tuple[ir.Value, ...],
    ) -> None:
        """The product code for as many rows as there are ``here``."""
        b = self.builder
        after = b.append_basic_block("after")
        choice = b.switch(here, after)
        for rows in range(1, cut.rows + 1):
            block = b.append_basic_block(f"rows{rows}")
            choice.add_case(index(rows), block)
            b.position_at_end(block)
            for q in range(rows):
                left = self._left(panel, cut, begin, b.add(first, index(q)), k)
                b.store(left, b.gep(self.lefts, [index(q)], source_etype=POINTER))
            sums = len(panel.products) * cut.vectors
            b.call(product_function(self.simd, rows, sums, self.variant.way), [self.lefts, *rest])
            b.branch(after)
        b.position_at_end(after)

    def _left(self, panel: Panel, cut: Tiling, begin: ir.Value, at: ir.Value, k: ir.Value) -> ir.Value:
        """The address of term ``k`` of a left operand."""
        b = self.builder
        if self.variant.way is not None:
            return self._rounded(panel, cut, b.sub(at, begin), b.mul(k, index(2)))
        row = at if self.order is None else self._index(self.order, at, I64)
        return b.gep(self._row(panel.left, row), [k], source_etype=self.simd.scalar)

    def _sum(self, stage: Stage, cut: Tiling, q: ir.Value, n: int) -> ir.Value:
        """The place of sum ``n`` of row ``q`` of a block."""
        sums = len(stage.products) * cut.vectors
        place = self.builder.add(self.builder.mul(q, index(sums)), index(n))
        return self.builder.gep(self.sums, [place], source_etype=self.simd.vector)

    def _pointwise(
        self,
        stage: Stage,
        panels: list[Panel],
        cut: Tiling,
        row: ir.Value,
        q: ir.Value,
        column: ir.Value,
        counts: list[int | None],
    ) -> None:
        """Every store of one row of the tile, vector by vector."""
        order = [product for panel in panels for product in panel.products]
        for n, count in enumerate(counts):
            place = self.builder.add(column, index(n * self.simd.lanes))
            sums = {
                product: self._sum(stage, cut, q, position * cut.vectors + n) for position, product in enumerate(order)
            }
            tile = _Tile(self, row, place, count, sums, stage.kept)
            values = [(store, tile.root(store)) for store in stage.stores]
            for store, value in values:
                tile.store(store, value)

    def _row(self, value: Value, row: ir.Value) -> ir.Value:
        """The address of a row of a value that lies in memory, at this step."""
        plan, size = self.plan, index(width(value))
        if value in self.stepped:
            return self._address(self.stepped[value], self._flat(self.t, row), self.strides[value], value)
        if value in plan.states:
            return self._old_state(plan.states.index(value), row)
        if value in plan.outputs:
            return self._output(plan.outputs.index(value), row)
        if value in plan.scratch:
            return self._address(self.scratch[plan.scratch.index(value)], row, size, value)
        return self._new_state(plan.core.outputs.index(value), row)

    def _output(self, number: int, row: ir.Value) -> ir.Value:
        value = self.plan.outputs[number]
        return self._address(self.outputs[number], self._flat(self.t, row), self.output_strides[number], value)

    def _old_state(self, number: int, row: ir.Value) -> ir.Value:
        # Before step t a state lies in place t, or t + 1 in reverse.
        address = self._state(number, row, after=self.reverse)
        if not self.reset_states:
            return address
        size = index(width(self.plan.states[number]))
        again = self._address(self.reset_states[number], row, size)
        return self.builder.select(self._flagged(row), again, address)

    def _new_state(self, number: int, row: ir.Value) -> ir.Value:
        return self._state(number, row, after=not self.reverse)

    def _state(self, number: int, row: ir.Value, *, after: bool) -> ir.Value:
        """A row of place t, or t + 1: of T + 1 places, or of the two that a ring has."""
        b = self.builder
        place = b.add(self.t, index(1)) if after else self.t
        if self.variant.rings and self.variant.rings[number]:
            place = b.and_(place, index(1))
        return self._address(self.states[number], self._flat(place, row), index(width(self.plan.states[number])))

    def _flagged(self, row: ir.Value) -> ir.Value:
        flag = self._index(self.resets, self._flat(self.t, row), I8)
        return self.builder.icmp_unsigned("!=", flag, ir.Constant(I8, 0))

    def _flat(self, t: ir.Value, row: ir.Value) -> ir.Value:
        return self.builder.add(self.builder.mul(t, self.batch), row)

    def _address(self, pointer: ir.Value, row: ir.Value, stride: ir.Value, value: Value | None = None) -> ir.Value:
        kind = I8 if value is not None and value.dtype == torch.bool else self.simd.scalar
        return self.builder.gep(pointer, [self.builder.mul(row, stride)], source_etype=kind)

    def _index(self, pointer: ir.Value, place: ir.Value, kind: ir.Type) -> ir.Value:
        return self.builder.load(self.builder.gep(pointer, [place], source_etype=kind), typ=kind)


class _Tile:
    """One vector of one row: computes values by asking for what they are made of, each once."""

    def __init__(
        self,
        emitter: _Emitter,
        row: ir.Value,
        column: ir.Value,
        count: int | None,
        sums: dict[tuple[Value, int], ir.Value],
        kept: set[tuple[Value, int]],
    ) -> None:
        self.kept = kept
        self.emitter, self.row, self.column, self.count, self.sums = emitter, row, column, count, sums
        self.known: dict[tuple[Value, int], Any] = {}

    def root(self, store: Store) -> Any:
        """What a store writes: computed here even where others read it from memory."""
        if store.value in self.emitter.plan.spread:
            return self._compute(store.value, store.offset)
        return self.vector(store.value, store.offset)

    def vector(self, value: Value, offset: int) -> Any:
        """The columns of ``value`` that start ``offset`` after the tile's: a vector, or a number that is everywhere."""
        key = (value, offset)
        if key not in self.known:
            read = value in self.emitter.in_memory or key in self.kept
            self.known[key] = self._read(value, offset) if read else self._compute(value, offset)
        return self.known[key]

    def _compute(self, value: Value, offset: int) -> Any:
        emitter, simd = self.emitter, self.emitter.simd
        moved = column_source(value, offset)
        if moved is not None:
            return self.vector(*moved)
        if value.op in FILLS:
            return float(value.args[0] if value.op is aten.scalar_tensor.default else _fill(value))
        if is_reduction(value):
            return self._reduced(value)
        if value.op in PRODUCTS:
            return emitter.builder.load(self.sums[value, offset], typ=simd.vector)
        if value.op not in POINTWISE:
            raise Refused(f"{operator_name(value)} has no machine code yet ({value.source})")
        args = [self._argument(each, offset) for each in value.args]
        if value.op is aten.add.Tensor and not value.kwargs and 0.0 in [a for a in args if isinstance(a, float)]:
            return args[0] if args[1] == 0.0 else args[1]  # zeros around a scattered piece
        return POINTWISE[value.op](simd, *args, **{k: self._argument(v, offset) for k, v in value.kwargs.items()})

    def _argument(self, argument: Any, offset: int) -> Any:
        if isinstance(argument, Value):
            return self.vector(argument, offset if width(argument) > 1 else 0)
        return argument

    def _read(self, value: Value, offset: int) -> Any:
        emitter, simd = self.emitter, self.emitter.simd
        base = emitter.vectors[value] if value in emitter.vectors else emitter._row(value, self.row)
        if value.dtype == torch.bool:
            if width(value) == 1:
                flag = simd.builder.load(base, typ=I8)
                return simd.splat(simd.builder.icmp_unsigned("!=", flag, ir.Constant(I8, 0)))
            return simd.load_mask(base, emitter.builder.add(self.column, index(offset)), self.count)
        if width(value) == 1:
            return simd.splat(simd.load_scalar(base, 0))
        return simd.load(base, emitter.builder.add(self.column, index(offset)), self.count)

    def _reduced(self, value: Value) -> ir.Value:
        """All columns of a row that lies in memory as one number."""
        simd, source = self.emitter.simd, operand(value)
        neutral, combine = _COMBINE.get(value.op, (0.0, Simd.add))
        base, size = self.emitter._row(source, self.row), width(source)
        whole = size // simd.lanes * simd.lanes
        load = simd.load_mask if source.dtype == torch.bool else simd.load

        def body(k: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
            return [combine(simd, found[0], number(simd, load(base, k)))]

        found = carried_loop(simd.builder, 0, whole, simd.lanes, [simd.const(neutral)], body)[0]
        if size > whole:
            rest = number(simd, load(base, whole, size - whole))
            found = combine(simd, found, simd.select(simd.first_lanes(size - whole), rest, simd.const(neutral)))
        total = simd.splat(simd.reduce(lambda a, b: combine(simd, a, b), found))
        return simd.div(total, simd.const(size)) if value.op is aten.mean.dim else total

    def _wide(self, value: Any) -> ir.Value:
        return number(self.emitter.simd, value)

    def store(self, store: Store, value: Any) -> None:
        """Writes a value to its buffer."""
        emitter, simd, b = self.emitter, self.emitter.simd, self.emitter.builder
        is_mask = store.value.dtype == torch.bool
        value = truth(simd, value) if is_mask else number(simd, value)
        if store.kind == "state":
            base = emitter._new_state(store.index, self.row)
            if emitter.backward and emitter.resets is not None:
                value = b.select(emitter._flagged(self.row), simd.const(0.0), value)
        elif store.kind == "output":
            base = emitter._output(store.index, self.row)
        else:
            size = index(width(store.value))
            base = emitter._address(emitter.scratch[store.index], self.row, size, store.value)
        (simd.store_mask if is_mask else simd.store)(value, base, b.add(self.column, index(store.offset)), self.count)


def _fill(value: Value) -> float:
    return float(0 if value.op is aten.zeros_like.default else value.args[1])
