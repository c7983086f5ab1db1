"""The long-memory problems against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.data.long_memory import PROBLEMS, Adding, Copy, LongMemory, Order
from elman.errors import UserError

seeds = st.integers(0, 2**62)
quick = settings(max_examples=40, deadline=None)


@quick
@given(time=st.integers(4, 300), seed=seeds, form=st.sampled_from(["halves", "anywhere"]))
def test_adding_marks_two_numbers_and_asks_for_their_sum(time: int, seed: int, form: str) -> None:
    x, y, lengths = Adding(time, 8, seed, form=form).batch(3)
    assert x.shape == (time, 8, 2) and x.dtype == torch.float32 and lengths.tolist() == [time] * 8
    numbers, marks = x.unbind(-1)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert set(marks.unique().tolist()) == {0.0, 1.0} and marks.sum(0).tolist() == [2.0] * 8
    if form == "halves":
        assert marks[: time // 2].sum(0).tolist() == [1.0] * 8
    torch.testing.assert_close((numbers * marks).sum(0), y)


@quick
@given(time=st.integers(4, 300), seed=seeds)
def test_adding_as_hochreiter_and_schmidhuber_have_it(time: int, seed: int) -> None:
    x, y, lengths = Adding(time, 8, seed, form="original").batch(0)
    assert len(x) == lengths.max() and lengths.min() >= time and lengths.max() <= time + time // 10
    for row, length in enumerate(lengths.tolist()):
        number, mark = x[:length, row].unbind(-1)
        assert number.abs().max() <= 1 and not x[length:, row].any()
        marked = (mark == 1).nonzero().flatten().tolist()
        assert len(marked) == 2 and marked[0] < min(10, time // 2) and marked[1] < time // 2
        assert mark[-1] == -1 and mark[0] == (1 if marked[0] == 0 else -1)
        assert marked[0] > 0 or number[0] == 0
        assert mark[1:-1].abs().sum() == sum(each > 0 for each in marked)
        torch.testing.assert_close(y[row], 0.5 + number[marked].sum() / 4)


@quick
@given(time=st.integers(1, 200), seed=seeds, items=st.integers(1, 12))
def test_copy(time: int, seed: int, items: int) -> None:
    problem = Copy(time, 5, seed, items=items)
    x, y, lengths = problem.batch(0)
    assert x.shape == y.shape == (time + 2 * items, 5) and x.dtype == y.dtype == torch.int64
    assert lengths.tolist() == [time + 2 * items] * 5
    assert x[:items].min() >= 0 and x[:items].max() <= 7
    assert (x[items : items + time - 1] == 8).all() and (x[items + time - 1] == 9).all()
    assert (x[items + time :] == 8).all() and len(x[items + time :]) == items
    assert (y[: time + items] == 8).all() and torch.equal(y[time + items :], x[:items])
    assert torch.equal(y[problem.lag :], x[: -problem.lag].where(x[: -problem.lag] < 8, 8))


@quick
@given(time=st.integers(10, 300), seed=seeds, marks=st.sampled_from([2, 3]), spread=st.sampled_from([0.0, 0.1]))
def test_order(time: int, seed: int, marks: int, spread: float) -> None:
    x, y, lengths = Order(time, 6, seed, marks=marks, spread=spread).batch(1)
    assert lengths.min() >= time and lengths.max() <= time * (1 + spread)
    for row, length in enumerate(lengths.tolist()):
        word = "".join(Order.SYMBOLS[symbol] for symbol in x[:length, row])
        assert word[0] == "E" and word[-1] == "B" and not x[length:, row].any()
        kept = [t for t, symbol in enumerate(word) if symbol in "XY"]
        assert len(kept) == marks and not set(word[1:-1]) - set("abcdXY")
        for t, (low, high) in zip(kept, Order.WINDOWS[marks], strict=True):
            assert time * low // 100 <= t <= time * high // 100
        assert y[row] == int("".join(str("XY".index(word[t])) for t in kept), 2)


def test_the_windows_are_the_papers_at_100_steps() -> None:
    x, _, lengths = Order(100, 4000).batch(0)
    first, second = (x >= 6).nonzero()[:, 0][(x >= 6).nonzero()[:, 1].argsort(stable=True)].view(-1, 2).unbind(1)
    assert (first.min(), first.max(), second.min(), second.max()) == (10, 20, 50, 60)
    assert (lengths.min(), lengths.max()) == (100, 110)


@pytest.mark.parametrize(
    "problem",
    [Adding(20, 20_000), Adding(20, 20_000, form="anywhere"), Adding(30, 20_000, form="original")],
    ids=lambda problem: problem.form,
)
def test_the_chance_of_adding_is_the_variance_of_its_answer(problem: LongMemory) -> None:
    y = problem.batch(0).y.double()
    assert y.mean().item() == pytest.approx(0.5 if problem.chance < 0.1 else 1.0, abs=0.01)
    assert y.var().item() == pytest.approx(problem.chance, rel=0.03)


def test_the_chance_of_copy_and_order_is_the_entropy_of_their_answers() -> None:
    assert Copy(1000).chance == pytest.approx(10 * math.log(8) / 1020)
    assert Copy(1000).chance == pytest.approx(0.0204, abs=1e-4)  # as the TCN's authors print it
    assert (Order(50).chance, Order(50, marks=3).chance) == pytest.approx((math.log(4), math.log(8)))
    counts = torch.bincount(Order(50, 8000, marks=3).batch(0).y, minlength=8)
    assert counts.min() > 850 and counts.max() < 1150


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_a_seed_and_a_number_are_a_batch(name: str) -> None:
    problem = PROBLEMS[name](40, 3, seed=5)
    first, second = next(problem), next(problem)
    assert not torch.equal(first.x, second.x)
    assert all(map(torch.equal, second, PROBLEMS[name](40, 3, seed=5).batch(1)))
    assert not torch.equal(first.x, PROBLEMS[name](40, 3, seed=5 + 2**32).batch(0).x[: len(first.x)])
    copy = PROBLEMS[name](40, 3, seed=5)
    copy.load_state_dict(problem.state_dict())
    assert copy.epoch == problem.epoch == 0.002 and all(map(torch.equal, next(copy), next(problem)))


def test_lag_is_the_least_distance() -> None:
    for problem in (Adding(101, 2000), Adding(101, 2000, form="original")):
        x, _, lengths = problem.batch(0)
        first = torch.tensor([int((x[:, row, 1] == 1).nonzero()[0]) for row in range(2000)])
        least = first[lengths == 101].max() if problem.form == "halves" else 9
        assert 100 - least == problem.lag and first.max() == least
    x, _, lengths = Order(100, 2000, spread=0.0).batch(0)
    last = np.array([(x[:, row] >= 6).nonzero()[0].item() for row in range(2000)]).max()
    assert lengths[0] - 1 - last == Order(100).lag == 79


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adding(3), "time is 3; the adding problem takes whole numbers from 4"),
        (lambda: Order(9), "time is 9; the order problem takes whole numbers from 10"),
        (lambda: Copy(0), "time is 0; the copy problem"),
        (lambda: Adding(10.0), "time is 10.0"),  # type: ignore[arg-type]
        (lambda: Adding(10, 0), "batch_size is 0"),
        (lambda: Adding(10, seed=-1), "seed is -1"),
        (lambda: Adding(10, form="halfs"), "no form 'halfs'; did you mean 'halves'"),
        (lambda: Copy(10, items=0), "items is 0"),
        (lambda: Order(10, marks=4), "marks is 4; the order problem has 2 or 3"),
        (lambda: Order(10, spread=2.0), "spread is 2.0"),
    ],
)
def test_mistakes(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
