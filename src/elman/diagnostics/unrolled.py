"""Unrolled: a recurrent network drawn step beside step, as the sequence sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..cell import Cell
from ..errors import UserError
from . import svg

_WIDTH, _HEIGHT = 72.0, 36.0  # of a cell
_ROW = 66.0  # from a row of cells to the next
_ASIDE = 92.0  # how far right cells stand that go from the end to the start
_GAP = 78.0  # from a step's cells to the next step's
_BETWEEN = 18.0  # more between layers of two rows, where their wires join and part
_SIDE, _END = 92.0, 44.0


def unrolled(cell: Cell, path: str | Path, *, steps: int = 3, layers: int = 1, bidirectional: bool = False) -> None:
    """Draws a network of such cells unrolled over time to an SVG file: the same cell, with its weights, at every step.

    Each step takes its input from below and the state from the step before; a layer above takes the output of the one
    below. ``bidirectional`` gives every layer a second row of cells that takes the states from the step after; both
    outputs go on. The drawing begins with step t and ends with t + ``steps`` - 1.

    Raises ``UserError`` for fewer than one step or layer, and for a path that is not an SVG file's.

    >>> import tempfile
    >>> from elman.cells import RNN
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     unrolled(RNN(3, 5), Path(folder) / "rnn.svg")
    ...     "h_{t+1}" in (Path(folder) / "rnn.svg").read_text()
    True
    """
    numbers: dict[str, Any] = {"steps": steps, "layers": layers}
    for name, number in numbers.items():
        if not isinstance(number, int) or number < 1:
            raise UserError(f"unrolled got {name}={number!r}; give a whole number of at least 1")
    svg.save(path, _Drawing(cell, steps, layers, 2 if bidirectional else 1).text())


class _Drawing:
    """The cells of ``layers`` layers at ``steps`` steps, one or two rows a layer."""

    def __init__(self, cell: Cell, steps: int, layers: int, directions: int) -> None:
        self.cell, self.steps, self.layers, self.directions = cell, steps, layers, directions
        self.across = _WIDTH + _ASIDE * (directions - 1) + _GAP  # from a step to the next
        self.width = 2 * _SIDE + steps * self.across - _GAP
        between = (layers - 1) * (directions - 1) * _BETWEEN
        self.height = 2 * _END + (layers * directions - 1) * _ROW + between + _HEIGHT + 60
        self.marks: list[str] = []
        self.wires: list[str] = []

    def text(self) -> str:
        """The whole file."""
        name = type(self.cell).__name__
        for t in range(self.steps):
            for layer in range(self.layers):
                self._inputs(t, layer)
                self._outputs(t, layer)
                for direction in range(self.directions):
                    self._states(t, layer, direction)
                    x, y = self._place(t, layer, direction)
                    self.marks.append(svg.box(x, y, _WIDTH, _HEIGHT, "function", round_by=9))
                    self.marks.append(svg.text(x, y, name if svg.text_width(name) < _WIDTH - 6 else "cell"))
            x, low = self._place(t, 0, 0)
            high = self._above(self.layers - 1)
            given = ", ".join(f"{each}_{_index(t)}" for each in self.cell.inputs)
            self.marks.append(svg.text(x, low + _HEIGHT / 2 + _END, given, "end"))
            self.marks.append(svg.text(x, high - 12, f"{self.cell.output or self.cell.states[0]}_{_index(t)}", "end"))
        rows = self.layers * self.directions
        said = f"blue: the state {', '.join(self.cell.states)}; the same weights at every step" + " of a row" * (
            rows > 1
        )
        self.marks.append(svg.text(self.width / 2, self.height - 14, said, "small"))
        return svg.drawing(self.width, self.height, f"{name} over {self.steps} steps", [*self.wires, *self.marks])

    def _place(self, t: int, layer: int, direction: int) -> tuple[float, float]:
        """The middle of a cell."""
        up = (layer * self.directions + direction) * _ROW + layer * (self.directions - 1) * _BETWEEN
        x = _SIDE + _WIDTH / 2 + t * self.across + direction * _ASIDE
        return x, self.height - 46 - _END - _HEIGHT / 2 - up

    def _above(self, layer: int) -> float:
        """Where the output of a layer has come together."""
        return self._place(0, layer, self.directions - 1)[1] - _HEIGHT / 2 - 24

    def _inputs(self, t: int, layer: int) -> None:
        """From the sequence or the layer below to the one or two cells of a layer."""
        kind = "input" if layer == 0 else ""
        x, y = self._place(t, layer, 0)
        start = y + _HEIGHT / 2 + _END - 10 if layer == 0 else self._above(layer - 1)
        turn = y + _HEIGHT / 2 + 14
        for direction in range(self.directions):
            to, end = self._place(t, layer, direction)
            end += _HEIGHT / 2
            points = [(x, start), (x, end)] if direction == 0 else [(x, turn), (to, turn), (to, end)]
            self.wires += [svg.wire(points, kind), svg.head(to, end, kind, "up")]
        if self.directions > 1:
            self.wires.append(svg.circle(x, turn, 2.4, f"dot {kind}".strip()))

    def _outputs(self, t: int, layer: int) -> None:
        """From the one or two cells of a layer to where the next begins."""
        x, y = self._place(t, layer, 0)
        end = self._above(layer)
        self.wires.append(svg.wire([(x, y - _HEIGHT / 2), (x, end)]))
        if self.directions > 1:
            other, top = self._place(t, layer, 1)
            self.wires.append(svg.wire([(other, top - _HEIGHT / 2), (other, end + 10), (x, end + 10)]))
            self.wires.append(svg.circle(x, end + 10, 2.4, "dot"))
        if layer == self.layers - 1:
            self.wires.append(svg.head(x, end, "", "up"))

    def _states(self, t: int, layer: int, direction: int) -> None:
        """From step t to the next, or back; at the first and the last step also from and to outside."""
        x, y = self._place(t, layer, direction)
        begin, end = 28.0, self.width - 28.0
        spans = [(x + _WIDTH / 2, end if t == self.steps - 1 else x + self.across - _WIDTH / 2, t)]
        spans += [(begin, x - _WIDTH / 2, -1)] if t == 0 else []
        for left, right, k in spans:
            start, end = (right, left) if direction else (left, right)
            self.wires.append(svg.wire([(start, y), (end, y)], "state"))
            self.wires.append(svg.head(end, y, "state", "left" if direction else "right"))
            index = _index(k + direction)
            names = ", ".join(f"{each}_{index}" for each in self.cell.states)
            if self.layers * self.directions == 1 and svg.text_width(names) < _GAP:
                self.marks.append(svg.text((left + right) / 2, y - 11, names))


def _index(t: int) -> str:
    """A subscript: t, {t-1}, {t+2}."""
    return f"{{t{t:+d}}}" if t else "t"
