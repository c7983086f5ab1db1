"""Wiring: a cell's step as a drawing, from the trace of the step."""

from __future__ import annotations

from pathlib import Path

from ..cell import Cell
from ..engine.trace import Refused
from ..errors import UserError
from . import svg
from .expressions import Node, read_step
from .layers import Box, draw
from .notation import Notation

_TIMES, _MINUS = "\u00d7", "\u2212"
_LONG = 26  # letters, beyond which a box leaves out what comes in by wire


def wiring(cell: Cell, path: str | Path) -> None:
    """Draws what a cell does in a step to an SVG file: inputs and states on the left, new states on the right.

    Boxes are products with matrices, with their biases; round ones are functions; circles work element by element.
    Names at wires are those of the equations, see ``equations``. Parameters have no wires of their own.

    Raises ``UserError`` where the engine cannot trace the step, and for a path that is not an SVG file's.

    >>> import tempfile
    >>> from elman.cells import LSTM
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wiring(LSTM(3, 5), Path(folder) / "lstm.svg")
    ...     print((Path(folder) / "lstm.svg").read_text()[:4])
    <svg
    """
    try:
        notation = Notation(cell, read_step(cell))
    except Refused as reason:
        raise UserError(f"{type(cell).__name__} cannot be drawn: {reason}") from reason
    svg.save(path, draw(_Wiring(notation).boxes, f"One step of {type(cell).__name__}"))


class _Wiring:
    """The boxes of a step; formulas of parameters alone are text in the boxes that use them."""

    def __init__(self, notation: Notation) -> None:
        cell = notation.cell
        self._notation = notation
        self._made: dict[Node, Box] = {}
        self.boxes: list[Box] = []
        given = {node.args[0]: node for node in notation.step.nodes if node.op == "input"}
        for name in (*cell.states[::-1], *cell.inputs):
            if name in given:
                box = self._add(name, "end")
                box.wire = "state" if name in cell.states else "input"
                self._made[given[name]] = box
        for name, node in notation.step.results.items():
            self._add(name, "end", [(self._box(node), "")])

    def _add(self, text: str, kind: str, inputs: list[tuple[Box, str]] | None = None) -> Box:
        unique = dict(reversed(inputs or []))
        self.boxes.append(Box(text, kind, list(reversed(unique.items()))))
        return self.boxes[-1]

    def _box(self, node: Node) -> Box:
        if node not in self._made:
            box = self._new(node)
            name = self._notation.name(node)
            if name and name not in self._notation.step.results:
                box.label = name
            self._made[node] = box
        return self._made[node]

    def _new(self, node: Node) -> Box:
        if node.constant:  # a result that no input changes
            return self._add(self._notation.text(node), "function")
        if node.op in ("+", "-", "neg"):
            return self._sum(node)
        if node.op == "*":
            return self._product(node)
        if node.op == "@" and node.args[0].constant:
            return self._linear([(1, node)])
        if node.op == "call":
            return self._call(node)
        signs = {"@": "@", "/": "÷", "cat": "join", "slice": "", "T": "T"}
        sign = signs.get(node.op, node.op)
        varying = [each for each in node.inputs if not each.constant]
        if node.op == "slice":
            return self._add(self._notation.part(*node.args[1:]), "function", self._inputs(varying))
        if len(varying) < len(node.args) and node.op != "cat":
            words = [self._notation.within(each) if each.constant else "" for each in node.inputs]
            return self._add(f" {node.op} ".join(words).strip(), "function", self._inputs(varying))
        if node.op == "/":
            return self._add(sign, "pointwise", self._inputs(varying, ["", "by"]))
        marks = [str(k) for k in range(1, len(varying) + 1)] if len(varying) > 1 else None
        return self._add(sign, "function", self._inputs(varying, marks))

    def _inputs(self, nodes: list[Node], marks: list[str] | None = None) -> list[tuple[Box, str]]:
        return [(self._box(node), mark) for node, mark in zip(nodes, marks or [""] * len(nodes), strict=True)]

    def _is_product_with_matrix(self, node: Node) -> bool:
        """Whether it is matrix times vector, perhaps times a constant, without a name."""
        if self._notation.name(node):
            return False
        if node.op == "*":
            varying = [each for each in self._notation.factors(node) if not each.constant]
            return len(varying) == 1 and self._is_product_with_matrix(varying[0])
        return node.op == "@" and node.args[0].constant

    def _linear(self, terms: list[tuple[int, Node]]) -> Box:
        """Products with matrices and what is constant, in one box."""
        vectors = []
        for _, node in terms:
            varying = [each for each in self._notation.factors(node) if not each.constant]
            vectors += [each.args[1] for each in varying]
        text = self._notation.sum_text(terms)[0]
        if len(text) > _LONG:
            for vector in vectors:
                if vector.op != "input" and not self._notation.name(vector):
                    text = text.replace(self._notation.within(vector), "·")
        return self._add(text, "product", self._inputs(vectors))

    def _sum(self, node: Node) -> Box:
        terms = self._notation.terms(node)
        linear = [each for each in terms if not each[1].constant and self._is_product_with_matrix(each[1])]
        constant = [each for each in terms if each[1].constant]
        other = [each for each in terms if each not in linear and each not in constant]
        if linear:
            box = self._linear(linear + constant)
            if not other:
                return box
            inputs = [(box, ""), *((self._box(each), "" if sign > 0 else _MINUS) for sign, each in other)]
            return self._add("+", "pointwise", inputs)
        if len(other) > 1:
            box = self._add("+", "pointwise", [(self._box(each), "" if sign > 0 else _MINUS) for sign, each in other])
            if not constant:
                return box
            sign, inputs = 1, [(box, "")]
        else:
            ((sign, only),) = other
            inputs = [(self._box(only), "")]
        text = self._notation.sum_text(constant)[0] if constant else ""
        if sign < 0:
            return self._add(f"{text}{_MINUS}", "pointwise" if len(text) < 2 else "function", inputs)
        return self._add(f"- {text[1:]}" if text.startswith("-") else f"+ {text}", "function", inputs)

    def _product(self, node: Node) -> Box:
        factors = self._notation.factors(node)
        constant = [each for each in factors if each.constant]
        other = [each for each in factors if not each.constant]
        inputs = self._inputs(other)
        if len(other) > 1 or not constant:
            box = self._add(_TIMES, "pointwise", inputs)
            inputs = [(box, "")]
            if not constant:
                return box
        text = " * ".join(self._notation.within(each) for each in constant)
        return self._add(f"{text} *", "function", inputs)

    def _call(self, node: Node) -> Box:
        name, *args = node.args
        varying = [each for each in node.inputs if not each.constant]
        if len(varying) == len(args) or name in self._notation.step.norms:
            marks = ["if", "then", "else"] if name == "where" else None
            return self._add(name, "function", self._inputs(varying, marks))
        words = ["·" if each in varying else self._notation.argument(each) for each in args]
        marks = [str(k) for k in range(1, len(varying) + 1)] if len(varying) > 1 else None
        return self._add(f"{name}({', '.join(words)})", "function", self._inputs(varying, marks))
