"""Run a graph with ordinary PyTorch."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from .operators import PRODUCTS
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
            rounding = bf16 and value.op in _ROUNDING
            known[value] = op(*map(_rounded, args), **kwargs).to(value.dtype) if rounding else op(*args, **kwargs)


def without_autocast() -> contextlib.AbstractContextManager[Any]:
    """Autocast off on the CPU, where it is on."""
    on = torch.is_autocast_enabled("cpu")
    return torch.autocast("cpu", enabled=False) if on else contextlib.nullcontext()


def _rounded(argument: Any) -> Any:
    return argument.bfloat16() if isinstance(argument, Tensor) and argument.dtype == torch.float32 else argument


def _actual(argument: Any, known: dict[Value, Tensor], rows: int) -> Any:
    if isinstance(argument, tuple):
        return [_actual(each, known, rows) for each in argument]
    if isinstance(argument, Value):
        return known[argument]
    return rows if argument is ROWS else argument
