"""What a backward loop keeps, and that its parts give PyTorch's derivative of one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from elman.engine.evaluate import evaluate
from elman.engine.gradient import Gradient, differentiate
from elman.engine.split import split
from elman.engine.trace import Graph, trace

aten = torch.ops.aten


def gradient_of(step: Callable[..., Any]) -> tuple[Graph, Gradient]:
    graph = trace(
        lambda w, x, h: [n := step(w, x, h), n],
        lambda rows: [torch.zeros(3, 3), torch.zeros(rows, 3), torch.zeros(rows, 3)],
    )
    core, state = split(graph, 1, 1).core, graph.inputs[-1]
    whole = [value for value in core.inputs if not value.by_row]
    stepped = [value for value in core.inputs if value.by_row and value is not state]
    return core, differentiate(core, [state], whole, stepped)


def test_a_plain_step_saves_nothing_but_its_states() -> None:
    _, gradient = gradient_of(lambda w, x, h: torch.tanh(h @ w + x))
    assert not gradient.saved


def test_what_a_product_feeds_is_saved_once() -> None:
    _, gradient = gradient_of(lambda w, x, h: h * torch.sigmoid(h @ w) + x)
    assert [value.name for value in gradient.saved.values()] == ["sigmoid"]


def test_one_step_has_pytorchs_derivative() -> None:
    core, gradient = gradient_of(lambda w, x, h: h * torch.sigmoid(h @ w) + torch.tanh(x))
    w, x, h = torch.randn(3, 3), torch.randn(2, 3), torch.randn(2, 3)
    given, carried = torch.randn(2, 3), torch.randn(2, 3)
    by_name = {"arg0_1": w, "arg1_1": x, "arg2_1": h}
    forward = {value: by_name[value.name] for value in core.inputs}
    evaluate(core, forward, 2)
    known = dict(zip(gradient.whole, [w], strict=True)) | dict(zip(gradient.stepped, [x], strict=True))
    known |= {gradient.before[0]: h, gradient.after[0]: forward[core.outputs[0]], gradient.carried[0]: carried}
    known |= {value: forward[twin] for value, twin in gradient.saved.items()}
    known |= dict.fromkeys(gradient.given, given)
    for part in (gradient.parts.once, gradient.parts.pre, gradient.parts.core, gradient.parts.post):
        evaluate(part, known, 2)
    leaves = [each.clone().requires_grad_() for each in (w, x, h)]
    new = leaves[2] * torch.sigmoid(leaves[2] @ leaves[0]) + torch.tanh(leaves[1])
    expected = torch.autograd.grad(new, leaves, carried + given * len(gradient.given))
    found = [*(known[value] for value in gradient.results), known[gradient.parts.core.outputs[0]]]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_loop_without_products_finishes_the_inputs_gradients() -> None:
    _, gradient = gradient_of(lambda w, x, h: h * torch.sigmoid(x) + torch.exp(-x))
    assert not gradient.parts.pre.values and not gradient.parts.post.values
    assert any(value in gradient.parts.core.outputs for value in gradient.results)
    _, with_product = gradient_of(lambda w, x, h: torch.tanh(h @ w) * torch.sigmoid(x))
    after = {value.op for value in with_product.parts.post.values}
    assert aten.mm.default in after and aten.mul.Tensor in after


def test_constants_have_no_gradient() -> None:
    core, gradient = gradient_of(lambda w, x, h: h + torch.nn.functional.logsigmoid(x))
    constants = [value for value in core.inputs if not value.by_row and not value.shape]
    assert constants
    assert gradient.results[: len(gradient.whole)] == [None] * len(constants)
