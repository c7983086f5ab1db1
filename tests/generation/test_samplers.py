from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import UserError
from elman.generation import Sampling, draw, forbid_ids, keep_top_k, keep_top_p

INF = math.inf
# Few distinct values, so that ties are common.
LOGITS = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=7)


def softmax(logits: list[float]) -> np.ndarray:
    e = np.exp(np.array(logits) - max(logits))
    return e / e.sum()


def kept(logits: torch.Tensor) -> list[int]:
    return [i for i, value in enumerate(logits.tolist()) if value > -INF]


@given(LOGITS, st.integers(1, 9))
def test_top_k_keeps_the_k_largest_lower_ids_first(logits: list[float], k: int) -> None:
    expected = sorted(sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:k])
    out = keep_top_k(torch.tensor(logits), k)
    assert kept(out) == expected
    assert all(out[i] == logits[i] for i in expected)


@given(LOGITS, st.floats(0.01, 0.99))
def test_top_p_is_the_smallest_set_with_enough_mass(logits: list[float], p: float) -> None:
    mass = softmax(logits)
    ids = kept(keep_top_p(torch.tensor(logits, dtype=torch.float64), p))
    assert mass[ids].sum() >= p - 1e-12
    for smaller in combinations(range(len(logits)), len(ids) - 1):
        assert mass[list(smaller)].sum() < p + 1e-12
    left_out = [i for i in range(len(logits)) if i not in ids]
    assert all((mass[i], -i) > (mass[j], -j) for i in ids for j in left_out)


def test_top_p_stops_exactly_at_the_mass() -> None:
    even = torch.zeros(4, dtype=torch.float64)
    assert kept(keep_top_p(even, 0.5)) == [0, 1]
    assert kept(keep_top_p(even, 0.5000001)) == [0, 1, 2]
    assert kept(keep_top_p(even, 1e-9)) == [0]


def test_top_p_of_one_keeps_the_rarest_type() -> None:
    logits = torch.tensor([0.0, -50.0, -80.0])
    assert torch.equal(keep_top_p(logits, 1.0), logits)


def test_rows_are_filtered_apart() -> None:
    logits = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    assert [kept(row) for row in keep_top_k(logits, 1)] == [[0], [2]]
    assert [kept(row) for row in keep_top_p(logits, 0.8)] == [[0], [2]]


@given(
    LOGITS,
    st.floats(0.1, 5.0),
    st.none() | st.integers(1, 8),
    st.none() | st.floats(0.05, 1.0),
)
def test_probabilities_by_hand(logits: list[float], temperature: float, k: int | None, p: float | None) -> None:
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:k]
    mass = softmax([logits[i] / temperature for i in order])
    if p is not None:
        before = np.concatenate([[0.0], np.cumsum(mass)[:-1]])
        if p < 1 and np.abs(before - p).min() < 1e-9:
            return
        order = [i for i, b in zip(order, before, strict=True) if b < p or p == 1]
    expected = np.zeros(len(logits))
    expected[order] = softmax([logits[i] / temperature for i in order])
    actual = Sampling(temperature=temperature, top_k=k, top_p=p).probabilities(torch.tensor([logits]))
    np.testing.assert_allclose(actual[0].numpy(), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("temperature", [0, 1e-3, 1e-30, 5e-324])
def test_temperature_to_zero_is_greedy(temperature: float, rng: torch.Generator) -> None:
    logits = torch.randn(50, 9, generator=rng, dtype=torch.float32) * 30
    cold = Sampling(temperature=temperature)
    assert torch.equal(cold(logits, rng), Sampling(greedy=True)(logits, rng))
    torch.testing.assert_close(
        cold.probabilities(logits), Sampling(greedy=True).probabilities(logits), rtol=0, atol=1e-9
    )


def test_tiny_temperature_shares_between_equals() -> None:
    shared = Sampling(temperature=1e-30).probabilities(torch.tensor([[2.0, 1.0, 2.0]]))
    assert shared.tolist() == [[0.5, 0.0, 0.5]]


def test_greedy_takes_the_lower_of_equals_and_no_random_number(rng: torch.Generator) -> None:
    before = rng.get_state()
    logits = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    ids = Sampling(greedy=True, top_k=2, top_p=0.3, temperature=9.0)(logits, rng)
    assert ids.tolist() == [1, 0]
    assert torch.equal(rng.get_state(), before)


def test_half_precision_is_widened(rng: torch.Generator) -> None:
    logits = torch.randn(4, 6, generator=rng).bfloat16()
    expected = logits.double().softmax(-1)
    assert torch.allclose(Sampling().probabilities(logits), expected, rtol=1e-14)


def test_draw_inverts_the_cumulative_sum_with_one_number_a_row() -> None:
    probabilities = torch.tensor([[0.2, 0.0, 0.5, 0.3]], dtype=torch.float64).repeat(500, 1)
    ids = draw(probabilities, torch.Generator().manual_seed(3))
    uniform = torch.rand(500, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = [0 if u < 0.2 else 2 if u < 0.7 else 3 for u in uniform[:, 0].tolist()]
    assert ids.tolist() == expected


def test_draw_frequencies(rng: torch.Generator) -> None:
    n = 200_000
    sampling = Sampling(temperature=0.7, top_k=3)
    logits = torch.tensor([0.3, 1.0, -0.5, 0.2])
    p = sampling.probabilities(logits[None])[0]
    counts = torch.bincount(sampling(logits.expand(n, -1), rng), minlength=4)
    assert counts[2] == 0
    deviation = (counts - n * p).abs() / (n * p * (1 - p) + 1e-12).sqrt()
    assert deviation[[0, 1, 3]].max() < 4.5


@pytest.mark.parametrize(("uniform", "expected"), [(0.0, 1), (1 - 2**-53, 10)])
def test_draw_stays_in_the_support_at_both_ends(
    uniform: float, expected: int, monkeypatch: pytest.MonkeyPatch, rng: torch.Generator
) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, dtype, generator: torch.full(shape, uniform, dtype=dtype))
    # Ten tenths sum to 1 - 2^-53 in float64, no more than the largest uniform number.
    probabilities = torch.tensor([[0.0] + [0.1] * 10 + [0.0]], dtype=torch.float64)
    assert draw(probabilities, rng).tolist() == [expected]


def test_forbid() -> None:
    logits = torch.arange(6.0).reshape(2, 3)
    assert forbid_ids(logits, [2, 2, 0]).tolist() == [[-INF, 1.0, -INF], [-INF, 4.0, -INF]]
    assert torch.equal(logits, torch.arange(6.0).reshape(2, 3))
    assert forbid_ids(logits, []) is logits


@pytest.mark.parametrize(("ids", "words"), [([3], "0 to 2"), ([-1], "0 to 2"), ([0, 1, 2], "all 3 types")])
def test_forbid_errors(ids: list[int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        forbid_ids(torch.zeros(1, 3), ids)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": INF},
        {"temperature": "1"},
        {"temperature": True},
        {"top_k": 0},
        {"top_k": -3},
        {"top_k": 2.0},
        {"top_k": True},
        {"top_p": 0},
        {"top_p": 1.01},
        {"top_p": math.nan},
        {"top_p": "0.9"},
    ],
)
def test_values_out_of_range(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(UserError, match=f"{name} is .*expected"):
        Sampling(**options)


def test_sampling_is_frozen_and_plain() -> None:
    sampling = Sampling(temperature=0.8, top_k=40, top_p=0.9)
    assert sampling == Sampling(0.8, 40, 0.9, False)
    with pytest.raises(FrozenInstanceError):
        sampling.top_k = 3  # type: ignore[misc]
