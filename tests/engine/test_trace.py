"""Traced graphs, printed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from elman.engine.evaluate import evaluate
from elman.engine.trace import ROWS, Refused, operator_name, trace


def rows_of(*widths: int) -> Callable[[int], Sequence[Tensor]]:
    return lambda rows: [torch.zeros(rows, width) for width in widths]


def test_chunks_become_slices_and_rows_stay_open() -> None:
    graph = trace(lambda x: [torch.tanh(x.chunk(2, -1)[1])], rows_of(6))
    assert [str(value.op) for value in graph.values][-2:] == ["aten.slice.Tensor", "aten.tanh.default"]
    assert graph.outputs[0].shape == (ROWS, 3)
    x = torch.randn(4, 6)
    known = {graph.inputs[0]: x}
    evaluate(graph, known, 4)
    assert torch.equal(known[graph.outputs[0]], torch.tanh(x[:, 3:]))


def test_what_is_done_in_place_becomes_values() -> None:
    graph = trace(lambda x: [(x * 2).add_(1).tanh_()], rows_of(3))
    assert [value.name for value in graph.values] == ["mul", "add", "tanh"]


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (lambda x: [x / len(x)], "batch size"),
        (lambda x: [x * (len(x) // 2)], "batch size"),
        (lambda x: [x + torch.rand(3)], "random"),
        (lambda x: [x if x.sum() > 0 else -x], "cannot be traced"),
        (lambda x: [x.add_(1)], "changes a tensor"),
        (lambda x: [x + OUTSIDE], "not a parameter"),
        (lambda x: [x.topk(2)[0]], "several tensors"),
    ],
)
def test_refused(fn: Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        trace(fn, rows_of(3))


OUTSIDE = torch.randn(3)


def normed(x: Tensor, w: Tensor) -> list[Tensor]:
    z = F.linear(x, w, w[0])
    z = F.layer_norm(z, z.shape[-1:])
    return [z / z.std(-1, keepdim=True)]


def test_what_an_operator_is_taken_apart_into_has_the_line_that_called_it() -> None:
    graph = trace(normed, lambda rows: [torch.zeros(rows, 3), torch.zeros(3, 3)])
    lines, first = inspect.getsourcelines(normed)
    of_line = {f"{__file__}:{first + number}": line.strip() for number, line in enumerate(lines)}
    found = {of_line[value.source]: operator_name(value) for value in graph.values}  # the last operator of each line
    assert found == {
        "z = F.linear(x, w, w[0])": "add",
        "z = F.layer_norm(z, z.shape[-1:])": "mul",
        "return [z / z.std(-1, keepdim=True)]": "div",
    }
