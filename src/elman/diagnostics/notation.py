"""Notation: which formulas of a step get a name of their own, what parameters are called, and formulas as text."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..cell import Cell
from .expressions import Node, Step

_LEAVES = ("input", "parameter", "number")
_CHEAP = ("+", "-", "neg", "slice", "T")
_STEMS = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b", "bias_hh": "d"}
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
# How tightly a formula holds together, loosest first: comparison, sum, product, matrix times vector, sign, one piece.
_COMPARED, _SUM, _PRODUCT, _APPLIED, _SIGN, _ATOM = range(6)


@dataclass(frozen=True)
class Symbol:
    """A name in the equations for parameters: ``W_f`` is the block ``weight_ih[H:2H]`` of shape (H, I).

    ``source`` is the parameter, or the sum of two biases, and ``rows`` the block of it, "" for all.
    """

    name: str
    source: str
    rows: str
    shape: str


class Notation:
    """Names for the formulas of a step: ``named`` in the order of the equations, ``text`` of any of them."""

    def __init__(self, cell: Cell, step: Step) -> None:
        self.cell = cell
        self.step = step
        self._symbols: dict[tuple[Node, ...], Symbol] = {}
        self._parents: dict[Node, list[Node]] = {}
        for node in step.nodes:
            for each in node.inputs:
                self._parents.setdefault(each, []).append(node)
        self._functions = {node.args[0] for node in step.nodes if node.op == "call"}
        self._taken = {*cell.inputs, *cell.states, *step.results, *self._functions}
        names = {node: name for name, node in reversed(step.results.items()) if node.op not in _LEAVES}
        names |= self._gates(names)
        self._names = self._of_shared(names)
        self.named = self._in_order()

    @property
    def lines(self) -> list[str]:
        """The equations, in order; results that are copies come last."""
        made = [f"{name} = {self._written(node)[0]}" for node, name in self.named.items()]
        copies = [(name, node) for name, node in self.step.results.items() if self.named.get(node) != name]
        return made + [f"{name} = {self.text(node)}" for name, node in copies]

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The parameters' names in all that has been written so far, in the order of the parameters and their rows."""
        order = {name: k for k, (name, _) in enumerate([*self.cell.named_parameters(), *self.cell.named_buffers()])}

        def place(blocks: tuple[Node, ...]) -> tuple[int, int, int]:
            first = blocks[0]
            begin = first.args[1] if first.op == "slice" else 0
            return order[_parameter(first)], len(blocks), begin

        return tuple(self._symbols[blocks] for blocks in sorted(self._symbols, key=place))

    def name(self, node: Node) -> str | None:
        """The name of the equation that defines a formula, ``None`` where it has none."""
        return self._names.get(node)

    def gate(self, block: Node) -> str:
        """The gate whose rows these are of a parameter, "" for another block or a cell with one gate."""
        parameter, begin, end = block.args if block.op == "slice" else (block, 0, block.shape[0])
        gates, rows = self.cell.gates, self.cell.hidden_size
        whole = parameter.op == "parameter" and parameter.shape and parameter.shape[0] == len(gates) * rows
        return gates[begin // rows] if len(gates) > 1 and whole and end - begin == rows and not begin % rows else ""

    def _gates(self, names: dict[Node, str]) -> dict[Node, str]:
        """The functions that are gates: by the author's name, or else the first one above the gate's rows of W."""
        hints = {node: name for node, name in self.step.hints.items() if name in self.cell.gates and node not in names}
        found = {node: name for node, name in hints.items() if node.op == "call"}
        elsewhere = {name for node, name in hints.items() if node not in found and len(self._uses(node)) > 1}
        for node in self.step.nodes:
            gate = self.gate(node.args[0]) if node.op == "@" and self.is_block(node.args[0]) else ""
            top = self._function_above(node) if gate and gate not in elsewhere else None
            if top is not None and top not in names:
                found.setdefault(top, gate)
        return {node: self._unique(name) for node, name in found.items()}

    def _function_above(self, node: Node) -> Node | None:
        while True:
            above = self._uses(node)
            functions = [each for each in above if each.op == "call" and each.args[0] not in self.step.norms]
            if len(functions) == 1:
                return None if functions[0].is_call("logsigmoid") else functions[0]
            if len(above) != 1 or (above[0].op not in "+-" and above[0].op != "call"):
                return None
            node = above[0]

    def _uses(self, node: Node) -> list[Node]:
        return self._parents.get(node, [])

    def _of_shared(self, names: dict[Node, str]) -> dict[Node, str]:
        """``names``, and names for what is used twice and for functions that the author gave a name."""
        for node in self.step.nodes:
            if node in names or node.op in _LEAVES or self._is_cheap(node, names):
                continue
            hint = self.step.hints.get(node)
            if len(self._uses(node)) > 1 or (hint and node.op == "call"):
                names[node] = self._unique(hint if hint and hint not in self._functions else "a")
        return names

    def _is_cheap(self, node: Node, names: dict[Node, str]) -> bool:
        """Whether it may be written twice: 1 - z, a part of a vector."""
        leaves = all(each.op in _LEAVES or each in names for each in node.inputs)
        numbers = node.op not in "+-" or any(each.op == "number" for each in node.inputs)
        return node.op in _CHEAP and numbers and (leaves or (node.op == "slice" and node.constant))

    def _unique(self, name: str) -> str:
        numbered = (f"{name}{k}" for k in itertools.count(2))
        free = next(each for each in itertools.chain([name], numbered) if each not in self._taken)
        self._taken.add(free)
        return free

    def _in_order(self) -> dict[Node, str]:
        """Gates first in their order, then what the step makes, in its order; each after what it needs."""
        gates = {name: k for k, name in enumerate(self.cell.gates)}
        order: dict[Node, str] = {}

        def add(node: Node) -> None:
            for each in sorted(self._named_below(node), key=lambda below: below.order):
                add(each)
            order.setdefault(node, self._names[node])

        for node in sorted(self._names, key=lambda node: (gates.get(self._names[node], len(gates)), node.order)):
            add(node)
        return order

    def _named_below(self, node: Node) -> set[Node]:
        below: set[Node] = set()
        for each in node.inputs:
            below |= {each} if each in self._names else self._named_below(each)
        return below

    def terms(self, node: Node) -> list[tuple[int, Node]]:
        """The terms of a sum with their signs, through the sums in it that have no name."""

        def of(each: Node, sign: int, top: bool) -> list[tuple[int, Node]]:
            if (each in self._names and not top) or each.op not in ("+", "-", "neg"):
                return [(sign, each)]
            first, *rest = each.args
            if each.op == "neg":
                return of(first, -sign, False)
            return of(first, sign, False) + of(rest[0], sign if each.op == "+" else -sign, False)

        found = of(node, 1, True)
        return [each for each in found if not self._is_bias(each[1])] + [
            each for each in found if self._is_bias(each[1])
        ]

    def factors(self, node: Node) -> list[Node]:
        """The factors of a product, through the products in it that have no name, numbers first."""

        def of(each: Node, top: bool) -> list[Node]:
            if (each in self._names and not top) or each.op != "*":
                return [each]
            return [factor for arg in each.args for factor in of(arg, False)]

        return sorted(of(node, True), key=lambda each: each.op != "number")

    def _is_bias(self, node: Node) -> bool:
        return node not in self._names and self.is_block(node) and len(node.shape) == 1

    @staticmethod
    def is_block(node: Node) -> bool:
        """Whether it is a parameter or rows of one."""
        return (node.args[0] if node.op == "slice" else node).op == "parameter"

    def text(self, node: Node) -> str:
        """The node inside of another formula: its name, or its formula."""
        return self._piece(node)[0]

    def _piece(self, node: Node) -> tuple[str, int]:
        return (self._names[node], _ATOM) if node in self._names else self._written(node)

    def within(self, node: Node, least: int = _ATOM) -> str:
        """The node's text, in brackets where it holds together less tightly than ``least``."""
        text, level = self._piece(node)
        return text if level >= least else f"({text})"

    def _written(self, node: Node) -> tuple[str, int]:
        """A formula and how tightly it holds together."""
        if self.is_block(node):
            return self._block(node), _ATOM
        args = node.args
        if node.op in ("+", "-", "neg"):
            return self.sum_text(self.terms(node))
        if node.op == "*":
            return " * ".join(self.within(each, _SIGN) for each in self.factors(node)), _PRODUCT
        if node.op == "/":
            return f"{self.within(args[0], _PRODUCT)} / {self.within(args[1], _SIGN)}", _PRODUCT
        if node.op in _COMPARISONS:
            return f"{self.within(args[0], _SUM)} {node.op} {self.within(args[1], _SUM)}", _COMPARED
        if node.is_call("pow") and isinstance(args[2], int) and args[2] > 0:
            return f"{self.within(args[1])}^{args[2]}", _SIGN
        if node.op == "@":
            return f"{self.within(args[0])} {self.within(args[1])}", _APPLIED
        written: dict[str, Callable[[], tuple[str, int]]] = {
            "input": lambda: (args[0], _ATOM),
            "number": lambda: _number(args[0]),
            "T": lambda: (f"{self.within(args[0])}ᵀ", _ATOM),
            "slice": lambda: (f"{self.within(args[0])}{self.part(args[1], args[2])}", _ATOM),
            "cat": lambda: (f"[{self._list(args)}]", _ATOM),
            "call": lambda: (f"{args[0]}({self._list(args[1:])})", _ATOM),
        }
        return written[node.op]()

    def sum_text(self, terms: list[tuple[int, Node]]) -> tuple[str, int]:
        """A sum of signed terms, the two biases of a gate as one symbol."""
        terms = list(terms)
        pieces: list[tuple[int, str]] = []
        while terms:
            sign, node = terms.pop(0)
            other = self._other_bias(node)
            if other is not None and (sign, other) in terms:
                terms.remove((sign, other))
                pieces.append((sign, self._symbol(node, other)))
            else:
                pieces.append((sign, self.within(node, _PRODUCT)))
        (sign, first), *rest = pieces
        text = ("-" if sign < 0 else "") + first + "".join(f" {'-' if sign < 0 else '+'} {each}" for sign, each in rest)
        return text, _SUM if rest or sign < 0 else _PRODUCT

    def _other_bias(self, node: Node) -> Node | None:
        """The same rows of ``bias_hh`` where the node is of ``bias_ih``."""
        if not self.is_block(node) or _parameter(node) != "bias_ih":
            return None
        others = [each for each in self.step.nodes if self.is_block(each) and _parameter(each) == "bias_hh"]
        return next((each for each in others if (each.op, each.args[1:]) == (node.op, node.args[1:])), None)

    def _block(self, node: Node) -> str:
        """A parameter or rows of one: as a symbol where it is whole or a gate's, else the rows of the whole."""
        if node.op == "parameter" or self.gate(node):
            return self._symbol(node)
        whole, begin, end = node.args
        return f"{self._symbol(whole)}{self.part(begin, end)}"

    def _symbol(self, *blocks: Node) -> str:
        """The name of a parameter's block, or of the sum of several."""
        if blocks not in self._symbols:
            first = blocks[0]
            gate = self.gate(first)
            name = self._unique(_stem(_parameter(first), len(first.shape)) + (f"_{gate}" if gate else ""))
            sources = map(_parameter, blocks)
            rows = self.part(*first.args[1:]) if first.op == "slice" else ""
            shape = ", ".join(map(self.size, first.shape))
            self._symbols[blocks] = Symbol(name, " + ".join(sources), rows, f"({shape})")
        return self._symbols[blocks].name

    def size(self, *numbers: int) -> str:
        """Sizes in terms of one of the cell's, H, 2H, or I, or the numbers themselves; with a colon between."""
        for name, size in (("H", self.cell.hidden_size), ("I", self.cell.input_size)):
            if any(numbers) and size > 1 and not any(number % size for number in numbers):
                counts = [number // size for number in numbers]
                return ":".join({0: "0", 1: name}.get(count, f"{count}{name}") for count in counts)
        return ":".join(map(str, numbers))

    def part(self, begin: int, end: int) -> str:
        """The rows of a slice."""
        return f"[{self.size(begin, end)}]"

    def _list(self, args: tuple[Any, ...]) -> str:
        return ", ".join(map(self.argument, args))

    def argument(self, argument: Any) -> str:
        if isinstance(argument, Node):
            return self.text(argument)
        return f"({self._list(argument)})" if isinstance(argument, tuple) else f"{argument}"


def _parameter(block: Node) -> str:
    """The parameter's name, of it or of rows of it."""
    name: str = (block.args[0] if block.op == "slice" else block).args[0]
    return name


def _stem(parameter: str, axes: int) -> str:
    """What a parameter is called: ``W``, ``U``, ``b``, ``d``, or its own name, shortened."""
    if parameter in _STEMS:
        stem = _STEMS[parameter]
    else:
        *module, name = parameter.split(".")
        kind, _, rest = name.partition("_")
        letter = {"weight": "W", "bias": "b"}.get(kind, "")
        stem = "_".join(filter(None, (letter, *module, rest if letter else name)))
    return stem if axes > 1 or not stem.startswith(("W", "U")) else stem[0].lower() + stem[1:]


def _number(value: Any) -> tuple[str, int]:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text, _SIGN if text.startswith("-") else _ATOM
