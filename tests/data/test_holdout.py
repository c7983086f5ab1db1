from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman import UserError
from elman.data import hold_out


@given(
    st.lists(st.sampled_from("abc"), min_size=3, max_size=80), st.floats(0.05, 0.6), st.integers(0, 9), st.booleans()
)
def test_the_parts_are_whole_and_apart(labels: list[str], share: float, seed: int, stratified: bool) -> None:
    train, valid = hold_out(len(labels), share, labels=labels if stratified else None, seed=seed)
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(labels)))
    assert len(train) and len(valid)


def test_every_label_gives_its_share() -> None:
    labels = ["a"] * 100 + ["b"] * 20 + ["c"] * 3
    train, valid = hold_out(len(labels), 0.2, labels=labels, seed=1)
    assert Counter(labels[row] for row in valid) == {"a": 20, "b": 4, "c": 1}
    assert len(train) == 98


def test_a_label_with_one_example_stays_in_training() -> None:
    _, valid = hold_out(11, 0.5, labels=["a"] * 10 + ["b"], seed=0)
    assert 10 not in valid


def test_labels_too_rare_to_share_still_leave_something_to_judge_by() -> None:
    train, valid = hold_out(4, 0.1, labels=list("abcd"))
    assert (len(train), len(valid)) == (3, 1)
    for seed in range(5):
        assert hold_out(5, 0.1, labels=list("aabcd"), seed=seed)[1].tolist()[0] in (0, 1), "b, c and d are alone"


@given(st.lists(st.integers(0, 6), min_size=8, max_size=60), st.floats(0.1, 0.5), st.integers(0, 5))
def test_no_group_is_on_both_sides(groups: list[int], share: float, seed: int) -> None:
    if len(set(groups)) < 2:
        groups[0] = 9
    train, valid = hold_out(len(groups), share, groups=groups, seed=seed)
    inside, outside = ({groups[row] for row in rows} for rows in (train, valid))
    assert not inside & outside
    assert inside and outside
    assert len(train) + len(valid) == len(groups)


def test_the_seed_decides() -> None:
    parts = [hold_out(50, 0.2, seed=seed)[1].tolist() for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((10, 1.0), "valid_share is 1.0; expected a part"),
        ((1,), "1 examples cannot be split"),
    ],
)
def test_what_cannot_be_split(arguments: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        hold_out(*arguments)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="1 groups cannot be split"):
        hold_out(4, groups=np.zeros(4).tolist())
