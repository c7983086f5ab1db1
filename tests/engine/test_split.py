"""Which part of a step each operator lands in, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from elman.engine.split import Split, ancestors, dependents, split
from elman.engine.trace import trace


def parts_of(step: Callable[..., Any]) -> Split:
    """Of a step of (w, x, h): one parameter, one input, one state."""
    graph = trace(step, lambda rows: [torch.zeros(3, 3), torch.zeros(rows, 3), torch.zeros(rows, 3)])
    return split(graph, 1, 1)


def names(parts: Split) -> list[list[str]]:
    return [[value.name for value in part.values] for part in (parts.once, parts.pre, parts.core, parts.post)]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda w, x, h: [n := torch.tanh(x @ w + h), n], [[], ["mm"], ["add", "tanh"], []]),
        (lambda w, x, h: [n := torch.tanh(x @ torch.exp(w) + h), n], [["exp"], ["mm"], ["add", "tanh"], []]),
        (lambda w, x, h: [(n := torch.tanh(h + x)) @ w, n], [[], [], ["add", "tanh"], ["mm"]]),
        (lambda w, x, h: [n := torch.tanh(h + torch.exp(-x)), n], [[], [], ["neg", "exp", "add", "tanh"], []]),
        (lambda w, x, h: [torch.exp(-x), h * torch.exp(-x)], [[], ["neg", "exp"], ["neg_1", "exp_1", "mul"], []]),
        (lambda w, x, h: [x, torch.tanh(x @ w)], [[], ["mm", "tanh"], [], []]),
    ],
)
def test_parts(step: Any, expected: list[list[str]]) -> None:
    assert names(parts_of(step)) == expected


def test_what_the_loop_repeats_is_also_there_before_it() -> None:
    parts = parts_of(lambda w, x, h: [(e := torch.exp(-x)), h * e])
    assert names(parts) == [[], ["neg", "exp"], ["neg", "exp", "mul"], []]


def test_ancestors_and_dependents() -> None:
    graph = trace(lambda x: [torch.exp(x) + 1, torch.sin(x)], lambda rows: [torch.zeros(rows, 2)])
    exp, add, sin = graph.values
    assert ancestors([add]) == {graph.inputs[0], exp, add}
    assert ancestors([add], but=[exp]) == {exp, add}
    assert dependents(graph, [exp]) == {exp, add}
    assert sin not in dependents(graph, [add])
