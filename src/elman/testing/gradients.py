"""Checks of derivatives against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..structure import leaves
from .comparing import Case, loss_of
from .subject import Subject, Wrong


def _gradients(s: Subject) -> None:
    """Gradients by inputs, states and parameters are those of finite differences, in float64."""
    cell = s.build()
    case = Case(cell, s.inputs(cell, 4, 2), s.reached(cell, 2))
    found = case.gradients(loss_of(case.results("eager")))
    variables = case.variables
    for number, (name, gradient) in enumerate(zip(variables, found, strict=True)):
        for _ in range(2):
            along = [torch.zeros_like(each) for each in variables.values()]
            along[number].normal_()
            numeric = _slope(case, along, lambda: loss_of(case.results("eager")).item())
            _compare_slopes(f"the gradient with respect to {name}", (gradient * along[number]).sum().item(), numeric)


def _second_derivatives(s: Subject) -> None:
    """Derivatives of the gradient are those of finite differences, eager and compiled."""
    cell = s.build()
    case = Case(cell, s.inputs(cell, 3), s.reached(cell))
    along, weights = ([torch.randn_like(each) for each in case.variables.values()] for _ in range(2))

    def weighted_gradient(backend: str, *, create_graph: bool = False) -> Tensor:
        loss = loss_of([leaf.square() for leaf in leaves(case.results(backend)) if leaf.is_floating_point()])
        first = case.gradients(loss, create_graph=create_graph)
        return torch.stack([(each * weight).sum() for each, weight in zip(first, weights, strict=True)]).sum()

    numeric = _slope(case, along, lambda: weighted_gradient("eager").item())
    for backend in ("eager", "auto"):
        second = case.gradients(weighted_gradient(backend, create_graph=True))
        slope = sum((each * direction).sum().item() for each, direction in zip(second, along, strict=True))
        _compare_slopes("the second derivative", slope, numeric)


def _slope(case: Case, along: Sequence[Tensor], value: Callable[[], float]) -> float:
    """How a value changes along a direction, by central differences."""
    distance, ends = 1e-6, []
    for sign in (1, -1):
        with case.moved(along, sign * distance):
            ends.append(value())
    return (ends[0] - ends[1]) / (2 * distance)


def _compare_slopes(what: str, ours: float, numeric: float) -> None:
    if not abs(ours - numeric) <= 1e-6 * max(abs(ours), abs(numeric)) + 1e-7:
        raise Wrong(
            f"{what} is {ours:.4g} along a random direction, finite differences give {numeric:.4g}; "
            "is something detached, rounded, or computed outside PyTorch?"
        )


CHECKS = (_gradients, _second_derivatives)
