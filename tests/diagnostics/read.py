"""Reads equations as they are printed, and computes them: a second opinion on every sign and bracket."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman.cell import Cell
from elman.diagnostics import Equations

_TOKEN = re.compile(r"\s*(\d+\.?\d*(?:e[+-]?\d+)?(?![\w.])|\d*[A-Za-z_][A-Za-z0-9_.]*'?|[<>=!]=|.)")
_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "^": lambda a, b: a**b,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "mean": lambda v: v.mean(-1, keepdim=True),
    "sum": lambda v: v.sum(-1, keepdim=True),
    "logsigmoid": torch.nn.functional.logsigmoid,
    "full": lambda size, value: torch.full(size if isinstance(size, tuple) else (size,), value).double(),
    "where": lambda c, a, b: torch.where(c, torch.as_tensor(a).double(), torch.as_tensor(b).double()),
}


def run(told: Equations, cell: Cell, known: dict[str, Tensor]) -> dict[str, Tensor]:
    """All names of the equations with their values for one row: ``known`` are the vectors of inputs and states."""
    sizes = {"H": cell.hidden_size, "I": cell.input_size}
    tensors = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
    values: dict[str, Any] = dict(known)
    for symbol in told.symbols:
        rows = slice(*_bounds(symbol.rows, sizes)) if symbol.rows else slice(None)
        values[symbol.name] = sum(tensors[name][rows] for name in symbol.source.split(" + "))
    for head, body in told.functions:
        name, _, parameters = head.rstrip(")").partition("(")
        values[name] = _function(body, parameters.split(", "), tensors, values, sizes)
    for line in told.lines:
        name, _, formula = line.partition(" = ")
        assert name not in values, f"{name} is defined twice"
        values[name] = _Formula(formula, values, sizes).value()
    return values


def _function(
    body: str, parameters: list[str], tensors: dict[str, Any], values: dict[str, Any], sizes: dict[str, int]
) -> Callable[..., Any]:
    """A function of the legend, in which parameters of modules are written with their dots."""
    dotted = {name: f"p{k}" for k, name in enumerate(tensors)}
    for name in sorted(dotted, key=len, reverse=True):
        body = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", dotted[name], body)
    given = {**values, **{dotted[name]: tensor for name, tensor in tensors.items()}}
    return lambda *args: _Formula(body, {**given, **dict(zip(parameters, args, strict=True))}, sizes).value()


def _bounds(rows: str, sizes: dict[str, int]) -> list[int]:
    return [_size(bound, sizes) for bound in rows.strip("[]").split(":")]


def _size(word: str, sizes: dict[str, int]) -> int:
    return int(word) if word.isdigit() else int(word[:-1] or 1) * sizes[word[-1]]


class _Formula:
    """Comparison of sums of products of powers of matrices times vectors."""

    def __init__(self, text: str, values: dict[str, Any], sizes: dict[str, int]) -> None:
        self.tokens = [(match[1], match[0] != match[1]) for match in _TOKEN.finditer(text.rstrip())]
        self.values, self.sizes, self.place = values, sizes, 0

    def value(self) -> Any:
        found = self.comparison()
        assert self.place == len(self.tokens), f"more than a formula: {self.tokens[self.place :]}"
        return found

    def peek(self) -> str:
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    def take(self, *words: str) -> str:
        word = self.peek()
        assert not words or word in words, f"{word!r} where {words} belong"
        self.place += 1
        return word

    def chain(self, part: Callable[[], Any], *signs: str) -> Any:
        found = part()
        while self.peek() in signs:
            sign = self.take()
            found = _SIGNS[sign](found, part())
        return found

    def comparison(self) -> Any:
        return self.chain(lambda: self.chain(self.product, "+", "-"), "<", "<=", ">", ">=", "==", "!=")

    def product(self) -> Any:
        return self.chain(self.applied, "*", "/")

    def applied(self) -> Any:
        if self.peek() == "-":
            self.take()
            return -self.applied()
        found = self.power()
        while self.peek() and (self.peek()[0].isalnum() or self.peek()[0] in "_(["):
            found = found @ self.power()
        return found

    def power(self) -> Any:
        return self.chain(self.piece, "^")

    def piece(self) -> Any:
        found = self.atom()
        while self.peek() == "ᵀ" or (self.peek() == "[" and not self.tokens[self.place][1]):
            if self.take() == "ᵀ":
                found = found.T
            else:
                begin, _, end, _ = (self.take() for _ in range(4))
                found = found[_size(begin, self.sizes) : _size(end, self.sizes)]
        return found

    def atom(self) -> Any:
        word = self.take()
        if word == "(":
            inside = self.within(")")
            return inside[0] if len(inside) == 1 else tuple(inside)
        if word == "[":
            return torch.cat(self.within("]"))
        if re.fullmatch(r"\d.*", word):
            return float(word) if "." in word or "e" in word else int(word)
        if self.peek() == "(" and not self.tokens[self.place][1]:
            self.take("(")
            function = self.values.get(word) or _FUNCTIONS.get(word) or getattr(torch, word)
            return function(*self.within(")"))
        return float(word) if word == "inf" else self.values[word]

    def within(self, end: str) -> list[Any]:
        found = [self.comparison()]
        while self.take(",", end) == ",":
            found.append(self.comparison())
        return found
