"""Layers: boxes and their wires placed in columns from left to right, wires level and upright, with few crossings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import svg

_GAP = 14.0  # between boxes of a column
_TRACK = 9.0  # between upright wires
_HEAD = 12.0  # room for the head of an arrow
_MARGIN = 16.0
_SWEEPS = 12


@dataclass(eq=False)
class Box:
    """One thing of a drawing: its text, its kind ("end", "product", "function", "pointwise") and what leads into it.

    ``inputs`` are boxes with a mark that stands at the end of the wire; ``label`` stands at the wire that leaves.
    """

    text: str
    kind: str
    inputs: list[tuple[Box, str]] = field(default_factory=list)
    label: str = ""
    wire: str = ""
    """The kind of its wire: "input", "state" or ""."""
    column: int = 0

    @property
    def width(self) -> float:
        return 24.0 if self.kind == "pointwise" else svg.text_width(self.text) + 14

    @property
    def height(self) -> float:
        return max(24.0, 11.0 * len(self.inputs) + 8)


@dataclass(eq=False)
class _Item:
    """What stands in a column: a box, or the wire of a box that goes on (``is_box`` false)."""

    box: Box
    is_box: bool
    before: list[_Item] = field(default_factory=list)
    after: list[_Item] = field(default_factory=list)
    y: float = 0.0

    @property
    def height(self) -> float:
        return self.box.height if self.is_box else 2.0

    def port(self, source: _Item) -> float:
        """Where the wire of ``source`` ends, from the middle."""
        if not self.is_box or (self.box.kind == "pointwise" and len(self.before) == 1):
            return 0.0
        step = 9.0 if self.box.kind == "pointwise" else 11.0
        return step * (self.before.index(source) - (len(self.before) - 1) / 2)


def draw(boxes: Sequence[Box], title: str) -> str:
    """An SVG of boxes, those without inputs in the first column, and ends with inputs in the last."""
    _set_columns(boxes)
    columns = _items(boxes)
    _order(columns)
    _set_heights(columns)
    return _drawn(columns, title)


def _set_columns(boxes: Sequence[Box]) -> None:
    """Each box one column behind the last that it needs."""

    def depth(box: Box) -> int:
        if box not in known:
            known[box] = 1 + max((depth(each) for each, _ in box.inputs), default=-1)
        return known[box]

    known: dict[Box, int] = {}
    last = max(map(depth, boxes))
    for box in boxes:
        box.column = last if box.inputs and box.kind == "end" else depth(box)
    users: dict[Box, list[Box]] = {}
    for box in boxes:
        for each, _ in box.inputs:
            users.setdefault(each, []).append(box)
    # What only one box needs stands right before it where this makes no wire longer.
    for box in sorted(boxes, key=lambda each: -each.column):
        if box.kind != "product" and len(box.inputs) == 1 and len(users.get(box, ())) == 1:
            source = box.inputs[0][0]
            longest = max(each.column for each in users[source])
            box.column = max(box.column, min(users[box][0].column - 1, longest))


def _items(boxes: Sequence[Box]) -> list[list[_Item]]:
    """The columns, with a wire's item in every column that it crosses."""
    columns: list[list[_Item]] = [[] for _ in range(max(box.column for box in boxes) + 1)]
    items = {box: _Item(box, True) for box in boxes}
    for box in boxes:
        columns[box.column].append(items[box])
    passing: dict[tuple[Box, int], _Item] = {}

    def at(source: Box, column: int) -> _Item:
        """The source, or its wire, in a column."""
        if column == source.column:
            return items[source]
        if (source, column) not in passing:
            item = passing[source, column] = _Item(source, False)
            columns[column].append(item)
            _join(at(source, column - 1), item)
        return passing[source, column]

    for box in boxes:
        for source, _ in box.inputs:
            _join(at(source, box.column - 1), items[box])
    return columns


def _join(left: _Item, right: _Item) -> None:
    left.after.append(right)
    right.before.append(left)


def _order(columns: list[list[_Item]]) -> None:
    """Each column in the order of its neighbours, then exchanged; the sweep that leaves the fewest crossings counts."""
    best, found = _crossings(columns), [list(column) for column in columns]
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in columns[1:] if forward else columns[-2::-1]:
            _sort_by_neighbours(columns, column, forward)
        _exchange(columns)
        crossings = _crossings(columns)
        if crossings < best:
            best, found = crossings, [list(column) for column in columns]
    for column, order in zip(columns, found, strict=True):
        column[:] = order
    for left, column in itertools.pairwise(columns):
        place = {item: k for k, item in enumerate(left)}
        for item in column:
            item.before.sort(key=lambda each: place[each])


def _sort_by_neighbours(columns: list[list[_Item]], column: list[_Item], forward: bool) -> None:
    places = {item: k / max(len(each) - 1, 1) for each in columns for k, item in enumerate(each)}

    def key(item: _Item) -> float:
        near = item.before if forward else item.after
        return sum(places[each] for each in near) / len(near) if near else places[item]

    column.sort(key=key)


def _exchange(columns: list[list[_Item]]) -> None:
    """Exchanges neighbours in a column as long as that saves crossings."""
    improved = True
    while improved:
        improved = False
        for column in columns:
            for k in range(len(column) - 1):
                before = _crossings_near(columns, column)
                column[k], column[k + 1] = column[k + 1], column[k]
                if _crossings_near(columns, column) < before:
                    improved = True
                else:
                    column[k], column[k + 1] = column[k + 1], column[k]


def _crossings_near(columns: list[list[_Item]], column: list[_Item]) -> int:
    k = next(k for k, each in enumerate(columns) if each is column)
    return _crossings(columns[max(k - 1, 0) : k + 2])


def _crossings(columns: list[list[_Item]]) -> int:
    total = 0
    for left, right in itertools.pairwise(columns):
        place = {item: k for k, item in enumerate(right)}
        ends = [[place[each] for each in item.after] for item in left]
        total += sum(a > b for k, above in enumerate(ends) for below in ends[k + 1 :] for a in above for b in below)
    return total


def _set_heights(columns: list[list[_Item]]) -> None:
    """Boxes where their wires are straightest, wires that pass many columns above all."""
    for column in columns:
        y = 0.0
        for item in column:
            item.y = y = y + item.height / 2
            y += item.height / 2 + _GAP
    for sweep in range(40):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            wanted, weights = zip(*((y, weight or 0.1) for y, weight in map(_wanted, column)), strict=True)
            gaps = [(a.height + b.height) / 2 + _GAP for a, b in itertools.pairwise(column)]
            for item, y in zip(column, _apart(wanted, weights, gaps), strict=True):
                item.y = y
    _straighten(columns)
    top = min(item.y - item.height / 2 for column in columns for item in column)
    for column in columns:
        for item in column:
            item.y += _MARGIN - top


@dataclass(eq=False)
class _Block:
    """Items of neighbouring columns, joined by a level wire, which move as one."""

    items: list[_Item]

    def move(self, by: float) -> None:
        for item in self.items:
            item.y += by

    def wish(self) -> float:
        """How far to move for its wires to other blocks to be level on average."""
        wishes = [_wanted(item, self.items) for item in self.items]
        weight = sum(weight for _, weight in wishes)
        moves = sum(weight * (wanted - item.y) for item, (wanted, weight) in zip(self.items, wishes, strict=True))
        return moves / weight if weight else 0.0


def _straighten(columns: list[list[_Item]]) -> None:
    """Makes as many wires level as can be without changing the order of a column, the longest first."""
    blocks = {item: _Block([item]) for column in columns for item in column}
    for left, right in _level_wires(columns):
        ahead, behind = blocks[left], blocks[right]
        change = left.y - right.port(left) - right.y
        behind.move(change)
        ahead.items += behind.items
        for item in behind.items:
            blocks[item] = ahead
    above: dict[_Item, tuple[_Item, float]] = {}
    below: dict[_Item, tuple[_Item, float]] = {}
    for column in columns:
        for upper, lower in itertools.pairwise(column):
            gap = (upper.height + lower.height) / 2 + _GAP
            above[lower], below[upper] = (upper, gap), (lower, gap)
    order = _from_above([*dict.fromkeys(blocks.values())], blocks, above)
    for block in order:  # none may stand in what is above it
        block.move(max([0.0, *(above[i][0].y + above[i][1] - i.y for i in block.items if i in above)]))
    for sweep in range(60):
        for block in order if sweep % 2 else order[::-1]:
            up = max((above[i][0].y + above[i][1] - i.y for i in block.items if i in above), default=-1e9)
            down = min((below[i][0].y - below[i][1] - i.y for i in block.items if i in below), default=1e9)
            block.move(min(max(block.wish(), up), down))


def _level_wires(columns: list[list[_Item]]) -> list[tuple[_Item, _Item]]:
    """Wires that may all be level: one at most to each side of an item, and none that cross."""
    length: dict[Box, int] = {}
    for column in columns:
        for item in column:
            length[item.box] = length.get(item.box, 0) + (not item.is_box)
    place = {item: k for column in columns for k, item in enumerate(column)}
    chosen: list[tuple[_Item, _Item]] = []
    for column in columns:
        wires = [(left, right) for left in column for right in left.after]
        wires.sort(key=lambda wire: (-length[wire[0].box], wire[1].is_box, len(wire[0].after), place[wire[0]]))
        here: list[tuple[_Item, _Item]] = []
        for left, right in wires:
            if all((place[left] - place[a]) * (place[right] - place[b]) > 0 for a, b in here):
                here.append((left, right))
        chosen += here
    return chosen


def _from_above(blocks: list[_Block], of: dict[_Item, _Block], above: dict[_Item, tuple[_Item, float]]) -> list[_Block]:
    """The blocks, each behind those that are above one of its items."""
    order: dict[_Block, None] = {}

    def add(block: _Block) -> None:
        for item in block.items:
            if item in above and of[above[item][0]] not in order:
                add(of[above[item][0]])
        order[block] = None

    for block in blocks:
        if block not in order:
            add(block)
    return list(order)


def _wanted(item: _Item, without: Sequence[_Item] = ()) -> tuple[float, float]:
    """Where an item's wires, but those to some others, would be level on average, and how much that counts."""
    total = weight = 0.0
    for left in item.before:
        share = 0.0 if left in without else _stiffness(left, item)
        total, weight = total + share * (left.y - item.port(left)), weight + share
    for right in item.after:
        share = 0.0 if right in without else _stiffness(item, right)
        total, weight = total + share * (right.y + right.port(item)), weight + share
    return (total / weight, weight) if weight else (item.y, 0.0)


def _stiffness(left: _Item, right: _Item) -> float:
    return 1.0 + 3.0 * (not left.is_box) + 3.0 * (not right.is_box) + (len(left.after) == 1)


def _apart(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The positions nearest to the wanted ones that are apart by the gaps at least.

    >>> _apart([0.0, 1.0, 9.0], [1.0, 1.0, 1.0], [3.0, 3.0])
    [-1.0, 2.0, 9.0]
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    groups: list[tuple[float, float, int]] = []  # mean, weight, members: a group moves as one
    for position, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, members = position - offset, weight, 1
        while groups and groups[-1][0] > mean:
            other, share, more = groups.pop()
            mean = (mean * total + other * share) / (total + share)
            total, members = total + share, members + more
        groups.append((mean, total, members))
    means = [mean for mean, _, members in groups for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


@dataclass(eq=False)
class _Net:
    """The wire of one item to the next column: where it starts, where it ends, and which track it climbs in."""

    item: _Item
    start: float
    ends: list[float]

    @property
    def level(self) -> bool:
        return all(abs(end - self.start) < 0.05 for end in self.ends)

    @property
    def span(self) -> tuple[float, float]:
        return min(self.start, *self.ends), max(self.start, *self.ends)


def _nets(column: list[_Item]) -> list[_Net]:
    nets = []
    for item in column:
        ends = [right.y + right.port(item) for right in item.after]
        if ends:
            # All but level is level: a wire that ends a hair off bends for nothing.
            nets.append(_Net(item, item.y, ends))
    return nets


def _tracks(nets: list[_Net]) -> list[_Net]:
    """The nets that climb, from left to right, so that few cross and none run over each other."""
    climbing = [net for net in nets if not net.level]
    improved = True
    while improved:
        improved = False
        for k in range(len(climbing) - 1):
            left, right = climbing[k : k + 2]
            if _cost(right, left) < _cost(left, right):
                climbing[k : k + 2] = [right, left]
                improved = True
    return climbing


def _cost(left: _Net, right: _Net) -> float:
    """Crossings of two nets if the first climbs left of the second; running over each other is worst."""
    low, high = right.span
    crossings = sum(low < end < high for end in left.ends)
    low, high = left.span
    crossings += low < right.start < high
    return crossings + 100 * any(abs(end - right.start) < 4 for end in left.ends)


def _drawn(columns: list[list[_Item]], title: str) -> str:
    wires: list[str] = []
    boxes: list[str] = []
    x = _MARGIN
    for k, column in enumerate(columns):
        width = max((item.box.width for item in column if item.is_box), default=0)
        for item in column:
            if item.is_box:
                boxes += _box(item, x + width / 2)
            else:
                wires.append(svg.wire([(x, item.y), (x + width, item.y)], item.box.wire))
        if k == len(columns) - 1:
            x += width
            break
        nets = _nets(column)
        tracks = _tracks(nets)
        label = max((svg.text_width(item.box.label) for item in column if item.is_box), default=0)
        begin = x + width + label + 8
        end = begin + _TRACK * max(len(tracks) - 1, 0) + _HEAD + 4
        following = max((item.box.width for item in columns[k + 1] if item.is_box), default=0)
        for net in nets:
            at = begin + _TRACK * tracks.index(net) if net in tracks else begin
            begin_at = x + (width + net.item.box.width) / 2 if net.item.is_box else x + width
            wires += _net(net, begin_at, at, end, following)
        x = end
    height = max(item.y + item.height / 2 for column in columns for item in column) + _MARGIN
    return svg.drawing(x + _MARGIN, height, title, [*wires, *boxes])


def _net(net: _Net, begin: float, at: float, end: float, following: float) -> list[str]:
    """The wires from ``begin`` by the track ``at`` to the boxes and wires of a column that starts at ``end``."""
    box, start = net.item.box, net.start
    marks = []
    for right, y in zip(net.item.after, net.ends, strict=True):
        edge = end + (following - right.box.width) / 2 if right.is_box else end
        edge += _recess(right, y - right.y)
        points = [(begin, start), (edge, y)] if net.level else [(begin, start), (at, start), (at, y), (edge, y)]
        if abs(y - start) < 0.05:
            points = [(begin, start), (edge, start)]
        marks.append(svg.wire(points, box.wire))
        if right.is_box:
            marks.append(svg.head(edge, y, box.wire))
            mark = next((mark for source, mark in right.box.inputs if source is box), "")
            if mark:
                marks.append(svg.text(edge - 8, y - 7, mark, "small", "end"))
    levels = sorted({round(y, 1) for y in net.ends} | {round(start, 1)})
    for y in levels:
        branches = (y > levels[0]) + (y < levels[-1]) + (y == round(start, 1)) + (y in {round(e, 1) for e in net.ends})
        if branches > 2:
            marks.append(svg.circle(at, y, 2.4, f"dot {box.wire}".strip()))
    return marks


def _recess(right: _Item, offset: float) -> float:
    """How far behind a box's edge the wire ends that comes off the middle: a circle is round."""
    if not right.is_box or right.box.kind != "pointwise":
        return 0.0
    radius = right.box.width / 2
    return float(radius - max(radius**2 - offset**2, 0.0) ** 0.5)


def _box(item: _Item, x: float) -> list[str]:
    box, y = item.box, item.y
    marks = []
    if box.kind == "pointwise":
        marks.append(svg.circle(x, y, box.width / 2, "pointwise"))
    else:
        marks.append(svg.box(x, y, box.width, box.height, box.kind, round_by=3 if box.kind == "product" else 9))
    marks.append(svg.text(x, y, box.text, "end" if box.kind == "end" else ""))
    if box.label:
        marks.append(svg.text(x + box.width / 2 + 4, y - 8, box.label, "name", "start"))
    return marks
