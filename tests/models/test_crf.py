from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elman import UserError, explain
from elman.models import CRF

HARD = 1e3  # padding so large that a look at it would show


def random_crf(tags: int, seed: int, dtype: torch.dtype = torch.float64) -> CRF:
    draw = torch.Generator().manual_seed(seed)
    crf = CRF(tags, dtype=dtype)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(2 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return crf


def every_sequence(crf: CRF, x: np.ndarray) -> Iterator[tuple[tuple[int, ...], float]]:
    """All sequences of tags for one row x (n, K) with their scores, straight from the definition."""
    start, end, transitions = (p.detach().numpy() for p in (crf.start, crf.end, crf.transitions))
    for tags in itertools.product(range(crf.tags), repeat=len(x)):
        score = start[tags[0]] + end[tags[-1]] + sum(x[t, k] for t, k in enumerate(tags))
        yield tags, float(score + sum(transitions[i, j] for i, j in itertools.pairwise(tags)))


def batch(tags: int, lengths: list[int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x with NaN past the ends, tags with numbers that are none there, lengths."""
    draw = torch.Generator().manual_seed(seed)
    T, B = max(1, *lengths), len(lengths)
    x = 2 * torch.randn(T, B, tags, generator=draw, dtype=torch.float64)
    y = torch.randint(tags, (T, B), generator=draw)
    for row, length in enumerate(lengths):
        x[length:, row], y[length:, row] = torch.nan, -100
    return x, y, torch.tensor(lengths)


# Each number of tags is compiled by itself.
@pytest.mark.parametrize("tags", [3, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 1000))
@settings(max_examples=15)
def test_all_it_says_is_what_enumeration_says(tags: int, lengths: list[int], seed: int) -> None:
    crf = random_crf(tags, seed)
    x, y, ends = batch(tags, lengths, seed)
    losses, partition = crf(x, y, ends), crf.log_partition(x, ends)
    marginals, decoded = crf.marginals(x, ends), crf.decode(x, ends)
    for row, length in enumerate(lengths):
        assert not decoded[length:, row].any() and not marginals[length:, row].any()
        if not length:
            assert losses[row] == partition[row] == 0
            continue
        found = dict(every_sequence(crf, x[:length, row].numpy()))
        scores = np.array(list(found.values()))
        log_sum = scores.max() + np.log(np.exp(scores - scores.max()).sum())
        truth = found[tuple(y[:length, row].tolist())]
        assert partition[row].item() == pytest.approx(log_sum, rel=1e-12, abs=1e-12)
        assert losses[row].item() == pytest.approx(log_sum - truth, rel=1e-11, abs=1e-11)
        assert tuple(decoded[:length, row].tolist()) == max(found, key=found.__getitem__)
        expected = np.zeros((length, tags))
        for each, score in found.items():
            expected[np.arange(length), each] += np.exp(score - log_sum)
        np.testing.assert_allclose(marginals[:length, row], expected, rtol=1e-10, atol=1e-13)


def test_gradients_are_those_of_finite_differences() -> None:
    crf = random_crf(3, 0)
    x, y, ends = batch(3, [4, 1, 0, 3], 1)
    x = torch.nan_to_num(x, HARD).requires_grad_()
    names, parameters = zip(*crf.named_parameters(), strict=True)

    def losses(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(crf, dict(zip(names, values, strict=True)), (x, y, ends))

    assert torch.autograd.gradcheck(losses, (x, *parameters))
    losses(x, *parameters).sum().backward()
    assert x.grad is not None
    for row, length in enumerate(ends.tolist()):
        assert x.grad[:length, row].any() or not length
        assert not x.grad[length:, row].any()


def test_padding_never_matters() -> None:
    crf = random_crf(3, 2)
    x, y, ends = batch(3, [6, 2, 0, 5], 3)
    together = crf(x, y, ends), crf.decode(x, ends)
    for row, length in enumerate(ends.tolist()):
        for room in {max(length, 1), 6}:
            alone = x[:room, row : row + 1].nan_to_num(HARD), y[:room, row : row + 1].clamp(min=0), ends[row : row + 1]
            assert crf(*alone).item() == pytest.approx(together[0][row].item(), rel=1e-13)
            assert torch.equal(crf.decode(alone[0], alone[2])[:length, 0], together[1][:length, row])


def test_long_sequences_of_large_scores_in_single_precision() -> None:
    crf, exact = random_crf(3, 4, torch.float32), random_crf(3, 4)
    x = 30 * torch.randn(400, 2, 3)
    y = exact.decode(x.double())
    assert crf.log_partition(x).tolist() == pytest.approx(exact.log_partition(x.double()).tolist(), rel=1e-5)
    assert crf.score(x, y).tolist() == pytest.approx(exact.score(x.double(), y).tolist(), rel=1e-5)


@pytest.mark.parametrize("columns", [(100.0, 100.0, 100.0), (-200.0, 0.0, 300.0)])
def test_transitions_may_all_be_large(columns: tuple[float, ...]) -> None:
    """Only how far the transitions to one tag are apart may matter."""
    crf = random_crf(3, 8, torch.float32)
    with torch.no_grad():
        crf.transitions.add_(torch.tensor(columns))
    exact = CRF(3, dtype=torch.float64)
    exact.load_state_dict({name: value.double() for name, value in crf.state_dict().items()})
    x = torch.randn(9, 2, 3)
    sums = exact.start + x[0].double()
    for scores in x[1:].double():
        sums = (sums.unsqueeze(2) + exact.transitions).logsumexp(1) + scores
    torch.testing.assert_close(crf.log_partition(x).double(), (sums + exact.end).logsumexp(1), rtol=1e-6, atol=0)
    crf(x, exact.decode(x.double())).sum().backward()
    assert crf.transitions.grad is not None and crf.transitions.grad.isfinite().all()


def test_the_recursion_is_compiled_and_the_eager_loop_agrees() -> None:
    crf = random_crf(3, 5)
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    assert "backend cpu" in str(explain(crf.forwards, x, x[0]))
    expected = crf.start + x[0]
    for scores in x[1:]:
        expected = (expected.unsqueeze(2) + crf.transitions).logsumexp(1) + scores
    torch.testing.assert_close(crf.log_partition(x), (expected + crf.end).logsumexp(1), rtol=1e-13, atol=0)


def test_under_autocast_it_stays_exact() -> None:
    crf = random_crf(3, 6, torch.float32)
    x = torch.randn(50, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = crf.log_partition(x)
    torch.testing.assert_close(rounded, crf.log_partition(x), rtol=1e-6, atol=0)


def test_shapes_that_do_not_fit_are_refused() -> None:
    crf = CRF(3)
    for x in (torch.zeros(4, 2), torch.zeros(4, 2, 2), torch.zeros(0, 2, 3)):
        with pytest.raises(UserError, match=r"expected scores \(T, B, 3\) of at least one step"):
            crf.decode(x)
    with pytest.raises(UserError, match=r"tags is \(4,\); expected \(T, B\) = \(4, 2\)"):
        crf(torch.zeros(4, 2, 3), torch.zeros(4))
    with pytest.raises(UserError, match=r"lengths is \(3,\); expected \(B,\) = \(2,\)"):
        crf.decode(torch.zeros(4, 2, 3), torch.tensor([1, 2, 3]))
    with pytest.raises(UserError, match="tags is 0"):
        CRF(0)
