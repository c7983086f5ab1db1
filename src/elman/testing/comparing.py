"""What the checks compare results with, and what they compare: a case with its results and gradients."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..engine import scan
from ..structure import State, leaves, map_leaves
from .subject import Wrong

EXACT, DOUBLE, SINGLE = 1e-12, 1e-10, 1e-5  # two ways of the same loop; compiled against eager, by dtype


def close(what: str, ours: State, theirs: State, tolerance: float = EXACT) -> None:
    """Raises with ``what``, which says what is compared, where two states differ."""
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        if a.shape != b.shape:
            raise Wrong(f"{what}: the shapes are {tuple(a.shape)} and {tuple(b.shape)}")
        if not a.numel() or torch.equal(a, b):
            continue
        error, scale = (a.double() - b.double()).abs().max().item(), b.double().abs().max().item()
        if not error <= tolerance * max(scale, 1e-3):  # so that NaN counts as far off
            raise Wrong(f"{what}: they differ by {error:.2g}, numbers go up to {scale:.2g}")


def picked(tensors: State, index: Any) -> State:
    """Rows of a state (B, ...), or steps of a sequence (T, B, ...)."""
    return map_leaves(lambda each: each[index], tensors)


def rows_of(x: Any, rows: Any) -> Any:
    """Rows of a sequence (T, B, ...)."""
    return map_leaves(lambda each: each[:, rows], x)


def with_padding(x: Any, lengths: Sequence[int]) -> Any:
    def pad(each: Tensor) -> Tensor:
        each = each.clone()
        for b, length in enumerate(lengths):
            each[length:, b] = math.nan if each.is_floating_point() else 0
        return each

    return map_leaves(pad, x)


def loss_of(results: State) -> Tensor:
    """A sum with fixed random weights, so that nothing cancels by symmetry."""
    generator = torch.Generator().manual_seed(1)
    floats = [each for each in leaves(results) if each.is_floating_point()]
    weights = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in floats]
    return torch.stack(
        [(each * weight.to(each.dtype)).sum() for each, weight in zip(floats, weights, strict=True)]
    ).sum()


@dataclass
class Case:
    """A cell, its inputs and a state, every number of them able to take a gradient."""

    cell: Any
    x: Any
    state: State
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.x, self.state = (map_leaves(self._leaf, each) for each in (self.x, self.state))

    @staticmethod
    def _leaf(tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_(tensor.is_floating_point())

    @property
    def variables(self) -> dict[str, Tensor]:
        """What derivatives are taken by."""
        fields = zip(labels_of("input", self.cell, "inputs", self.x), leaves(self.x), strict=True)
        states = zip(labels_of("state", self.cell, "states", self.state), leaves(self.state), strict=True)
        every = [*fields, *states, *((f"parameter {name}", each) for name, each in self.cell.named_parameters())]
        return {name: each for name, each in every if each.requires_grad}

    def results(self, backend: str) -> tuple[State, ...]:
        made: tuple[State, ...] = scan(self.cell, self.x, self.state, backend=backend, **self.options)
        return made

    def gradients(self, loss: Tensor, *, create_graph: bool = False) -> list[Tensor]:
        wanted = list(self.variables.values())
        return list(
            torch.autograd.grad(loss, wanted, create_graph=create_graph, allow_unused=True, materialize_grads=True)
        )

    @contextlib.contextmanager
    def moved(self, by: Sequence[Tensor], distance: float) -> Iterator[None]:
        """All variables a little along a direction."""
        before = [each.detach().clone() for each in self.variables.values()]
        with torch.no_grad():
            for each, direction in zip(self.variables.values(), by, strict=True):
                each.add_(direction, alpha=distance)
        yield
        with torch.no_grad():
            for each, old in zip(self.variables.values(), before, strict=True):
                each.copy_(old)


def labels_of(kind: str, cell: Any, attribute: str, values: State) -> list[str]:
    known, count = getattr(cell, attribute, ()), len(leaves(values))
    if isinstance(cell, Cell) and len(known) == count:
        return [f"{kind} {name}" for name in known]
    return [kind] if count == 1 else [f"{kind} {number}" for number in range(count)]
