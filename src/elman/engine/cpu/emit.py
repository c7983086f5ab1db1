"""Emit: a plan as LLVM IR. One function runs the whole loop over time for one thread's range of rows.

The loops, from the outside in: time, stages, tiles of columns, tiles of rows; inside, one loop over K a product's left
operand with all sums of the tile in registers, then the pointwise program row by row.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from llvmlite import ir

from ..operators import FILLS, PRODUCTS, is_reduction, operand, weight, width
from ..plan import Plan, Stage, Store, column_source
from ..trace import Refused, Value, operator_name
from .math import POINTWISE, maximum, minimum, number, truth
from .simd import I8, I64, POINTER, Simd, carried_loop, index, loop
from .threads import FUNCTION

aten = torch.ops.aten
REGISTERS = 24  # vector registers for a tile's sums; the others hold weights, one broadcast and addresses
UNROLL = 4
_COMBINE: dict[Any, tuple[float, Any]] = {
    aten.amax.default: (-math.inf, maximum),
    aten.amin.default: (math.inf, minimum),
}  # all others add


@dataclass(frozen=True)
class Tiling:
    """How a stage is cut: ``vectors`` side by side for each product's columns, ``rows`` at a time."""

    vectors: int
    rows: int


def tiling(stage: Stage, lanes: int) -> Tiling:
    """As many sums as fit the registers, wide enough that every broadcast serves four of them.

    >>> tiling(Stage(256, [], [(None, 0)] * 4), lanes=16)
    Tiling(vectors=1, rows=6)
    >>> tiling(Stage(256, [], [(None, 0)]), lanes=16)
    Tiling(vectors=4, rows=6)
    """
    sums = max(len(stage.products), 1)
    fit = -(-stage.width // lanes)
    vectors = min(max(1, 4 // sums), fit)
    return Tiling(vectors, max(1, min(REGISTERS // (sums * vectors), 8)) if stage.products else 1)


@dataclass(frozen=True)
class Panel:
    """Weights of one stage and left operand, to be packed: [column tile][k][product][vector][lane]."""

    stage: int
    left: Value
    products: tuple[tuple[Value, int], ...]


@dataclass
class Signature:
    """The order of the pointers in the table the function reads."""

    stepped: list[Value]
    vectors: list[Value]
    panels: list[Panel]
    states: int
    outputs: int
    scratch: int
    lengths: bool
    resets: bool


def signature(plan: Plan, lengths: bool, resets: bool) -> Signature:
    """What the emitted function of a plan takes."""
    panels = [
        Panel(number, left, tuple((value, at) for value, at in stage.products if operand(value) is left))
        for number, stage in enumerate(plan.stages)
        for left in dict.fromkeys(operand(value) for value, _ in stage.products)
    ]
    matrices = {weight(value) for stage in plan.stages for value, _ in stage.products}
    vectors = [value for value in plan.whole if value not in matrices]
    for value in vectors:
        if sum(size != 1 for size in value.shape) > 1:
            raise Refused(f"{value} of shape {value.shape} is used element by element ({value.source})")
    for value in matrices:
        if value not in plan.whole:
            raise Refused(f"a product with a matrix that changes from step to step ({value.source})")
    return Signature(
        plan.stepped, vectors, panels, len(plan.states), len(plan.outputs), len(plan.scratch), lengths, resets
    )


def check(plan: Plan) -> None:
    """Raises ``Refused`` where something in the plan has no machine code, naming its line."""
    given = {*plan.core.inputs}
    for value in plan.core.values:
        arranged = value.op in FILLS or value.op in PRODUCTS or is_reduction(value) or column_source(value, 0)
        if value not in given and not arranged and value.op not in POINTWISE:
            raise Refused(f"{operator_name(value)} has no machine code yet ({value.source})")
    signature(plan, lengths=False, resets=False)


def emit(
    plan: Plan, dtype: torch.dtype, lanes: int, *, reverse: bool, lengths: bool, resets: bool, backward: bool
) -> ir.Module:
    """The module with ``run(table, thread, threads)``, see ``threads``: all steps for the thread's share of the rows.

    ``table`` holds T, B and then the pointers in the order of `signature`.

    ``reverse`` runs from the last step to the first. ``lengths``: rows are idle from their length on and keep their
    state. ``resets``: rows begin anew where flagged, before the step. In a ``backward`` loop flagged rows carry zero
    from there on, and the outputs of idle rows are zero.
    """
    return _Emitter(plan, dtype, lanes, reverse, lengths, resets, backward).module


class _Emitter:
    def __init__(
        self, plan: Plan, dtype: torch.dtype, lanes: int, reverse: bool, lengths: bool, resets: bool, backward: bool
    ) -> None:
        self.plan, self.reverse, self.backward = plan, reverse, backward
        self.takes = signature(plan, lengths, resets)
        self.in_memory = {*plan.core.inputs, *plan.spread}
        self.module = ir.Module("elman")
        function = ir.Function(self.module, FUNCTION, "run")
        table, thread, threads = function.args
        self.builder = b = ir.IRBuilder(function.append_basic_block("entry"))
        self.simd = Simd(self.module, b, dtype, lanes)
        slot = itertools.count()

        def following(n: int, kind: ir.Type = POINTER) -> list[ir.Value]:
            places = [b.gep(table, [index(next(slot))], source_etype=I64) for _ in range(n)]
            return [b.load(place, typ=kind) for place in places]

        self.time, self.batch = following(2, I64)
        # Every thread takes an equal range of the rows.
        self.begin = b.sdiv(b.mul(self.batch, thread), threads)
        self.end = b.sdiv(b.mul(self.batch, b.add(thread, index(1))), threads)

        takes = self.takes
        self.stepped = dict(zip(takes.stepped, following(len(takes.stepped)), strict=True))
        self.vectors = dict(zip(takes.vectors, following(len(takes.vectors)), strict=True))
        self.panels = dict(zip(takes.panels, following(len(takes.panels)), strict=True))
        self.states, self.outputs = following(takes.states), following(takes.outputs)
        self.scratch = following(takes.scratch)
        self.lengths = following(1)[0] if lengths else None
        self.resets = following(1)[0] if resets else None
        self.reset_states = following(takes.states) if resets and not backward else []
        cells = max(
            (len(s.products) * tiling(s, lanes).vectors * tiling(s, lanes).rows for s in plan.stages), default=0
        )
        self.sums = b.alloca(self.simd.vector, size=max(cells, 1))
        with loop(b, 0, self.time) as step:
            last = b.sub(self.time, index(1))
            self.t = b.sub(last, step) if reverse else step
            for number, stage in enumerate(plan.stages):
                self._stage(number, stage)
        b.ret_void()

    def _stage(self, number: int, stage: Stage) -> None:
        """All column tiles: the full ones in a loop, what is left over as a narrower one."""
        cut = tiling(stage, self.simd.lanes)
        tile = cut.vectors * self.simd.lanes
        full, rest = divmod(stage.width, tile)
        panels = [panel for panel in self.takes.panels if panel.stage == number]
        if full:
            with loop(self.builder, 0, full) as place:
                column = self.builder.mul(place, index(tile))
                self._rows(stage, panels, cut, column, [None] * cut.vectors)
        if rest:
            counts: list[int | None] = [None] * (rest // self.simd.lanes)
            if rest % self.simd.lanes:
                counts.append(rest % self.simd.lanes)
            self._rows(stage, panels, Tiling(len(counts), cut.rows), index(full * tile), counts)

    def _rows(self, stage: Stage, panels: list[Panel], cut: Tiling, column: ir.Value, counts: list[int | None]) -> None:
        """All row tiles of one column tile. Few rows left over take a kernel of fewer rows, some of them twice."""
        b = self.builder
        with loop(b, self.begin, self.end, cut.rows) as row:
            left = b.sub(self.end, row)
            full = index(cut.rows)
            here = b.select(b.icmp_signed("<", left, full), left, full)
            if panels:
                sizes = sorted({1, -(-cut.rows // 2), cut.rows})
                self._kernels(panels, sizes, cut, row, here, column)
            with loop(b, 0, here) as q:
                self._pointwise(stage, panels, cut, b.add(row, q), q, column, counts)

    def _kernels(
        self, panels: list[Panel], sizes: list[int], cut: Tiling, row: ir.Value, here: ir.Value, column: ir.Value
    ) -> None:
        """The smallest kernel that has room for the rows here."""
        b = self.builder
        *smaller, largest = sizes
        if not smaller:
            self._products(panels, largest, cut, row, column)
            return
        with b.if_else(b.icmp_signed("<=", here, index(smaller[-1]))) as (few, many):
            with few:
                self._kernels(panels, smaller, cut, row, here, column)
            with many:
                self._products(panels, largest, cut, row, column)

    def _products(self, panels: list[Panel], rows: int, cut: Tiling, row: ir.Value, column: ir.Value) -> None:
        """The sums over k of ``rows`` rows by all products' vectors, left in ``self.sums``."""
        first_sum = 0
        for panel in panels:
            found = self._panel_products(panel, rows, cut, row, column)
            sums = len(panel.products) * cut.vectors
            for q in range(rows):
                for n in range(sums):
                    self.builder.store(found[q * sums + n], self._sum(cut.rows, index(q), first_sum + n))
            first_sum += sums

    def _panel_products(self, panel: Panel, rows: int, cut: Tiling, row: ir.Value, column: ir.Value) -> list[ir.Value]:
        """The sums of one left operand's products: ``rows`` times product by vector, all held in registers."""
        b, simd, lanes = self.builder, self.simd, self.simd.lanes
        last = b.sub(self.end, index(1))
        terms, sums = width(panel.left), len(panel.products) * cut.vectors
        lefts = []
        for q in range(rows):
            wanted = b.add(row, index(q))
            lefts.append(self._row(panel.left, b.select(b.icmp_signed("<", wanted, last), wanted, last)))
        # Columns before this tile, all packed alike: each took terms * products values.
        before = b.mul(column, index(terms * len(panel.products)))
        unroll = UNROLL if terms % UNROLL == 0 else 1

        def body(k: ir.Value, acc: list[ir.Value]) -> list[ir.Value]:
            for u in range(unroll):
                at = b.add(k, index(u))
                base = b.add(before, b.mul(at, index(sums * lanes)))
                weights = [simd.load(self.panels[panel], b.add(base, index(n * lanes))) for n in range(sums)]
                new = []
                for q in range(rows):
                    broadcast = simd.splat(simd.load_scalar(lefts[q], at))
                    new += [simd.fma(broadcast, weights[n], acc[q * sums + n]) for n in range(sums)]
                acc = new
            return acc

        return carried_loop(b, 0, terms, unroll, [simd.const(0.0)] * (rows * sums), body)

    def _sum(self, rows: int, q: ir.Value, n: int) -> ir.Value:
        """The place of sum ``n`` of row ``q`` of the tile."""
        place = self.builder.add(index(n * rows), q)
        return self.builder.gep(self.sums, [place])

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
        idle = None
        if self.lengths is not None:
            length = self._index(self.lengths, row, I64)
            idle = self.builder.icmp_signed(">=", self.t, length)
        for n, count in enumerate(counts):
            place = self.builder.add(column, index(n * self.simd.lanes))
            tile = _Tile(self, row, q, place, count, cut, n, {product: i for i, product in enumerate(order)})
            values = [(store, tile.root(store)) for store in stage.stores]
            for store, value in values:
                tile.store(store, value, idle)

    def _row(self, value: Value, row: ir.Value) -> ir.Value:
        """The address of a row of a value that lies in memory, at this step."""
        plan, size = self.plan, width(value)
        if value in self.stepped:
            return self._address(self.stepped[value], self._flat(self.t, row), size, value)
        if value in plan.states:
            return self._old_state(plan.states.index(value), row)
        if value in plan.outputs:
            return self._address(self.outputs[plan.outputs.index(value)], self._flat(self.t, row), size, value)
        if value in plan.scratch:
            return self._address(self.scratch[plan.scratch.index(value)], row, size, value)
        return self._new_state(plan.core.outputs.index(value), row)

    def _old_state(self, number: int, row: ir.Value) -> ir.Value:
        size = width(self.plan.states[number])
        # The stack of a state has T + 1 places: the state before step t lies at t, or at t + 1 in reverse.
        at = self.builder.add(self.t, index(1)) if self.reverse else self.t
        address = self._address(self.states[number], self._flat(at, row), size)
        if not self.reset_states:
            return address
        return self.builder.select(self._flagged(row), self._address(self.reset_states[number], row, size), address)

    def _new_state(self, number: int, row: ir.Value) -> ir.Value:
        at = self.t if self.reverse else self.builder.add(self.t, index(1))
        return self._address(self.states[number], self._flat(at, row), width(self.plan.states[number]))

    def _flagged(self, row: ir.Value) -> ir.Value:
        flag = self._index(self.resets, self._flat(self.t, row), ir.IntType(8))
        return self.builder.icmp_unsigned("!=", flag, ir.Constant(ir.IntType(8), 0))

    def _flat(self, t: ir.Value, row: ir.Value) -> ir.Value:
        return self.builder.add(self.builder.mul(t, self.batch), row)

    def _address(self, pointer: ir.Value, row: ir.Value, size: int, value: Value | None = None) -> ir.Value:
        offset = self.builder.mul(row, index(size))
        kind = I8 if value is not None and value.dtype == torch.bool else self.simd.scalar
        return self.builder.gep(pointer, [offset], source_etype=kind)

    def _index(self, pointer: ir.Value, place: ir.Value, kind: ir.Type) -> ir.Value:
        return self.builder.load(self.builder.gep(pointer, [place], source_etype=kind), typ=kind)


class _Tile:
    """One vector of one row: computes values by asking for what they are made of, each once."""

    def __init__(
        self,
        emitter: _Emitter,
        row: ir.Value,
        q: ir.Value,
        column: ir.Value,
        count: int | None,
        cut: Tiling,
        vector: int,
        sums: dict[tuple[Value, int], int],
    ) -> None:
        self.emitter, self.row, self.q, self.column, self.count = emitter, row, q, column, count
        self.cut, self.number, self.sums = cut, vector, sums
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
            read = value in self.emitter.in_memory
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
            place = emitter._sum(self.cut.rows, self.q, self.sums[value, offset] * self.cut.vectors + self.number)
            total = emitter.builder.load(place)
            return (
                simd.add(self._wide(self.vector(value.args[0], offset)), total)
                if value.op is aten.addmm.default
                else total
            )
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

    def store(self, store: Store, value: Any, idle: ir.Value | None) -> None:
        """Writes a value to its buffer."""
        emitter, simd, b = self.emitter, self.emitter.simd, self.emitter.builder
        is_mask = store.value.dtype == torch.bool
        value = truth(simd, value) if is_mask else number(simd, value)
        zero = simd.const_mask(False) if is_mask else simd.const(0.0)
        if store.kind == "state":
            base = emitter._new_state(store.index, self.row)
            if emitter.backward and emitter.resets is not None:
                value = b.select(emitter._flagged(self.row), zero, value)
            if idle is not None:
                value = b.select(idle, self._kept(store), value)
        elif store.kind == "output":
            base = emitter._address(
                emitter.outputs[store.index],
                emitter._flat(emitter.t, self.row),
                width(store.value),
                store.value,
            )
            if idle is not None and emitter.backward:
                value = b.select(idle, zero, value)
        else:
            base = emitter._address(emitter.scratch[store.index], self.row, width(store.value), store.value)
        (simd.store_mask if is_mask else simd.store)(value, base, b.add(self.column, index(store.offset)), self.count)

    def _kept(self, store: Store) -> ir.Value:
        """The state as it was, resets not heeded: a row beyond its end is not reset either."""
        emitter = self.emitter
        at = emitter.builder.add(emitter.t, index(1)) if emitter.reverse else emitter.t
        size = width(emitter.plan.states[store.index])
        base = emitter._address(emitter.states[store.index], emitter._flat(at, self.row), size)
        column = emitter.builder.add(self.column, index(store.offset))
        return emitter.simd.load(base, column, self.count)


def _fill(value: Value) -> float:
    return float(0 if value.op is aten.zeros_like.default else value.args[1])
