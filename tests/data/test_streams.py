from __future__ import annotations

import json
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.streams import Streams, Window, evaluation_windows
from elman.data.token_set import TokenSet
from elman.errors import UserError


@st.composite
def token_sets(draw: st.DrawFn, least: int = 2) -> TokenSet:
    """Token i is i itself, so that a window shows where it was read; documents of one token and more."""
    size = draw(st.integers(least, 120))
    starts = sorted({0} | draw(st.sets(st.integers(1, size - 1))))
    return TokenSet(np.arange(size), np.array(starts), size, end_mark=draw(st.booleans()))


@st.composite
def made_streams(draw: st.DrawFn, **options: int) -> Streams:
    tokens = draw(token_sets())
    batch = draw(st.integers(1, len(tokens) - 1))
    window = draw(st.integers(1, (len(tokens) - 1) // batch))
    return Streams(tokens, batch, window)


def epoch(streams: Streams) -> list[Window]:
    return list(islice(streams, streams.windows_per_epoch))


@given(token_sets(), st.integers(1, 40), st.integers(0, 3), st.integers(0, 3))
def test_windows_of_varied_length_see_every_transition_once(
    tokens: TokenSet, window: int, seed: int, stopped: int
) -> None:
    if len(tokens) - 1 < window:
        return
    streams = Streams(tokens, 1, window, vary=seed)
    seen: list[int] = []
    lengths = []
    while streams.epoch < 2:
        x, y, resets = next(streams)
        assert torch.equal(x + 1, y) and bool(resets[0, 0]) >= (x[0, 0] == 0)
        seen += x[:, 0].tolist()
        lengths.append(len(x))
        if len(lengths) == stopped:
            state = json.loads(json.dumps(streams.state_dict()))
            streams = Streams(tokens, 1, window, vary=seed)
            streams.load_state_dict(state)
    assert seen == 2 * list(range(len(tokens) - 1))
    again = Streams(tokens, 1, window, vary=seed)
    assert [len(next(again).x) for _ in lengths] == lengths


def test_varied_lengths_are_those_of_the_paper() -> None:
    """Merity et al. 2018: normal of sigma 5 around 70, of one in twenty around 35."""
    streams = Streams(TokenSet(np.arange(200_001), np.array([0]), 200_000), 2, 70, vary=1)
    lengths = np.array([len(window.x) for window in islice(streams, 1400)])
    short = lengths < 52
    assert 0.03 < short.mean() < 0.075
    assert lengths[~short].mean() == pytest.approx(70, abs=0.5) and lengths[~short].std() == pytest.approx(5, abs=0.4)
    assert lengths[short].mean() == pytest.approx(35, abs=3)
    assert streams.windows_per_epoch == pytest.approx(100_000 / lengths.mean(), rel=0.01)


@given(made_streams())
def test_an_epoch_sees_every_transition_once_and_resets_where_it_must(streams: Streams) -> None:
    windows = epoch(streams)
    x, y, resets = (torch.cat(parts) for parts in zip(*windows, strict=True))
    segment, batch = x.shape
    assert all(len(w.x) == streams.window for w in windows[:-1])
    assert streams.epoch == 1.0
    assert torch.equal(y, x + 1)
    assert x.T.flatten().tolist() == list(range(segment * batch))
    assert len(streams.tokenset) - 1 - segment * batch < batch
    expected = np.isin(x, streams.tokenset.starts)
    expected[0] = True
    assert np.array_equal(resets, expected)
    for again, before in zip(epoch(streams), windows, strict=True):
        assert all(map(torch.equal, again, before))


@given(made_streams(), st.integers(0, 50))
def test_resume_is_exact(streams: Streams, steps: int) -> None:
    for _ in islice(streams, steps):
        pass
    saved = json.loads(json.dumps(streams.state_dict()))
    resumed = Streams(streams.tokenset, streams._begins.size, streams.window)
    resumed.load_state_dict(saved)
    assert resumed.epoch == streams.epoch
    for expected, got in islice(zip(streams, resumed, strict=True), 20):
        assert all(map(torch.equal, expected, got))


@given(token_sets(least=14), st.sampled_from([1, 2, 3, 6]), st.integers(1, 2))
def test_ranks_together_are_the_whole(tokens: TokenSet, world: int, window: int) -> None:
    whole = Streams(tokens, 6, window)
    ranks = [Streams(tokens, 6, window, rank=rank, world=world) for rank in range(world)]
    for _ in range(2 * whole.windows_per_epoch):
        expected = next(whole)
        parts = [next(rank) for rank in ranks]
        for name in Window._fields:
            assert torch.equal(torch.cat([getattr(p, name) for p in parts], dim=1), getattr(expected, name))
    assert all(rank.state_dict() == whole.state_dict() for rank in ranks)


def test_windows_are_int64_and_bool_and_resets_can_be_left_out() -> None:
    tokens = TokenSet(np.arange(20, dtype=np.uint8), np.array([0, 4]), 20)
    x, y, resets = next(Streams(tokens, 1, 8, resets=False))
    assert (x.dtype, y.dtype, resets.dtype) == (torch.int64, torch.int64, torch.bool)
    assert resets.flatten().nonzero().flatten().tolist() == [0]


def test_streams_that_cannot_be() -> None:
    tokens = TokenSet(np.arange(101), np.array([0]), 101)
    with pytest.raises(UserError, match="has 100 steps, 10 for each of 10 streams, but a window needs 11"):
        Streams(tokens, 10, 11)
    with pytest.raises(UserError, match="0 for each of 200 streams"):
        Streams(tokens, 200, 1)
    with pytest.raises(UserError, match="cannot be shared by 3 processes; choose a multiple of 3"):
        Streams(tokens, 10, 5, world=3)
    with pytest.raises(UserError, match="expected at least 1 of each"):
        Streams(tokens, 0, 5)
    with pytest.raises(UserError, match="streams of 20 steps, but this text and batch give 10"):
        Streams(tokens, 10, 5).load_state_dict(Streams(tokens, 5, 5).state_dict())


@given(token_sets(), st.integers(1, 9), st.integers(1, 5))
def test_evaluation_scores_every_document_once(tokens: TokenSet, window: int, batch: int) -> None:
    windows = list(evaluation_windows(tokens, window, batch))
    if not tokens.scored:
        assert windows == []
        return
    x, y, resets, scored = (torch.cat(parts) for parts in zip(*windows, strict=True))
    assert x.shape[1] <= batch
    assert max(len(w.x) for w in windows) <= window
    assert torch.equal(y[scored], x[scored] + 1)
    expected = [i for begin, end in tokens.spans for i in range(begin, end)]
    assert sorted(x[scored].tolist()) == expected
    opening = {int(begin) for begin, end in tokens.spans if end > begin}
    assert sorted(x[resets].tolist()) == sorted(opening)
    for row in range(x.shape[1]):
        count = int(scored[:, row].sum())
        assert scored[:count, row].all()
        steps = x[:count, row].tolist()
        assert all(b == a + 1 or b in opening for a, b in pairwise(steps))


def test_evaluation_rows_are_balanced() -> None:
    tokens = TokenSet(np.arange(101), np.array([0, 10, 60, 70, 90]), 101)
    x, *_ = next(evaluation_windows(tokens, 1000, 2))
    assert x.shape == (50, 2)


def test_mapped_tokens_stream_as_held_ones(tmp_path: Path) -> None:
    held = np.arange(50_000, dtype=np.uint16)
    held.tofile(tmp_path / "ids")
    starts = np.arange(0, 50_000, 700)
    mapped = TokenSet(np.memmap(tmp_path / "ids", np.uint16, "r"), starts, 50_000)
    for one, other in zip(
        epoch(Streams(mapped, 7, 50)), epoch(Streams(TokenSet(held, starts, 50_000), 7, 50)), strict=True
    ):
        assert all(map(torch.equal, one, other))
    seen = sum(int(w.scored.sum()) for w in evaluation_windows(mapped, 20, 4))
    assert seen == mapped.scored
