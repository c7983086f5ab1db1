"""Shapes, problems, and what is held to be right."""

from __future__ import annotations

import pytest
import torch

from elman.bench.cases import (
    FORWARD,
    RAGGED,
    STANDARD,
    STREAM,
    Case,
    Shape,
    make_problem,
    parse_shapes,
    truth,
    worst_error,
)
from elman.errors import UserError

SHAPE = Shape(7, 3, 4)


def test_shapes_by_size_and_by_name() -> None:
    assert parse_shapes(()) == ()
    assert parse_shapes(("standard", "2x3x4", "50x64x64")) == (*STANDARD, Shape(2, 3, 4))
    assert str(Shape(2, 3, 4)) == "2x3x4"


@pytest.mark.parametrize("word", ["2x3", "2x3x4x5", "0x1x1", "1x-1x1", "2X3X4", "axbxc", "", "big"])
def test_what_is_no_shape(word: str) -> None:
    with pytest.raises(
        UserError, match=r"is no shape; write steps x batch x units as 100x64x512, or standard or quick"
    ):
        parse_shapes((word,))


def test_an_unknown_dtype() -> None:
    with pytest.raises(UserError, match="unknown dtype 'float16'; did you mean 'float"):
        Case("lstm", SHAPE, dtype="float16")


@pytest.mark.parametrize(("cell", "factor"), [("lstm", 8), ("gru", 6), ("rnn", 2), ("mgu", 4), ("layernormlstm", 8)])
def test_operations(cell: str, factor: int) -> None:
    forward = factor * SHAPE.batch * SHAPE.hidden * 2 * SHAPE.hidden * SHAPE.time
    assert make_problem(Case(cell, SHAPE, FORWARD)).operations == forward
    assert make_problem(Case(cell, SHAPE)).operations == 3 * forward


def test_ragged_operations_are_those_of_the_steps_there_are() -> None:
    problem = make_problem(Case("lstm", SHAPE, RAGGED))
    assert problem.lengths is not None
    assert 3 <= int(problem.lengths.sum()) < 21
    assert problem.operations == 3 * 8 * SHAPE.hidden * 2 * SHAPE.hidden * int(problem.lengths.sum())


def test_a_problem_is_the_same_whenever_made_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    one, two = (make_problem(Case("scrn", SHAPE, kind)) for kind in (FORWARD, RAGGED))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.x, two.x) and torch.equal(one.output_gradient, two.output_gradient)
    assert all(map(torch.equal, one.cell.parameters(), two.cell.parameters()))
    assert one.lengths is None and two.lengths is not None


@pytest.mark.parametrize("dtype", ["float32", "float64", "bf16"])
def test_truth_is_torchs_in_float64(dtype: str) -> None:
    problem = make_problem(Case("lstm", SHAPE, dtype=dtype))
    found = truth(problem)
    assert not problem.x.requires_grad and problem.x.dtype == (torch.float64 if dtype == "float64" else torch.float32)
    module = torch.nn.LSTM(4, 4).double()
    module.load_state_dict({f"{name}_l0": each for name, each in problem.cell.state_dict().items()})
    x = problem.x.double().requires_grad_()
    y = module(x)[0]
    y.backward(problem.output_gradient.double())
    expected = {"y": y, "x": x.grad} | {name.removesuffix("_l0"): each.grad for name, each in module.named_parameters()}
    assert found.keys() == expected.keys()
    assert worst_error(expected, found) < 1e-14


def test_truth_of_a_forward_and_of_a_stream_is_the_output_alone() -> None:
    outputs = [truth(make_problem(Case("gru", SHAPE, kind))) for kind in (FORWARD, STREAM)]
    assert [list(each) for each in outputs] == [["y"], ["y"]]
    assert torch.equal(outputs[0]["y"], outputs[1]["y"])


def test_truth_of_a_ragged_batch_is_zero_past_the_end() -> None:
    problem = make_problem(Case("lstm", SHAPE, RAGGED))
    found = truth(problem)
    past = torch.arange(7).unsqueeze(1) >= problem.lengths
    assert past.any()
    assert found["y"][past].eq(0).all() and found["x"][past].eq(0).all() and found["y"][~past].ne(0).all()


def test_the_worst_error_is_of_any_tensor() -> None:
    right = {"y": torch.ones(4), "x": torch.full((4,), 2.0)}
    assert worst_error(right, right) == 0
    assert worst_error(right | {"more": torch.ones(1)}, right) == 0
    assert worst_error(right | {"x": torch.tensor([2.0, 2.0, 2.0, 2.4])}, right) == pytest.approx(0.1)
    assert worst_error({"y": right["y"]}, right) == float("inf")
    assert worst_error(right | {"x": torch.ones(2, 2)}, right) == float("inf")
    assert worst_error(right | {"x": torch.tensor([2.0, 2.0, 2.0, float("nan")])}, right) == float("inf")
    assert worst_error({"y": torch.zeros(2)}, {"y": torch.zeros(2)}) == 0
