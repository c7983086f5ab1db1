"""Verify: that a traced step and its derivative are those of the step as PyTorch runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .evaluate import evaluate
from .trace import Graph, Refused

_ROWS = 3
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}


def verify(graph: Graph, step: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]) -> None:
    """Takes one step both ways, ``examples`` moved away from zero, and compares results and gradients.

    A trace knows operators only. It does not see ``torch.no_grad``, ``.data``, a ``torch.autograd.Function`` or a
    branch on whether gradients are on. Raises ``Refused`` where these make a difference.

    >>> from elman.engine.trace import trace
    >>> import torch
    >>> def step(x):
    ...     return [x * x.data]
    >>> graph = trace(step, lambda rows: [torch.zeros(rows, 2)])
    >>> verify(graph, step, [torch.zeros(3, 2)])
    Traceback (most recent call last):
        ...
    elman.engine.trace.Refused: the step has a derivative by arg0_1 of its own (no_grad, .data or autograd.Function)
    """
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(0)
        moved = [_moved(each, value.by_row, generator) for each, value in zip(examples, graph.inputs, strict=True)]
        known = dict(zip(graph.inputs, moved, strict=True))
        try:
            evaluate(graph, known, _ROWS)
            traced = [known[value] for value in graph.outputs]
            made = list(step(*moved))
            wanted = [each for each in moved if each.requires_grad]
            weights = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in made]
            ours, theirs = (_gradients(results, weights, wanted) for results in (traced, made))
        except Exception as error:
            raise Refused(f"the step cannot be run: {str(error).partition(chr(10))[0]}") from error
    for value, a, b in zip(graph.outputs, traced, made, strict=True):
        if not _alike(a.detach(), b.detach()):
            raise Refused(f"the step computes something else when gradients are on ({value.source})")
    names = [value.name for value, each in zip(graph.inputs, moved, strict=True) if each.requires_grad]
    for name, a, b in zip(names, ours, theirs, strict=True):
        if not _alike(a, b):
            raise Refused(f"the step has a derivative by {name} of its own (no_grad, .data or autograd.Function)")


def _moved(example: Tensor, by_row: bool, generator: torch.Generator) -> Tensor:
    """A tensor like the example where no derivative is zero by accident: rows at random, parameters a bit off."""
    if by_row:
        shape = (_ROWS, *example.shape[1:])
        if not example.is_floating_point():
            return example.new_zeros(shape)
        return torch.randn(shape, generator=generator, dtype=example.dtype).requires_grad_()
    return (example + 0.1).requires_grad_() if example.is_floating_point() else example


def _gradients(results: Sequence[Tensor], weights: Sequence[Tensor], wanted: Sequence[Tensor]) -> Sequence[Tensor]:
    terms = [(y * w).sum() for y, w in zip(results, weights, strict=True) if y.requires_grad]
    if not terms:
        return [torch.zeros_like(each) for each in wanted]
    return torch.autograd.grad(torch.stack(terms).sum(), wanted, allow_unused=True, materialize_grads=True)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree but for rounding, wherever both are finite."""
    if not a.is_floating_point():
        return torch.equal(a, b)
    error, norm = torch.dist(a, b), b.norm()
    if not error.isfinite():
        finite = a.isfinite() & b.isfinite()
        error, norm = torch.dist(a[finite], b[finite]), b[finite].norm()
    return bool(error <= _TOLERANCE.get(a.dtype, 1e-2) * norm.clamp(min=1e-3))
