"""Run a graph with ordinary PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .trace import ROWS, Graph, Value

_VIEWS = {torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default}


def evaluate(graph: Graph, known: dict[Value, Tensor], rows: int) -> None:
    """Adds the graph's values to ``known``, which holds its inputs; ``rows`` stands where the trace left them open.

    >>> from elman.engine.trace import trace
    >>> import torch
    >>> graph = trace(lambda x: [x.sum(-1)], lambda rows: [torch.zeros(rows, 3)])
    >>> known = {graph.inputs[0]: torch.ones(2, 3)}
    >>> evaluate(graph, known, rows=2)
    >>> known[graph.outputs[0]]
    tensor([3., 3.])
    """

    for value in graph.values:
        args = [_actual(each, known, rows) for each in value.args]
        kwargs = {name: _actual(each, known, rows) for name, each in value.kwargs.items()}
        # Traced on contiguous tensors; others may have no such view.
        op = torch.reshape if value.op in _VIEWS else value.op
        known[value] = op(*args, **kwargs)


def _actual(argument: Any, known: dict[Value, Tensor], rows: int) -> Any:
    if isinstance(argument, tuple):
        return [_actual(each, known, rows) for each in argument]
    if isinstance(argument, Value):
        return known[argument]
    return rows if argument is ROWS else argument
