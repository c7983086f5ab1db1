from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from elman.errors import UserError
from elman.generation import Hypothesis, Sampling, beam_search, generate, penalty

MakeNet = Callable[..., nn.Module]
Script = Callable[[Any], nn.Module]


def log_prob(net: nn.Module, prompt: list[int], ids: tuple[int, ...]) -> float:
    """The sequence's log probability from one full forward pass."""
    tokens = torch.tensor([*prompt, *ids])
    with torch.no_grad():
        logits, _ = net.eval()(tokens[:-1, None])
    steps = logits[len(prompt) - 1 :, 0].double().log_softmax(-1)
    return float(steps.gather(1, tokens[len(prompt) :, None]).sum())


def exhaustive(
    net: nn.Module, prompt: list[int], *, vocabulary: int, length: int, alpha: float, stop: int | None
) -> list[tuple[float, tuple[int, ...]]]:
    """Every sequence that ends at its first stop or at full length, best score first."""
    complete = []
    for size in range(1, length + 1):
        for ids in product(range(vocabulary), repeat=size):
            if stop not in ids[:-1] and (ids[-1] == stop or size == length):
                complete.append((log_prob(net, prompt, ids) / ((5 + size) / 6) ** alpha, ids))
    return sorted(complete, reverse=True)


@pytest.mark.parametrize("stop", [None, 0])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_is_exhaustive_search(make_net: MakeNet, alpha: float, stop: int | None) -> None:
    for seed in range(3):
        net = make_net(3, seed=seed, scale=3.0)
        expected = exhaustive(net, [1, 2], vocabulary=3, length=4, alpha=alpha, stop=stop)
        found = beam_search(net, [1, 2], length=4, width=81, n_best=81, length_penalty=alpha, stop=stop)
        assert [h.ids for h in found] == [ids for _, ids in expected]
        assert [h.score for h in found] == pytest.approx([score for score, _ in expected], rel=1e-9)
        best = beam_search(net, [1, 2], length=4, width=81, length_penalty=alpha, stop=stop)
        assert best == found[:1]  # stopping early loses nothing


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_width_one_is_greedy(make_net: MakeNet, seed: int, alpha: float) -> None:
    net = make_net(seed=seed, scale=3.0)
    greedy = generate(net, [3], length=12, sampling=Sampling(greedy=True), stop=2)[0]
    (found,) = beam_search(net, [3], length=12, width=1, stop=2, length_penalty=alpha)
    assert list(found.ids) == greedy
    assert found.finished == (greedy[-1] == 2)


@pytest.mark.parametrize("width", [2, 5])
def test_scores_are_those_of_a_full_forward(make_net: MakeNet, width: int) -> None:
    net = make_net(scale=3.0)
    found = beam_search(net.train(), [3, 4], length=10, width=width, n_best=width, length_penalty=0.7, stop=1)
    assert net.training
    assert len(found) == width
    for h in found:
        assert h.log_prob == pytest.approx(log_prob(net, [3, 4], h.ids), rel=1e-10)
        assert h.score == pytest.approx(h.log_prob / ((5 + len(h.ids)) / 6) ** 0.7, rel=1e-12)
        assert h.finished == (h.ids[-1] == 1)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert len({h.ids for h in found}) == width


def test_a_wider_beam_finds_what_greedy_misses(script: Script) -> None:
    net = script([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.05, 0.05, 0.9]])
    narrow = beam_search(net, [0], length=2, width=1)[0]
    wide = beam_search(net, [0], length=2, width=2)[0]
    assert (narrow.ids, wide.ids) == ((1, 0), (2, 2))
    assert wide.score == wide.log_prob == pytest.approx(math.log(0.36))


# After 1: stop (0) with 0.5, or 2 with 0.5, after which the stop is nearly certain three steps on.
LATE = [
    [1.0, 0.0, 0.0, 0.0, 0.0],
    [0.5, 0.0, 0.5, 0.0, 0.0],
    [0.0, 0.0, 0.0, 1.0, 0.0],
    [0.05, 0.0, 0.0, 0.0, 0.95],
    [0.95, 0.0, 0.05, 0.0, 0.0],
]


def test_the_length_penalty_lets_a_longer_hypothesis_overtake_a_finished_one(script: Script) -> None:
    net = script(LATE)
    short = beam_search(net, [1], length=8, width=2, stop=0)[0]
    long = beam_search(net, [1], length=8, width=2, stop=0, length_penalty=1.0)[0]
    assert (short.ids, long.ids) == ((0,), (2, 3, 4, 0))
    assert long.log_prob == pytest.approx(math.log(0.5 * 0.95 * 0.95))
    assert long.score == pytest.approx(math.log(0.5 * 0.95 * 0.95) / 1.5)
    assert short.score == pytest.approx(math.log(0.5))
    assert short.finished
    assert long.finished


def test_the_search_ends_once_nothing_can_overtake(script: Script) -> None:
    net = script(LATE)
    calls: list[int] = []
    net.register_forward_hook(lambda *_: calls.append(1))
    beam_search(net, [1], length=100, width=2, stop=0)
    assert len(calls) == 1  # at equal probability the live one can only fall
    calls.clear()
    beam_search(net, [1], length=100, width=1, stop=0, length_penalty=1.0)
    assert len(calls) == 1


def test_unfinished_hypotheses_rank_beside_finished_ones(script: Script) -> None:
    found = beam_search(script([[0.3, 0.7], [0.3, 0.7]]), [1], length=2, width=4, n_best=4, stop=0)
    expected = [((1, 1), 0.49, False), ((0,), 0.3, True), ((1, 0), 0.21, True)]
    assert [(h.ids, h.finished) for h in found] == [(ids, finished) for ids, _, finished in expected]
    assert [math.exp(h.log_prob) for h in found] == pytest.approx([p for _, p, _ in expected])


def test_equals_go_by_the_lower_id(script: Script) -> None:
    found = beam_search(script([[0.25] * 4] * 4), [0], length=2, width=3, n_best=3)
    assert [h.ids for h in found] == [(0, 0), (0, 1), (0, 2)]


def test_forbidden_types_keep_the_score_of_the_model(script: Script) -> None:
    net = script([[0.6, 0.3, 0.1]] * 3)
    found = beam_search(net, [0], length=2, width=9, n_best=9, forbid=[0])
    assert [h.ids for h in found] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert found[0].log_prob == pytest.approx(2 * math.log(0.3))


def test_start_and_tensor_prompts(make_net: MakeNet) -> None:
    net = make_net()
    expected = beam_search(net, [5, 3], length=5)
    assert beam_search(net, [3], start=5, length=5) == expected
    assert beam_search(net, torch.tensor([5, 3]), length=5) == expected
    assert isinstance(expected[0], Hypothesis)


def test_penalty_of_wu() -> None:
    assert penalty(1, 0.9) == 1
    assert penalty(13, 0.6) == pytest.approx((18 / 6) ** 0.6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, "width is 0"),
        ({"n_best": 0}, "n_best is 0"),
        ({"width": 2, "n_best": 3}, "n_best is 3 with a width of 2"),
        ({"length": 0}, "length is 0"),
        ({"length_penalty": -0.5}, "length_penalty is -0.5"),
        ({"length_penalty": math.nan}, "length_penalty is nan"),
        ({"stop": -1}, "stop holds the id -1"),
        ({"stop": [0]}, "stop is"),
        ({"prompt": []}, "prompt is empty"),
        ({"forbid": [0, 1]}, "all 2 types"),
    ],
)
def test_mistakes(script: Script, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        beam_search(script([[0.5, 0.5]] * 2), **{"prompt": [0], "length": 2, **options})


def test_a_diverged_model(script: Script) -> None:
    with pytest.raises(UserError, match="diverged"):
        beam_search(script([[math.nan, 0.5]] * 2), [0], length=2)
