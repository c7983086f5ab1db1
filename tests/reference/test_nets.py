"""The NumPy nets against finite differences, and against the compiled loop with the same weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import elman
from elman.cell import find_cell
from elman.errors import UserError
from elman.reference import lstm, rnn
from elman.reference.shared import sigmoid

from .conftest import BATCH, HIDDEN, INPUT, Array, Problem


def members(state: Any) -> list[Array]:
    return list(state) if isinstance(state, tuple) else [state]


def loss(problem: Problem) -> float:
    """A function of all outputs and the last state whose gradients are ``dys`` and ``dstate``."""
    ys, last, _ = problem.net.forward(problem.params, problem.x, problem.state)
    pairs = zip(members(last), members(problem.dstate), strict=True)
    return float((ys * problem.dys).sum() + sum((a * b).sum() for a, b in pairs))


def backward(problem: Problem) -> tuple[dict[str, Array], Array, Any]:
    _, _, caches = problem.net.forward(problem.params, problem.x, problem.state)
    return problem.net.backward(problem.params, caches, problem.dys, problem.dstate)


def slopes(problem: Problem, array: Array) -> Iterator[tuple[tuple[int, ...], float]]:
    """The loss's slope along every number of an array that the problem holds, by central differences."""
    for place in np.ndindex(array.shape):
        kept = array[place]
        ends = []
        for step in (1e-5, -1e-5):
            array[place] = kept + step
            ends.append(loss(problem))
        array[place] = kept
        yield place, (ends[0] - ends[1]) / 2e-5


def test_every_gradient_is_the_slope_of_the_loss(problem: Problem) -> None:
    gradients, dx, dstate = backward(problem)
    arrays = [*((problem.params[name], gradients[name]) for name in problem.params), (problem.x, dx)]
    arrays += zip(members(problem.state), members(dstate), strict=True)
    assert len(arrays) == 5 + len(members(problem.state))
    for array, gradient in arrays:
        assert gradient.shape == array.shape
        for place, slope in slopes(problem, array):
            assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_outputs_and_gradients_are_those_of_the_compiled_loop(problem: Problem) -> None:
    cell = find_cell(problem.name)(INPUT, HIDDEN, dtype=torch.float64)
    cell.load_state_dict({name: torch.from_numpy(each) for name, each in problem.params.items()})
    x = torch.from_numpy(problem.x).requires_grad_()
    state = [torch.from_numpy(each).requires_grad_() for each in members(problem.state)]
    y, last = elman.scan(cell, x, tuple(state) if len(state) > 1 else state[0], backend="cpu")
    dlast = [torch.from_numpy(each) for each in members(problem.dstate)]
    lasts = list(last) if isinstance(last, tuple) else [last]
    torch.autograd.backward([y, *lasts], [torch.from_numpy(problem.dys), *dlast])

    ys, ours, _ = problem.net.forward(problem.params, problem.x, problem.state)
    gradients, dx, dstate = backward(problem)
    pairs = [(ys, y), (dx, x.grad), *zip(members(ours), lasts, strict=True)]
    pairs += [(d, leaf.grad) for d, leaf in zip(members(dstate), state, strict=True)]
    pairs += [(gradients[name], parameter.grad) for name, parameter in cell.named_parameters()]
    for expected, actual in pairs:
        np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_without_states_it_starts_from_zeros_and_no_gradient_comes_from_behind(problem: Problem) -> None:
    zeros = tuple(np.zeros((BATCH, HIDDEN)) for _ in members(problem.state))
    zero = zeros if len(zeros) > 1 else zeros[0]
    net, params, x = problem.net, problem.params, problem.x
    ys, _, caches = net.forward(params, x)
    np.testing.assert_array_equal(ys, net.forward(params, x, zero)[0])
    ours, explicit = net.backward(params, caches, problem.dys), net.backward(params, caches, problem.dys, zero)
    for name in params:
        np.testing.assert_array_equal(ours[0][name], explicit[0][name])


def test_two_halves_are_the_whole(problem: Problem) -> None:
    net, params, x = problem.net, problem.params, problem.x
    ys, last, _ = net.forward(params, x, problem.state)
    first, middle, before = net.forward(params, x[:3], problem.state)
    second, end, after = net.forward(params, x[3:], middle)
    np.testing.assert_array_equal(np.concatenate([first, second]), ys)
    np.testing.assert_array_equal(members(end), members(last))

    whole = backward(problem)
    behind, dx_behind, carried = net.backward(params, after, problem.dys[3:], problem.dstate)
    front, dx_front, dstate = net.backward(params, before, problem.dys[:3], carried)
    for name in params:
        np.testing.assert_allclose(behind[name] + front[name], whole[0][name], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.concatenate([dx_front, dx_behind]), whole[1], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(members(dstate), members(whole[2]), rtol=1e-12, atol=1e-14)


def test_nothing_given_is_changed(problem: Problem) -> None:
    arrays = [problem.x, problem.dys, *problem.params.values(), *members(problem.state), *members(problem.dstate)]
    before = [each.copy() for each in arrays]
    backward(problem)
    for now, then in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_fresh_parameters_lie_within_one_over_root_h(problem: Problem) -> None:
    params = problem.net.start(30, 16, np.random.default_rng(1))
    shapes = {name: tuple(each.shape) for name, each in find_cell(problem.name)(30, 16).named_parameters()}
    assert {name: each.shape for name, each in params.items()} == shapes
    for each in params.values():
        assert each.dtype == np.float64
        assert 0.2 < np.abs(each).max() <= 0.25


def test_the_logistic_function_does_not_overflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(sigmoid(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])
    z = np.linspace(-20, 20, 81)
    np.testing.assert_allclose(sigmoid(z), 1 / (1 + np.exp(-z)), rtol=1e-7)


def test_bad_inputs(problem: Problem) -> None:
    net, params, x = problem.net, problem.params, problem.x
    with pytest.raises(UserError, match=r"x is \(7, 3\); expected \(T, B, 2\)"):
        net.forward(params, x[..., 0])
    with pytest.raises(UserError, match=r"x is \(7, 3, 1\); expected \(T, B, 2\)"):
        net.forward(params, x[..., :1])
    row = tuple(each[:1] for each in members(problem.state))
    with pytest.raises(UserError, match=r"the state is \(1, 4\); expected \(B, H\) = \(3, 4\)"):
        net.forward(params, x, row if net is lstm else row[0])
    with pytest.raises(UserError, match="dys has 6 steps and the forward pass had 7"):
        net.backward(params, net.forward(params, x)[2], problem.dys[1:])
    with pytest.raises(UserError, match="hidden_size=0"):
        rnn.start(3, 0, np.random.default_rng(0))
