from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from elman.errors import UserError
from elman.generation import Hypothesis, Sampling, beam_decode, draw_decode, penalty
from elman.models import DecoderNet, DecoderState

pytestmark = pytest.mark.usefixtures("eager")
V, LENGTH, STOP = 4, 3, 0
LENGTHS = torch.tensor([4, 1, 3])


@pytest.fixture(scope="module")
def net() -> DecoderNet:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = DecoderNet(V, "gru", 6, memory_size=5, embedding_size=4, dropout=0.5, dtype=torch.float64)
        for parameter in made.parameters():
            parameter.data.mul_(2.5)
    return made


@pytest.fixture(scope="module")
def memory() -> torch.Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return 2 * torch.randn(4, 3, 5, dtype=torch.float64)


def begun(net: DecoderNet, memory: torch.Tensor, rows: list[int]) -> DecoderState:
    with torch.no_grad():
        return net.begin(memory[:, rows], LENGTHS[rows])


def every_text(net: DecoderNet, memory: torch.Tensor, row: int, alpha: float, beta: float) -> list[Hypothesis]:
    """All texts there are, scored by teacher forcing, best first; padding is cut off beforehand."""
    texts = [
        (*words, *end)
        for size in range(LENGTH)
        for words in itertools.product(range(1, V), repeat=size)
        for end in ([(STOP,)] if size + 1 < LENGTH else [(token,) for token in range(V)])
    ]
    found = []
    net.eval()
    for text in texts:
        with torch.no_grad():
            state = net.begin(memory[: LENGTHS[row], row : row + 1])
            mixed, _, weights = net.read(torch.tensor([STOP, *text[:-1]])[:, None], state)
            log_probs = net.scores(mixed)[:, 0].log_softmax(-1)
        assert weights is not None
        log_prob = sum(log_probs[t, token].item() for t, token in enumerate(text))
        covered = weights[:, 0].sum(0).clamp(max=1.0).log().sum().item()
        score = log_prob / penalty(len(text), alpha) + beta * covered
        found.append(Hypothesis(text, log_prob, score, text[-1] == STOP))
    net.train()
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (1.0, 0.0), (0.6, 0.4)])
def test_a_wide_beam_is_exhaustive_search(net: DecoderNet, memory: torch.Tensor, alpha: float, beta: float) -> None:
    options: dict[str, Any] = {"start": STOP, "stop": STOP, "length": LENGTH}
    found = beam_decode(
        net, begun(net, memory, [0, 1, 2]), width=64, n_best=10, length_penalty=alpha, coverage_penalty=beta, **options
    )
    for row, hypotheses in enumerate(found):
        expected = every_text(net, memory, row, alpha, beta)[:10]
        assert [each.ids for each in hypotheses] == [each.ids for each in expected]
        for one, other in zip(hypotheses, expected, strict=True):
            assert math.isclose(one.score, other.score, rel_tol=1e-9) and one.finished == other.finished


def test_the_penalties_change_the_choice(net: DecoderNet, memory: torch.Tensor) -> None:
    best = [every_text(net, memory, 0, alpha, beta)[0].ids for alpha, beta in ((0.0, 0.0), (3.0, 0.0), (0.0, 5.0))]
    assert len(set(best)) > 1  # else the test above tells nothing of them


@pytest.mark.parametrize("width", [1, 3])
def test_a_batch_of_mixed_lengths_is_as_one_by_one(net: DecoderNet, memory: torch.Tensor, width: int) -> None:
    options: dict[str, Any] = {"start": STOP, "stop": STOP, "width": width, "n_best": width, "coverage_penalty": 0.2}
    limits = [2, 9, 5]
    together = beam_decode(net, begun(net, memory, [0, 1, 2]), length=limits, **options)
    for row, hypotheses in enumerate(together):
        (alone,) = beam_decode(net, begun(net, memory, [row]), length=limits[row], **options)
        assert [each.ids for each in alone] == [each.ids for each in hypotheses]
        assert all(math.isclose(a.score, b.score) for a, b in zip(alone, hypotheses, strict=True))
        assert max(len(each.ids) for each in hypotheses) <= limits[row]


def test_greedy_is_width_one_and_cold_drawing(net: DecoderNet, memory: torch.Tensor) -> None:
    state = begun(net, memory, [0, 1, 2])
    options: dict[str, Any] = {"start": STOP, "stop": STOP, "length": 8}
    found = [list(each[0].ids) for each in beam_decode(net, state, width=1, **options)]
    net.eval()
    for row, ids in enumerate(found):
        own, token = begun(net, memory, [row]), STOP
        for expected in ids:
            with torch.no_grad():
                logits, own = net.step(torch.tensor([token]), own)
            token = int(logits.argmax())
            assert token == expected
    net.train()
    drawn = draw_decode(net, state, Sampling(greedy=True), **options)
    assert drawn == [[token for token in ids if token != STOP] for ids in found]


def test_drawing_follows_the_probabilities_and_the_seed(net: DecoderNet, memory: torch.Tensor) -> None:
    state = begun(net, memory, [0]).select(torch.zeros(4000, dtype=torch.int64))
    options: dict[str, Any] = {"start": STOP, "stop": STOP, "length": 1}
    drawn = draw_decode(net, state, Sampling(), generator=torch.Generator().manual_seed(1), **options)
    again = draw_decode(net, state, Sampling(), generator=torch.Generator().manual_seed(1), **options)
    assert drawn == again
    net.eval()
    with torch.no_grad():
        probabilities = net.step(torch.tensor([STOP]), begun(net, memory, [0]))[0].softmax(-1)[0]
    net.train()
    shares = [sum(text == [token] for text in drawn) / 4000 for token in range(1, V)]
    assert max(abs(share - p) for share, p in zip(shares, probabilities[1:].tolist(), strict=True)) < 0.03


def test_forbidden_types_never_come(net: DecoderNet, memory: torch.Tensor) -> None:
    options: dict[str, Any] = {"start": STOP, "stop": STOP, "length": LENGTH, "forbid": (2,)}
    state = begun(net, memory, [0, 1, 2])
    found = beam_decode(net, state, width=64, n_best=50, **options)
    assert all(2 not in each.ids for hypotheses in found for each in hypotheses)
    assert all(len(hypotheses) == 1 + 2 + 4 * 3 for hypotheses in found)  # all that exist
    assert all(2 not in text for text in draw_decode(net, state, Sampling(), **options))


def test_refusals(net: DecoderNet, memory: torch.Tensor) -> None:
    state, options = begun(net, memory, [0]), {"start": STOP, "stop": STOP, "length": 3}
    with pytest.raises(UserError, match="n_best is 3 with a width of 2"):
        beam_decode(net, state, width=2, n_best=3, **options)
    with pytest.raises(UserError, match="coverage_penalty is -1; expected a number of at least 0"):
        beam_decode(net, state, coverage_penalty=-1, **options)
    alone = DecoderNet(V, "gru", 6, embedding_size=4, dtype=torch.float64)
    with pytest.raises(UserError, match="this decoder has none; leave it out"):
        beam_decode(alone, alone.begin(), coverage_penalty=0.1, **options)
    alone.head.bias.data.fill_(math.nan)
    with pytest.raises(UserError, match="diverged in training"):
        beam_decode(alone, alone.begin(), **options)
