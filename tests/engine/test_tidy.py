"""Sums of scattered pieces as one concatenation, and no value computed twice."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import vjp

from elman.engine.evaluate import evaluate
from elman.engine.tidy import tidy
from elman.engine.trace import Graph, operator_name, trace


def run(graph: Graph, *tensors: Tensor) -> list[Tensor]:
    known = dict(zip(graph.inputs, tensors, strict=True))
    evaluate(graph, known, len(tensors[0]))
    return [known[value] for value in graph.outputs]


def traced(step: object, *widths: int) -> Graph:
    return trace(step, lambda rows: [torch.zeros(rows, width) for width in widths])  # type: ignore[arg-type]


def operators(graph: Graph) -> list[str]:
    return [operator_name(value) for value in graph.values]


def scattered(cuts: list[tuple[int, int]], size: int) -> object:
    """The derivative of taking columns: each piece scattered in zeros of its own, all added."""

    def step(*pieces: Tensor) -> list[Tensor]:
        take = lambda x: tuple(x[:, begin:end] for begin, end in cuts)  # noqa: E731
        return [vjp(take, torch.zeros(len(pieces[0]), size))[1](pieces)[0]]

    return step


def test_pieces_that_fill_a_tensor_become_one_concatenation() -> None:
    graph = traced(scattered([(2, 5), (0, 2), (5, 6)], 6), 3, 2, 1)
    pieces = [torch.randn(4, width) for width in (3, 2, 1)]
    tidied = tidy(graph)
    assert operators(tidied) == ["cat"]
    assert torch.equal(run(tidied, *pieces)[0], torch.cat([pieces[1], pieces[0], pieces[2]], 1))


def test_pieces_with_a_gap_or_an_overlap_stay_a_sum() -> None:
    for cuts in ([(0, 2), (3, 5)], [(0, 3), (2, 5)]):
        widths = [end - begin for begin, end in cuts]
        pieces = [torch.randn(4, width) for width in widths]
        expected = torch.zeros(4, 5)
        for (begin, end), piece in zip(cuts, pieces, strict=True):
            expected[:, begin:end] += piece
        tidied = tidy(traced(scattered(cuts, 5), *widths))
        assert "cat" not in operators(tidied)
        torch.testing.assert_close(run(tidied, *pieces)[0], expected)


def test_what_is_computed_twice_is_computed_once() -> None:
    graph = tidy(traced(lambda x: [torch.tanh(x) + 1, torch.tanh(x) + 2.0, torch.tanh(x) + 1], 3))
    assert operators(graph).count("tanh") == 1 and operators(graph).count("add") == 2
    x = torch.randn(2, 3)
    first, second, third = run(graph, x)
    assert torch.equal(first, torch.tanh(x) + 1) and torch.equal(second, torch.tanh(x) + 2) and first is third


def test_what_nobody_reads_goes() -> None:
    assert operators(tidy(traced(lambda x: [(x.exp(), x + 1)[1]], 3))) == ["add"]
