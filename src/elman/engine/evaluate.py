"""Run a graph with ordinary PyTorch."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from .cpu.ways import multiplies_bf16
from .kinds import PRODUCTS
from .trace import ROWS, Graph, Value

_ROUNDING = {*PRODUCTS, torch.ops.aten.bmm.default, torch.ops.aten.convolution.default}
_VIEWS = {torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default}


def evaluate(graph: Graph, known: dict[Value, Tensor], rows: int, *, bf16: bool = False) -> None:
    """Adds the graph's values to ``known``, which holds its inputs; ``rows`` stands where the trace left them open.

    ``bf16`` rounds what products take and give to bfloat16, as autocast does, and leaves everything else as it is.
    Autocast itself is off meanwhile.

    >>> from elman.engine.trace import trace
    >>> import torch
    >>> graph = trace(lambda x: [x.sum(-1)], lambda rows: [torch.zeros(rows, 3)])
    >>> known = {graph.inputs[0]: torch.ones(2, 3)}
    >>> evaluate(graph, known, rows=2)
    >>> known[graph.outputs[0]]
    tensor([3., 3.])
    """
    with without_autocast():
        for value in graph.values:
            args = [_actual(each, known, rows) for each in value.args]
            kwargs = {name: _actual(each, known, rows) for name, each in value.kwargs.items()}
            # Traced on contiguous tensors; others may have no such view.
            op = torch.reshape if value.op in _VIEWS else value.op
            if bf16 and value.op in _ROUNDING:
                # Without instructions for them PyTorch's products of bfloat16 are slow, those of float32 no different.
                made = op(*(_rounded(each, widen=not multiplies_bf16()) for each in args), **kwargs)
                known[value] = made.bfloat16().to(value.dtype)
            else:
                known[value] = op(*args, **kwargs)


def without_autocast() -> contextlib.AbstractContextManager[Any]:
    """Autocast off on the CPU, where it is on."""
    on = torch.is_autocast_enabled("cpu")
    return torch.autocast("cpu", enabled=False) if on else contextlib.nullcontext()


def _rounded(argument: Any, *, widen: bool) -> Any:
    if not isinstance(argument, Tensor) or argument.dtype != torch.float32:
        return argument
    return argument.bfloat16().float() if widen else argument.bfloat16()


def _actual(argument: Any, known: dict[Value, Tensor], rows: int) -> Any:
    if isinstance(argument, tuple):
        return [_actual(each, known, rows) for each in argument]
    if isinstance(argument, Value):
        return known[argument]
    return rows if argument is ROWS else argument
