"""A whole compiled scan with a kernel in plain Python in place of machine code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from elman.engine.evaluate import evaluate
from elman.engine.loop import scan_compiled
from elman.engine.program import Program, make_program
from elman.engine.trace import Refused


def in_python(
    plan: Any,
    time: int,
    whole: Any,
    stepped: Any,
    stacks: list[Tensor],
    outputs: list[Tensor],
    *,
    reverse: bool,
    **_: Any,
) -> None:
    for t in reversed(range(time)) if reverse else range(time):
        old, new = (t + 1, t) if reverse else (t, t + 1)
        known = {**whole, **{value: each[t] for value, each in stepped.items()}}
        known |= {value: stack[old % len(stack)] for value, stack in zip(plan.states, stacks, strict=True)}
        evaluate(plan.core, known, stacks[0].shape[1])
        for stack, value in zip(stacks, plan.core.outputs, strict=False):
            stack[new % len(stack)] = known[value]
        for output, value in zip(outputs, plan.outputs, strict=True):
            output[t] = known[value]


def step(w: Tensor, x: Tensor, h: Tensor) -> list[Tensor]:
    h = h * torch.sigmoid(h @ w) + torch.tanh(x @ w)
    return [torch.exp(h) @ w, h]


def program() -> Program:
    return make_program(step, [torch.zeros(3, 3)], [torch.zeros(2, 3)], [torch.zeros(2, 3)])


@pytest.mark.parametrize("reverse", [False, True])
def test_values_and_gradients(reverse: bool) -> None:
    w, x, h = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 3), (4, 2, 3), (2, 3)))
    made = make_program(step, [w.detach()], [x[0].detach()], [h.detach()])
    (y,), (final,) = scan_compiled(made, in_python, [w], [x], [h], reverse=reverse)
    state, rows = h, {}
    for t in reversed(range(4)) if reverse else range(4):
        rows[t], state = step(w, x[t], state)
    expected = torch.stack([rows[t] for t in range(4)])
    torch.testing.assert_close((y, final), (expected, state))
    ours = torch.autograd.grad(y.square().sum() + final.sum(), (w, x, h))
    theirs = torch.autograd.grad(expected.square().sum() + state.sum(), (w, x, h))
    torch.testing.assert_close(ours, theirs)


def test_parts_of_the_program() -> None:
    made = program()
    assert [value.name for value in made.parts.pre.values] == ["mm_1"]
    assert [value.name for value in made.parts.post.values] == ["exp", "mm_2"]
    assert [value.name for value in made.training.outputs] == ["sigmoid"]
    assert made.inference.outputs == []


def test_refused() -> None:
    with pytest.raises(Refused, match="mix the rows"):
        make_program(lambda x, h: [h, h + x - x.mean(0)], [], [torch.zeros(2, 3)], [torch.zeros(2, 3)])
    with pytest.raises(Refused, match="same for all rows"):
        make_program(lambda w, x, h: [w, h + x], [torch.zeros(3)], [torch.zeros(2, 3)], [torch.zeros(2, 3)])
