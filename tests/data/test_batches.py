from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman import UserError
from elman.data import Batches, by_length, pad
from elman.data.batches import far_longer


def rows(lengths: list[int], batch_size: int, seed: int = 0) -> Batches[list[int]]:
    return Batches(lengths, batch_size, lambda numbers: numbers.tolist(), seed)


def epoch(batches: Batches[list[int]]) -> list[list[int]]:
    return [next(batches) for _ in range(batches.windows_per_epoch)]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 2**63 - 1))
def test_every_epoch_takes_every_example_once(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = rows(lengths, batch_size, seed)
    for done in (1.0, 2.0):
        taken = epoch(batches)
        assert sorted(row for batch in taken for row in batch) == list(range(len(lengths)))
        assert sorted(map(len, taken))[1:] == [batch_size] * (len(taken) - 1)
        assert batches.epoch == done


def test_epochs_and_seeds_differ_and_the_same_seed_repeats() -> None:
    lengths = list(range(40))
    first, second = epoch(one := rows(lengths, 4)), epoch(one)
    assert first != second
    assert first == epoch(rows(lengths, 4))
    assert first != epoch(rows(lengths, 4, seed=1))


def test_examples_of_a_batch_are_nearly_of_one_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 2000)
    padded = sum(len(batch) * lengths[batch].max() for batch in epoch(rows(lengths.tolist(), 16)))
    assert lengths.sum() / padded > 0.95
    assert lengths.sum() / (2000 * 49) < 0.6, "without sorting nearly half would be padding"


def test_batches_of_an_epoch_do_not_come_sorted() -> None:
    longest = [max(batch) for batch in epoch(rows(list(range(100)), 5))]
    assert longest != sorted(longest)


@given(st.integers(0, 25))
def test_it_resumes_anywhere(steps: int) -> None:
    lengths = [5, 1, 3, 2, 2, 7, 4]
    whole = rows(lengths, 2, seed=3)
    for _ in range(steps):
        next(whole)
    resumed = rows(lengths, 2, seed=3)
    resumed.load_state_dict(whole.state_dict())
    assert resumed.epoch == whole.epoch
    assert [next(resumed) for _ in range(9)] == [next(whole) for _ in range(9)]


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (rows([1, 2, 3, 4], 2), "the run trained with 3 examples, but here it is 4; resume with the data"),
        (rows([1, 2, 4], 2), "trained with 6 steps, but here it is 7"),
        (rows([1, 2, 3], 3), "trained with 2 batch size, but here it is 3"),
        (rows([1, 2, 3], 2, seed=1), "trained with 0 seed, but here it is 1"),
    ],
)
def test_another_run_is_refused(other: Batches[list[int]], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        other.load_state_dict(rows([1, 2, 3], 2).state_dict())


def test_bad_sizes() -> None:
    with pytest.raises(UserError, match="no examples to train on"):
        rows([], 2)
    with pytest.raises(UserError, match="batch_size is 0"):
        rows([1], 0)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 5))
def test_by_length_takes_all_once_the_shortest_first(lengths: list[int], batch_size: int) -> None:
    taken = np.concatenate(list(by_length(lengths, batch_size)))
    assert sorted(taken.tolist()) == list(range(len(lengths)))
    assert [lengths[row] for row in taken] == sorted(lengths)


def test_padding_is_zero_and_types_are_kept() -> None:
    x, lengths = pad([np.array([[1.5, 2.0]], np.float32), np.zeros((0, 2), np.float32), np.ones((3, 2), np.float32)])
    assert (x.shape, x.dtype, lengths.tolist()) == ((3, 3, 2), torch.float32, [1, 0, 3])
    assert x[:, 0].tolist() == [[1.5, 2.0], [0, 0], [0, 0]] and not x[:, 1].any()
    assert pad([np.array([7], np.uint8)])[0].dtype == torch.int64
    assert pad([np.zeros((0, 2))])[0].shape == (1, 1, 2), "a net needs at least one step"


@given(st.lists(st.sampled_from([0, 3, 50, 51, 1000, 1001, 1020, 1021, 9000, 40_000]), min_size=1, max_size=30))
def test_far_longer_than_most(lengths: list[int]) -> None:
    median = sorted(lengths + lengths)[len(lengths) - 1 : len(lengths) + 1]
    far = [row for row, length in enumerate(lengths) if length > 1000 and length > 10 * sum(median)]
    found = far_longer(lengths).tolist()
    assert sorted(found) == far
    assert [lengths[row] for row in found] == sorted((lengths[row] for row in far), reverse=True)
