"""Reuse: what the loop writes may take the place of what it has read for the last time.

The gates that training saves lie where the projected inputs lay, and their gradients where the gates lay: of a tensor
four times as wide as the state there is one in a training step, not three, and a write finds its memory in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .kinds import FILLS, PRODUCTS, is_reduction, operand, width
from .plan import Plan, Stage, column_source
from .trace import Value

Place = tuple[Value, int]
"""Where a value's columns begin: in the buffer that is named by the value that was its first."""


Columns = tuple[Value, int, int]
"""Of a value, from a column on, so many."""


@dataclass(frozen=True)
class _Read:
    stage: int
    buffer: Value
    begin: int
    width: int


def find_places(
    plan: Plan, outputs: Iterable[Value], places: Mapping[Value, Place], wanted: Iterable[Columns] = ()
) -> dict[Value, Place]:
    """Which ``outputs`` of a plan may be written over columns of buffers of per-step inputs, and where.

    Args:
        plan: the loop.
        outputs: candidates; each value's columns go to one buffer, side by side.
        places: the per-step inputs whose buffers may be overwritten, as each lies in one.
        wanted: columns of per-step inputs that are still read after the loop.

    An output fits where every tile of it is computed from the very columns it replaces, and nothing else reads these.
    """
    readers = [(-1, wanted), *((number, _reads(plan, stage)) for number, stage in enumerate(plan.stages))]
    reads = [
        _Read(number, places[value][0], places[value][1] + begin, size)
        for number, columns in readers
        for value, begin, size in columns
        if value in places
    ]
    found: dict[Value, Place] = {}
    taken: list[_Read] = []
    for output in outputs:
        stores = [
            (number, store.offset, store.width)
            for number, stage in enumerate(plan.stages)
            for store in stage.stores
            if store.kind == "output" and store.value is output
        ]
        for buffer, base in dict.fromkeys((read.buffer, read.begin - stores[0][1]) for read in reads):
            columns = [_Read(number, buffer, base + offset, size) for number, offset, size in stores]
            fits = base >= 0 and output.dtype == buffer.dtype and columns[-1].begin + columns[-1].width <= width(buffer)
            free = not any(_overlap(a, b) for a in columns for b in taken)
            if fits and free and not any(_overlap(a, b) and a != b for a in columns for b in reads):
                found[output] = buffer, base
                taken += columns
                break
    return found


def _overlap(a: _Read, b: _Read) -> bool:
    return a.buffer is b.buffer and a.begin < b.begin + b.width and b.begin < a.begin + a.width


def columns_read(plan: Plan) -> list[Columns]:
    """The columns of per-step inputs that a loop reads."""
    return [columns for stage in plan.stages for columns in _reads(plan, stage)]


def _reads(plan: Plan, stage: Stage) -> list[Columns]:
    """The columns of per-step inputs that all tiles of a stage read together."""
    stepped, leaf = set(plan.stepped), {*plan.core.inputs, *plan.spread}
    whole = dict.fromkeys(operand(value) for value, _ in stage.products)
    found: dict[Columns, None] = {}
    seen: set[Place] = set()

    def walk(value: Value, offset: int) -> None:
        if (value, offset) in seen:
            return
        seen.add((value, offset))
        if value in stepped:
            found[value, offset, stage.width if width(value) > 1 else 1] = None
        if value in leaf or value.op in FILLS:
            return
        if (value, offset) in stage.kept:
            return
        moved = column_source(value, offset)
        if is_reduction(value):
            whole[operand(value)] = None
        elif moved is not None:
            walk(*moved)
        elif value.op not in PRODUCTS:
            for source in value.inputs:
                walk(source, offset if width(source) > 1 else 0)

    for store in stage.stores:
        if store.value in plan.spread:
            for source in store.value.inputs:
                walk(source, 0)
        else:
            walk(store.value, store.offset)
    return [*found, *((value, 0, width(value)) for value in whole if value in stepped)]
