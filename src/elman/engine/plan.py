"""Plan: a loop as a short list of stages, each a few products and the pointwise program of one tile of columns."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from .kinds import FILLS, PRODUCTS, SAME, is_pointwise, is_reduction, operand, width
from .tidy import hashable
from .trace import Graph, Refused, Value, operator_name

aten = torch.ops.aten


@dataclass(frozen=True)
class Store:
    """Columns ``offset`` to ``offset + width`` of a value, written to a buffer.

    ``kind`` says which: a carried state, an output (one row a step), or scratch that a later stage's product reads.
    """

    value: Value
    offset: int
    width: int
    kind: Literal["state", "output", "scratch"]
    index: int

    def __str__(self) -> str:
        if self.width == width(self.value):
            return str(self.value)
        return f"{self.value}[:, {self.offset}:{self.offset + self.width}]"


@dataclass
class Stage:
    """All stores of one width that can be computed at one time: a loop over tiles of columns.

    ``products`` are the (product, column offset) pairs whose sums a tile starts from.
    """

    width: int
    stores: list[Store]
    products: list[tuple[Value, int]] = field(default_factory=list)
    kept: set[tuple[Value, int]] = field(default_factory=set)


@dataclass
class Plan:
    """What a backend turns into code.

    ``stepped`` are read one row a step, ``whole`` are the same at every step, ``states`` are carried. ``scratch`` are
    values that must lie in memory before the next stage begins: what a product or a reduction reads, and ``spread``,
    single columns that a wider value reads (its tiles, which are elsewhere, cannot compute them).
    """

    core: Graph
    states: list[Value]
    stepped: list[Value]
    whole: list[Value]
    outputs: list[Value]
    scratch: list[Value]
    spread: set[Value]
    stages: list[Stage]
    compiled: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        lines = []
        for number, stage in enumerate(self.stages, 1):
            lines.append(f"stage {number}: tiles of {stage.width} columns")
            for product in dict.fromkeys(product for product, _ in stage.products):
                lines.append(f"    {product} = {product.call}")
            stores = [f"{store} -> {store.kind} {store.index}" for store in stage.stores]
            lines += [f"    {', '.join(map(str, names))}" for names in (self.computed(stage), stores) if names]
        return "\n".join(lines)

    def fingerprint(self) -> str:
        """Everything that the code of a plan is made from, values by number; names and lines do not matter."""
        # No step may read a state, but it is carried all the same.
        values = list(dict.fromkeys([*self.states, *self.core.inputs, *self.core.values]))
        numbers: dict[Value, Any] = {value: f"%{number}" for number, value in enumerate(values)}
        made = [(str(v.op), hashable(v.args, numbers), hashable(v.kwargs, numbers), v.shape, v.dtype) for v in values]
        groups = [self.core.outputs, self.states, self.stepped, self.whole, self.outputs, self.scratch]
        stages = [
            (
                stage.width,
                [(numbers[store.value], store.offset, store.width, store.kind, store.index) for store in stage.stores],
                [(numbers[value], at) for value, at in stage.products],
                sorted((numbers[value], at) for value, at in stage.kept),
            )
            for stage in self.stages
        ]
        spread = sorted(numbers[value] for value in self.spread)
        return repr((made, [[numbers[value] for value in group] for group in groups], stages, spread))

    @functools.cached_property
    def weights(self) -> int:
        """Multiplications in the products of one step, for each row."""
        return sum(stage.width * width(operand(value)) for stage in self.stages for value, _ in stage.products)

    @functools.cached_property
    def work(self) -> int:
        """Operations of one step, for each row, a multiplication and an addition counted as one."""
        return self.weights + sum(stage.width * len(self.computed(stage)) for stage in self.stages)

    def computed(self, stage: Stage) -> list[Value]:
        """What each tile of a stage computes from memory and from the sums of its products, in order."""
        found = {value for value, _ in _reached(stage, set(self.core.inputs), self.spread)}
        return [value for value in self.core.values if value in found and value.op not in PRODUCTS]


def make_plan(core: Graph, states: list[Value], *, backward: bool = False) -> Plan:
    """Orders the loop's work into stages.

    In a ``backward`` loop a carried gradient becomes zero where a row was reset, so an output that equals one has a
    buffer of its own. Raises ``Refused`` for an operator that has no place in the loop, naming its line.
    """
    for value in core.values:
        if not (is_pointwise(value) or value.op in PRODUCTS or is_reduction(value)):
            raise Refused(f"{operator_name(value)} on {value.shape} cannot run inside the loop ({value.source})")
    stepped = [value for value in core.inputs if value.by_row and value not in states]
    whole = [value for value in core.inputs if not value.by_row]
    for value in [*states, *stepped, *core.values]:
        if value.by_row and len(value.shape) > 2:
            raise Refused(f"the loop works on rows of numbers, but {value} is {value.shape} ({value.source})")
    for value in states:
        if len(value.shape) != 2:
            raise Refused(f"the loop works on rows of numbers, but a state is {value.shape}")
    for value in [*core.inputs, *core.values]:
        # What is given in other kinds of numbers is handed to the loop in its own kind.
        counts = value in core.inputs or (is_reduction(value) and value.args[0].dtype == torch.bool)
        if value.dtype not in (states[0].dtype, torch.bool) and not counts:
            raise Refused(f"the loop works in {states[0].dtype}, but {value} is {value.dtype} ({value.source})")
    new_states = core.outputs[: len(states)]
    # A new state is kept at every step, so an output that equals one needs no buffer of its own.
    outputs = [value for value in dict.fromkeys(core.outputs[len(states) :]) if backward or value not in new_states]
    given = set(core.inputs)
    spread = _spread(core)
    ready = _stage_numbers(core, given, spread)
    operands = dict.fromkeys(operand(value) for value in core.values if _reads_memory(value))
    at_hand = {*core.inputs, *outputs} | (set() if backward else set(new_states))
    scratch = [value for value in dict.fromkeys([*operands, *spread]) if value not in at_hand]
    leaf = given | spread
    wanted = [
        *((value, "state", index) for index, value in enumerate(new_states)),
        *((value, "output", index) for index, value in enumerate(outputs)),
        *((value, "scratch", index) for index, value in enumerate(scratch)),
    ]
    stages: dict[tuple[int, int], Stage] = {}
    for value, kind, index in wanted:
        edges = sorted(_edges(value, leaf, {}))
        for begin, end in itertools.pairwise(edges):
            number = _stage_of(value, begin, ready, given, spread)
            stage = stages.setdefault((number, end - begin), Stage(end - begin, []))
            stage.stores.append(Store(value, begin, end - begin, kind, index))  # type: ignore[arg-type]
    ordered = [stages[key] for key in sorted(stages, key=lambda key: (key[0], -key[1]))]
    _keep_products(ordered, given, spread, outputs, [] if backward else new_states, scratch)
    for stage in ordered:
        stage.products = [pair for pair in _reached(stage, given, spread) if pair[0].op in PRODUCTS]
        for product, offset in stage.products:
            if offset + stage.width > width(product):
                raise Refused(
                    f"a product of width {width(product)} is spread over {stage.width} columns ({product.source})"
                )
    return Plan(core, states, stepped, whole, outputs, scratch, spread, ordered)


def _keep_products(
    stages: list[Stage],
    given: set[Value],
    spread: set[Value],
    outputs: list[Value],
    new_states: list[Value],
    scratch: list[Value],
) -> None:
    """Lets a stage read what an earlier one has made of a product, in place of the product once more."""
    made: dict[tuple[Value, int, int], Stage] = {}
    for stage in stages:
        for value, offset in _reached(stage, given, spread):
            if (value, offset, stage.width) in made and _has_product(value, offset, given | spread):
                stage.kept.add((value, offset))
        # Of these only those that are still reached where reading stops at them.
        reached = set(_reached(stage, given, spread, ends=True))
        stage.kept &= reached
        for value, offset in stage.kept:
            if value in outputs or value in new_states:
                continue
            if value not in scratch:
                scratch.append(value)
            store = Store(value, offset, stage.width, "scratch", scratch.index(value))
            source = made[value, offset, stage.width]
            if store not in source.stores:
                source.stores.append(store)
        made |= {(value, offset, stage.width): stage for value, offset in _reached(stage, given, spread)}


def _has_product(value: Value, offset: int, given: set[Value]) -> bool:
    found: dict[tuple[Value, int], None] = {}
    _reach(value, offset, given, found)
    return any(each.op in PRODUCTS for each, _ in found)


def _reads_memory(value: Value) -> bool:
    return value.op in PRODUCTS or is_reduction(value)


def _spread(core: Graph) -> set[Value]:
    """Computed single columns that a wider value reads."""
    computed = {value for value in core.values if value.by_row and width(value) == 1 and value.op not in FILLS}
    arranged = {aten.cat.default, aten.slice_scatter.default}
    readers = [value for value in core.values if width(value) != 1 and value.op not in arranged]
    return {source for value in readers for source in value.inputs if source in computed and value.op not in FILLS}


def _stage_numbers(core: Graph, given: set[Value], spread: set[Value]) -> dict[Value, int]:
    """The stage at whose end each value is there: what reads a computed value from memory waits for the next one."""
    numbers = dict.fromkeys(given, 0)
    for value in core.values:
        number = max((numbers[source] + (source in spread) for source in value.inputs), default=0)
        if _reads_memory(value):
            left = operand(value)
            number = max(number, numbers[left] + (left not in given))
        numbers[value] = number
    return numbers


def _stage_of(value: Value, offset: int, numbers: dict[Value, int], given: set[Value], spread: set[Value]) -> int:
    """The stage of some columns of a value, which may be there before its other columns."""
    moved = None if value in given or value in spread else column_source(value, offset)
    if moved is None:
        return numbers[value]
    return _stage_of(*moved, numbers, given, spread) + (moved[0] in spread)


def column_source(value: Value, offset: int) -> tuple[Value, int] | None:
    """Where column ``offset`` of a mere arrangement of columns comes from; ``None`` for a computed value."""
    if value.op is aten.slice.Tensor:
        return value.args[0], offset + (value.args[2] or 0)
    if value.op in SAME:
        return value.args[0], offset if width(value.args[0]) > 1 else 0
    if value.op is aten.cat.default:
        for piece in value.args[0]:
            if offset < width(piece):
                return piece, offset
            offset -= width(piece)
    if value.op is aten.slice_scatter.default:
        base, piece = value.args[:2]
        begin, end = value.args[3] or 0, min(value.args[4], width(value))
        return (piece, offset - begin) if begin <= offset < end else (base, offset)
    return None


def _edges(value: Value, given: set[Value], seen: dict[Value, set[int]]) -> set[int]:
    """The columns at which the expression behind a value changes, 0 and its width included."""
    if value in seen:
        return seen[value]
    size = width(value)
    found = {0, size}
    if value in given or _reads_memory(value) or value.op in FILLS:
        pass
    elif value.op is aten.slice.Tensor:
        begin = value.args[2] or 0
        inner = _edges(value.args[0], given, seen)
        found |= {edge - begin for edge in inner if begin < edge < begin + size}
    elif value.op is aten.cat.default:
        begin = 0
        for piece in value.args[0]:
            found |= {begin + edge for edge in _edges(piece, given, seen)}
            begin += width(piece)
    elif value.op is aten.slice_scatter.default:
        begin, end = value.args[3] or 0, min(value.args[4], size)
        found |= {begin + edge for edge in _edges(value.args[1], given, seen)} | {begin, end}
        found |= {edge for edge in _edges(value.args[0], given, seen) if not begin < edge < end}
    else:
        found |= {edge for source in value.inputs if width(source) == size for edge in _edges(source, given, seen)}
    seen[value] = found
    return found


def _reached(stage: Stage, given: set[Value], spread: set[Value], *, ends: bool = False) -> list[tuple[Value, int]]:
    """What the stores of a stage are made of, down to products and to what lies in memory: values and their columns."""
    found: dict[tuple[Value, int], None] = {}
    for store in stage.stores:
        _reach(store.value, store.offset, given | (spread - {store.value}), found, stage.kept)
    return [pair for pair in found if ends or pair not in stage.kept]


def _reach(
    value: Value,
    offset: int,
    given: set[Value],
    found: dict[tuple[Value, int], None],
    kept: set[tuple[Value, int]] | frozenset[tuple[Value, int]] = frozenset(),
) -> None:
    if value in given or (value, offset) in found or value.op in FILLS:
        return
    moved = column_source(value, offset)
    if moved is not None:
        _reach(*moved, given, found, kept)
        return
    found[(value, offset)] = None
    if (value, offset) in kept:
        return
    for source in () if _reads_memory(value) else value.inputs:
        _reach(source, offset if width(source) > 1 else 0, given, found, kept)
