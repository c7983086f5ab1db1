"""What is measured: shapes, cases, and the problem of a case, which is the same for every peer."""

from __future__ import annotations

import contextlib
import copy
import re
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..cell import Cell
from ..engine import scan
from ..errors import UserError, nearest
from .cells import cell_class

TRAIN, FORWARD, RAGGED, STREAM = "train", "forward", "ragged", "stream"
"""A case's kind: a training step (forward, and backward to the input and all parameters); a forward without gradients;
a training step on sequences of all lengths; and a sequence that comes one step at a time, without gradients."""

DTYPES = ("float32", "float64", "bf16")


class Shape(NamedTuple):
    """Steps, batch and hidden units; the input has as many features as there are units."""

    time: int
    batch: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.time}x{self.batch}x{self.hidden}"


STANDARD = (
    Shape(50, 64, 64),
    Shape(35, 20, 200),
    Shape(35, 20, 650),
    Shape(100, 64, 256),
    Shape(100, 64, 512),
    Shape(64, 32, 1024),
    Shape(256, 1, 256),
    Shape(256, 1, 1024),
    Shape(100, 8, 512),
)
QUICK = (Shape(20, 8, 48),)
SETS = {"standard": STANDARD, "quick": QUICK}
OF_KIND = {RAGGED: (Shape(1000, 32, 256),), STREAM: (Shape(100, 1, 256),)}
"""The shapes of the kinds that have one of their own."""


def parse_shapes(words: tuple[str, ...]) -> tuple[Shape, ...]:
    """Shapes written as TxBxH, and sets of them by name; raises ``UserError`` for anything else.

    >>> parse_shapes(("100x64x512",))
    (Shape(time=100, batch=64, hidden=512),)
    """
    shapes: list[Shape] = []
    for word in words:
        if word in SETS:
            shapes += SETS[word]
        elif re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", word):
            shapes.append(Shape(*map(int, word.split("x"))))
        else:
            raise UserError(f"{word!r} is no shape; write steps x batch x units as 100x64x512, or {' or '.join(SETS)}")
    return tuple(dict.fromkeys(shapes))


@dataclass(frozen=True)
class Case:
    """One row of a table: a cell of `cells.NAMES` at a shape, a kind, a dtype of `DTYPES`, and CPU threads."""

    cell: str
    shape: Shape
    kind: str = TRAIN
    dtype: str = "float32"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UserError(f"unknown dtype {self.dtype!r}; {nearest(self.dtype, DTYPES)}")

    @property
    def trains(self) -> bool:
        """Whether gradients are asked for."""
        return self.kind in (TRAIN, RAGGED)


@dataclass
class Problem:
    """A case with its numbers: the cell, x (T, B, H), the gradient of its output, lengths (B,) where ragged.

    With dtype "bf16" all of these are float32, and what runs them does so under ``autocast``.
    """

    case: Case
    cell: Cell
    x: Tensor
    output_gradient: Tensor
    lengths: Tensor | None

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """What a forward pass of this dtype runs in."""
        if self.case.dtype == "bf16":
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()

    @property
    def operations(self) -> float:
        """Floating-point operations of the matrix products: 2 a weight and row, three times that in training."""
        weights = sum(parameter.numel() for parameter in self.cell.parameters() if parameter.dim() == 2)
        rows = self.x.shape[0] * self.x.shape[1] if self.lengths is None else int(self.lengths.sum())
        return 2.0 * weights * rows * (3 if self.case.trains else 1)


def make_problem(case: Case) -> Problem:
    """The problem of a case, the same numbers whenever it is made."""
    time, batch, hidden = case.shape
    dtype = torch.float64 if case.dtype == "float64" else torch.float32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cell = cell_class(case.cell)(hidden, hidden).to(dtype)
        x = torch.randn(time, batch, hidden, dtype=dtype)
        gradient = torch.randn(time, batch, cell.output_size, dtype=dtype)
        lengths = torch.randint(1, time + 1, (batch,)) if case.kind == RAGGED else None
    return Problem(case, cell, x, gradient, lengths)


def truth(problem: Problem) -> dict[str, Tensor]:
    """The output "y", the gradient of "x" and of each parameter by name: the eager loop in float64."""
    cell = copy.deepcopy(problem.cell).double()
    x = problem.x.to(torch.float64, copy=True).requires_grad_()
    with torch.set_grad_enabled(problem.case.trains):
        y, _ = scan(cell, x, lengths=problem.lengths, backend="eager")
    if not problem.case.trains:
        return {"y": y}
    wanted = {"x": x, **dict(cell.named_parameters())}
    gradients = torch.autograd.grad(y, list(wanted.values()), problem.output_gradient.double())
    return {"y": y.detach(), **dict(zip(wanted, gradients, strict=True))}


def worst_error(made: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest error of any tensor, each relative to the norm of what was expected; infinite where one is not there.

    >>> worst_error({"y": torch.tensor([3.0, 4.5])}, {"y": torch.tensor([3.0, 4.0])})
    0.1
    """
    errors = [0.0]
    for name, right in expected.items():
        if name not in made or made[name].shape != right.shape:
            return float("inf")
        error = (made[name].detach().double() - right).norm() / right.norm().clamp_min(1e-30)
        errors.append(float(error) if bool(error.isfinite()) else float("inf"))
    return max(errors)
