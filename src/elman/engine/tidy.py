"""Tidy: what derivatives leave behind, written shorter. Pieces scattered in zeros and added up are a concatenation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from .kinds import FILLS, width
from .split import ancestors
from .trace import Graph, Value

aten = torch.ops.aten
Piece = tuple[int, int, Value]
"""Columns begin to end of a value, which are another value."""


def tidy(graph: Graph) -> Graph:
    """The graph with every sum of scattered pieces as one ``cat``, and without what nobody reads any more.

    The derivative of taking columns is PyTorch's ``slice_scatter`` into zeros, one a use, all added up: of a cell with
    three gates three tensors of three times the width, where one with the pieces side by side says the same.

    >>> from elman.engine.trace import trace
    >>> import torch
    >>> gates = lambda x: (x[:, :2] * 2, x[:, 2:] * 3)
    >>> step = lambda a, b: [torch.func.vjp(gates, torch.zeros(len(a), 4))[1]((a, b))[0]]
    >>> print(tidy(trace(step, lambda rows: [torch.zeros(rows, 2), torch.zeros(rows, 2)])))
    arg0_1: (B, 2)
    arg1_1: (B, 2)
    mul_2: (B, 2) = mul(arg1_1, 3)
    mul_3: (B, 2) = mul(arg0_1, 2)
    add: (B, 4) = cat((mul_3, mul_2), 1)
    return add
    """
    graph = _once_each(graph)
    pieces: dict[Value, list[Piece]] = {}
    values: list[Value] = []
    for value in graph.values:
        found = _pieces(value, pieces)
        if found:
            pieces[value] = found
            begins = [0, *(end for _, end, _ in found)]
            ends = [*(begin for begin, _, _ in found), width(value)]
            if begins == ends:  # nothing left between them
                value.op, value.args, value.kwargs = aten.cat.default, (tuple(v for _, _, v in found), 1), {}
        values.append(value)
    alive = ancestors(graph.outputs)
    return replace(graph, values=[value for value in values if value in alive])


def _once_each(graph: Graph) -> Graph:
    """What is computed twice computed once: of two biases added to one gate the gradient is the same sum."""
    first: dict[Any, Value] = {}
    same: dict[Value, Value] = {}
    for value in graph.values:
        value.args = replaced(value.args, same)
        value.kwargs = {name: replaced(each, same) for name, each in value.kwargs.items()}
        key = value.op, hashable(value.args), hashable(value.kwargs), value.shape, value.dtype
        if first.setdefault(key, value) is not value:
            same[value] = first[key]
    values = [value for value in graph.values if value not in same]
    return Graph(graph.inputs, values, [same.get(value, value) for value in graph.outputs])


def replaced(argument: Any, by: Mapping[Value, Value]) -> Any:
    """An argument with some values replaced by others."""
    if isinstance(argument, tuple):
        return tuple(replaced(each, by) for each in argument)
    return by.get(argument, argument) if isinstance(argument, Value) else argument


def hashable(argument: Any, names: Mapping[Value, Any] | None = None) -> Any:
    """An argument as a key, values by their ``names``, or as themselves."""
    if isinstance(argument, tuple | list):
        return tuple(hashable(each, names) for each in argument)
    if isinstance(argument, dict):
        return tuple((name, hashable(each, names)) for name, each in sorted(argument.items()))
    return (names or {}).get(argument, argument) if isinstance(argument, Value) else argument


def _pieces(value: Value, known: dict[Value, list[Piece]]) -> list[Piece]:
    """The pieces that a value is made of, zeros between them, in order; none for any other value."""
    if not value.by_row or len(value.shape) != 2:
        return []
    if value.op is aten.slice_scatter.default and _is_zeros(value.args[0]):
        source, piece, axis, begin, end, *step = value.args
        if axis % 2 == 1 and step in ([], [1]) and piece.shape[0] is source.shape[0]:
            begin, end = begin or 0, min(end, width(value))
            return [(begin, end, piece)]
    if value.op is aten.add.Tensor and not value.kwargs:
        a, b = value.args
        found = sorted(known.get(a, []) + known.get(b, []), key=lambda piece: piece[0])
        if a in known and b in known and all(x[1] <= y[0] for x, y in itertools.pairwise(found)):
            return found
    return []


def _is_zeros(value: Value) -> bool:
    return value.op in FILLS and (value.op is aten.zeros_like.default or value.args[1:2] == (0,))
