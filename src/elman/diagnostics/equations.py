"""Equations: what a cell computes, told from its step as it runs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from ..cell import Cell
from ..engine.trace import Refused
from .expressions import Step, read_step
from .notation import Notation, Symbol


@dataclass(frozen=True)
class Equations:
    """A cell's step as text; ``print`` shows it, ``lines`` are the equations alone.

    ``symbols`` says which parameters the names in the equations stand for, and ``functions`` what those functions do
    that belong to the cell. Where the engine cannot trace the step, ``lines`` are the docstring's words and ``reason``
    says why; it is empty otherwise.
    """

    cell: str
    lines: tuple[str, ...]
    symbols: tuple[Symbol, ...] = ()
    functions: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return "\n".join([f"{self.cell}: not from its step ({self.reason}); its docstring says", *self.lines])
        legend = [(", ".join(names), what) for names, what in self.legend()]
        width = max((len(names) for names, _ in legend), default=0)
        return "\n".join([*self.lines, *[""] * bool(legend), *(f"{names:<{width}}  {what}" for names, what in legend)])

    def legend(self) -> list[tuple[list[str], str]]:
        """Names, and what they stand for; blocks of the same parameters together."""
        alike: dict[tuple[str, str, bool], list[str]] = {}
        for symbol in self.symbols:
            alike.setdefault((symbol.source, symbol.shape, bool(symbol.rows)), []).append(symbol.name)
        said = [
            (names, f"{source} {shape}" if not part else f"{source}, rows of the gate {shape}")
            for (source, shape, part), names in alike.items()
        ]
        return said + [([head], what) for head, what in self.functions]


def equations(cell: Cell) -> Equations:
    """What a cell computes in a step, as equations read from the trace of the step itself.

    Every equation is on one row of the batch. ``h'`` is the new state ``h``; ``W x`` is a product of a matrix and a
    vector, ``*`` one element by element, ``[v, w]`` one vector after the other; I and H are the cell's two sizes.
    Gates have the names the cell gives them, other formulas that occur more than once those of the step's local
    variables. W and b stand for ``weight_ih`` and ``bias_ih``, U and d for ``weight_hh`` and ``bias_hh``, with the gate
    whose rows they are, and b for the sum of both biases where both are added.

    >>> from elman.cells import MGU
    >>> print(equations(MGU(3, 5)))
    f = sigmoid(W_f x + U_f h + b_f)
    n = tanh(W_n x + U_n (f * h) + b_n)
    h' = (1 - f) * h + f * n
    <BLANKLINE>
    W_f, W_n  weight_ih, rows of the gate (H, I)
    U_f, U_n  weight_hh, rows of the gate (H, H)
    b_f, b_n  bias_ih + bias_hh, rows of the gate (H)
    """
    try:
        notation = Notation(cell, read_step(cell))
    except Refused as reason:
        return Equations(type(cell).__name__, _of_docstring(cell), reason=str(reason))
    lines = tuple(notation.lines)
    return Equations(type(cell).__name__, lines, notation.symbols, tuple(_norms(notation.step)))


def _norms(step: Step) -> list[tuple[str, str]]:
    found = []
    for name, eps in step.norms.items():
        body = f"(v - mean(v)) / sqrt(mean((v - mean(v))^2) + {'eps' if eps is None else f'{eps:g}'})"
        if eps is not None:
            found.append((f"{name}(v)", f"{body} * {name}.weight + {name}.bias"))
        elif any(node.is_call(name) for node in step.nodes):
            found.append((f"{name}(v, eps)", body))
    return found


def _of_docstring(cell: Cell) -> tuple[str, ...]:
    text = inspect.getdoc(type(cell)) or "nothing"
    return tuple(text.partition("\n\nArgs:")[0].partition("\n\n>>>")[0].strip().splitlines())
