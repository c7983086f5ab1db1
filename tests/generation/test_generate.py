from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from elman.errors import UserError
from elman.generation import STOPPED, Sampling, draw, generate, noisy_state, stream_tokens

GREEDY = Sampling(greedy=True)
MakeNet = Callable[..., nn.Module]
Script = Callable[[Any], nn.Module]

RING = torch.eye(5).roll(1, dims=1)  # after i comes i + 1 modulo 5
COIN = [[0.0, 0.5, 0.5], [0.4, 0.3, 0.3], [0.2, 0.2, 0.6]]


def reference(
    net: nn.Module, prompt: list[int], *, length: int, samples: int, sampling: Sampling, seed: int
) -> list[list[int]]:
    """Every step a full forward over all that was read so far; the uniform numbers drawn (step, row)."""
    rng = torch.Generator().manual_seed(seed)
    rows = [list(prompt) for _ in range(samples)]
    net = net.eval()
    for _ in range(length):
        with torch.no_grad():
            logits = torch.stack([net(torch.tensor(row)[:, None])[0][-1, 0] for row in rows])
        for row, token in zip(rows, draw(sampling.probabilities(logits), rng).tolist(), strict=True):
            row.append(token)
    return [row[len(prompt) :] for row in rows]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.5, top_k=4), Sampling(top_p=0.8)])
def test_equals_choosing_from_full_forwards(make_net: MakeNet, sampling: Sampling) -> None:
    net = make_net()
    expected = reference(net, [3, 1, 4], length=15, samples=3, sampling=sampling, seed=11)
    assert generate(net.train(), [3, 1, 4], length=15, sampling=sampling, samples=3, seed=11) == expected
    assert len({tuple(row) for row in expected}) == 3


def test_greedy_rows_are_all_the_same(make_net: MakeNet) -> None:
    rows = generate(make_net(), [0], length=10, sampling=GREEDY, samples=2)
    assert rows[0] == rows[1]


def test_seeds_reproduce(make_net: MakeNet) -> None:
    net = make_net()
    first = generate(net, [0], length=20, samples=2, seed=1)
    assert generate(net, [0], length=20, samples=2, generator=torch.Generator().manual_seed(1)) == first
    assert generate(net, [0], length=20, samples=2, seed=2) != first
    with torch.random.fork_rng():
        torch.manual_seed(1)
        assert generate(net, [0], length=20, samples=2) == first


@pytest.mark.parametrize("prompt", [[2, 3], (2, 3), torch.tensor([2, 3]), np.array([2, 3], dtype=np.uint16)])
def test_prompts_of_any_kind(script: Script, prompt: Any) -> None:
    assert generate(script(RING), prompt, length=3, sampling=GREEDY) == [[4, 0, 1]]


def test_start_is_fed_before_the_prompt(make_net: MakeNet, script: Script) -> None:
    assert generate(script(RING), [], start=0, length=2, sampling=GREEDY) == [[1, 2]]
    net = make_net()
    assert generate(net, [3], start=5, length=9, seed=0) == generate(net, [5, 3], length=9, seed=0)


def test_stop_id_ends_its_row_only(script: Script) -> None:
    net = script(COIN)
    free = generate(net, [0], length=40, samples=6, seed=4)
    rows = generate(net, [0], length=40, samples=6, seed=4, stop=[1])
    assert rows == [row[: row.index(1) + 1] for row in free]
    assert len({len(row) for row in rows}) > 1
    assert rows == generate(net, [0], length=40, samples=6, seed=4, stop=1)


def test_stopped_rows_stay_stopped(script: Script) -> None:
    steps = torch.stack(list(stream_tokens(script(COIN), [0], length=40, samples=6, seed=4, stop=1)))  # (T, B)
    for row in steps.T.tolist():
        end = row.index(1)
        assert set(row[end + 1 :]) <= {STOPPED}
        assert STOPPED not in row[:end]
    assert (steps[-1] != STOPPED).any()
    assert len(steps) < 40


def test_stop_sequences(script: Script) -> None:
    ring = script(RING)
    assert generate(ring, [0], length=20, sampling=GREEDY, stop=[[3, 4, 0]]) == [[1, 2, 3, 4, 0]]
    assert generate(ring, [0], length=20, sampling=GREEDY, stop=[(4, 3), 0, [1, 2, 3]]) == [[1, 2, 3]]
    assert generate(ring, [0], length=3, sampling=GREEDY, stop=[[1, 2, 3, 4]]) == [[1, 2, 3]]
    assert generate(ring, [0], length=7, sampling=GREEDY, stop=np.array([4])) == [[1, 2, 3, 4]]
    assert generate(ring, [0], length=7, sampling=GREEDY, stop=np.int64(4)) == [[1, 2, 3, 4]]


def test_stop_does_not_look_into_the_prompt(script: Script) -> None:
    assert generate(script(RING), [3, 4], length=6, sampling=GREEDY, stop=[[4, 0]]) == [[0, 1, 2, 3, 4, 0]]


def test_no_step_is_computed_for_nothing(script: Script) -> None:
    net = script(RING)
    calls: list[int] = []
    net.register_forward_hook(lambda *_: calls.append(1))
    generate(net, [0], length=3, sampling=GREEDY)
    assert len(calls) == 3
    calls.clear()
    generate(net, [0], length=9, sampling=GREEDY, stop=2)
    assert len(calls) == 2


def test_tokens_are_yielded_as_they_are_made(script: Script) -> None:
    net = script(RING)
    calls: list[int] = []
    net.register_forward_hook(lambda *_: calls.append(1))
    steps = stream_tokens(net, [0], length=5, sampling=GREEDY)
    assert next(steps).tolist() == [1]
    assert len(calls) == 1
    assert next(steps).tolist() == [2]
    assert len(calls) == 2


def test_on_token_goes_step_by_step_and_row_by_row(script: Script) -> None:
    seen: list[tuple[int, int]] = []
    rows = generate(
        script(COIN), [0], length=8, samples=3, seed=4, stop=1, on_token=lambda row, token: seen.append((row, token))
    )
    longest = max(map(len, rows))
    assert seen == [(b, rows[b][t]) for t in range(longest) for b in range(3) if t < len(rows[b])]


def test_forbidden_ids_are_never_made(script: Script) -> None:
    net = script(COIN)
    rows = generate(net, [0], length=200, samples=2, seed=0, forbid=[1])
    assert {token for row in rows for token in row} == {0, 2}
    assert generate(net, [1], length=3, sampling=GREEDY, forbid=[0, 2]) == [[1, 1, 1]]


def test_noise_starts_every_row_elsewhere_and_draws_first(make_net: MakeNet) -> None:
    net = make_net()
    rng = torch.Generator().manual_seed(8)
    state = noisy_state(net, 3, 0.01, rng)
    logits, _ = net.eval()(torch.tensor([[2, 2, 2]]), state)
    expected = Sampling()(logits[-1], rng).tolist()
    assert [row[0] for row in generate(net, [2], length=1, samples=3, noise=0.01, seed=8)] == expected
    loud = generate(net, [2], length=30, samples=8, noise=1.0, seed=8, sampling=GREEDY)
    assert len({tuple(row) for row in loud}) > 1


def test_a_sampler_of_ones_own(script: Script) -> None:
    def second(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return logits.argsort(-1, descending=True)[:, 1]

    assert generate(script([[0.1, 0.6, 0.3]] * 3), [0], length=4, sampling=second) == [[2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": []}, "prompt is empty"),
        ({"prompt": "once"}, "prompt is 'once'; expected a flat sequence of token ids"),
        ({"prompt": torch.zeros(2, 2, dtype=torch.int64)}, "flat sequence"),
        ({"prompt": [0, -2]}, "prompt holds the id -2"),
        ({"prompt": [1.5]}, "flat sequence"),
        ({"start": -1}, "start holds the id -1"),
        ({"length": 0}, "length is 0"),
        ({"length": 2.5}, "length is 2.5"),
        ({"samples": 0}, "samples is 0"),
        ({"stop": [[]]}, "stop sequence is empty"),
        ({"stop": "."}, "stop is '.'"),
        ({"stop": -1}, "stop holds the id -1"),
        ({"forbid": [9]}, "forbidden ids are"),
        ({"forbid": ["x"]}, "forbid is"),
        ({"noise": -1}, "noise is -1"),
        ({"seed": 1, "generator": torch.Generator()}, "both a seed and a generator"),
        ({"seed": "one"}, "seed is 'one'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_mistakes(script: Script, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        generate(script(RING), **{"prompt": [0], "length": 2, **options})


def test_mistakes_show_at_the_call_of_the_stream(script: Script) -> None:
    with pytest.raises(UserError, match="prompt is empty"):
        stream_tokens(script(RING), [], length=2)


def test_a_diverged_model(make_net: MakeNet) -> None:
    net = make_net()
    with torch.no_grad():
        net.head.weight.fill_(torch.nan)
    with pytest.raises(UserError, match="diverged"):
        generate(net, [0], length=2)
