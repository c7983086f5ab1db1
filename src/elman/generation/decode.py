"""What a decoder writes: beam search for many sources at once, and drawing; see ``elman.models.DecoderNet``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import UserError
from ..structure import leaves
from .arguments import check_finite, count, is_number, token_ids
from .beam import Hypothesis, penalty, settled
from .samplers import Sampler, forbid_ids
from .stream import evaluation_mode

if TYPE_CHECKING:
    from ..models.decoder import DecoderNet, DecoderState

LEAST_COVERAGE = 1e-9
"""Attention below this counts as this, so that the logarithm of none stays finite."""


def beam_decode(
    decoder: DecoderNet,
    state: DecoderState,
    *,
    start: int,
    stop: int,
    length: int | Sequence[int],
    width: int = 5,
    n_best: int = 1,
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    forbid: Iterable[int] = (),
) -> list[list[Hypothesis]]:
    """For each of the N rows of ``state`` the ``n_best`` texts found with a beam of ``width``, best score first.

    A text is a sequence of ids after ``start`` that ends with ``stop`` or has ``length`` tokens (one number, or one a
    row). All are ranked by score = log_prob / lp + cp, Wu et al. 2016, arXiv:1609.08144, equation 14: lp is
    ``elman.generation.penalty`` of the number of ids, with alpha ``length_penalty``; cp is ``coverage_penalty`` times
    the sum over the places of the memory of log(min(attention of all steps together, 1)), which is below 0 where
    something was not looked at. The rest is as in ``beam_search``: the beam keeps the most probable, texts that end
    leave it, and a row is done once nothing in its beam can still enter its n best. Width 1 is greedy choice.

    Raises ``UserError`` for a value out of range, a coverage penalty without attention, and a model that has diverged.

    >>> from elman.models import DecoderNet
    >>> net = DecoderNet(5, "gru", 4, vector_size=3)
    >>> found = beam_decode(net, net.begin(vector=torch.randn(2, 3)), start=0, stop=0, length=6, n_best=3)
    >>> len(found), len(found[0]), found[0][0].score >= found[0][1].score
    (2, 3, True)
    """
    if count("n_best", n_best) > count("width", width):
        raise UserError(f"n_best is {n_best} with a width of {width}; give a width of at least {n_best}")
    for name, value in (("length_penalty", length_penalty), ("coverage_penalty", coverage_penalty)):
        if not is_number(value) or value < 0:
            raise UserError(f"{name} is {value!r}; expected a number of at least 0, such as 0.6")
    if coverage_penalty and state.memory is None:
        raise UserError("a coverage penalty counts where attention went, and this decoder has none; leave it out")
    forbidden = token_ids(forbid, "forbid")
    rows = leaves(state.layers)[0].shape[0]
    limits = [count("length", each) for each in ([length] * rows if isinstance(length, int) else length)]
    device = leaves(state.layers)[0].device

    state = state.select(torch.arange(rows, device=device).repeat_interleave(width))
    ids = torch.full((rows * width,), start, device=device)
    log_probs = torch.full((rows, width), -math.inf, dtype=torch.float64)  # of the beams, the largest first
    log_probs[:, 0] = 0.0
    sources = list(range(rows))  # those that are still sought
    live: list[list[tuple[int, ...]]] = [[()] * width for _ in sources]
    done: list[list[Hypothesis]] = [[] for _ in sources]
    coverage = Tensor()
    for size in range(1, max(limits, default=0) + 1):
        with evaluation_mode(decoder):
            mixed, state, weights = decoder.read(ids.unsqueeze(0), state)
            logits = decoder.scores(mixed[0])
        check_finite(logits)
        penalties: list[float] = []
        if coverage_penalty:
            assert weights is not None and state.memory is not None
            coverage = weights[0] + (coverage if size > 1 else 0.0)
            penalties = (coverage_penalty * _covered(coverage, state.memory.past)).tolist()
        extended = log_probs.view(-1, 1) + logits.double().cpu().log_softmax(-1)
        best = forbid_ids(extended, forbidden).view(len(sources), -1).topk(width)
        types = extended.shape[1]
        kept_rows: list[int] = []
        kept_ids: list[int] = []
        kept_log_probs: list[list[float]] = []
        going: list[int] = []  # which of the sources go on
        for n, source in enumerate(sources):
            found: list[tuple[int, int, float]] = []
            for log_prob, index in zip(best.values[n].tolist(), best.indices[n].tolist(), strict=True):
                if log_prob == -math.inf:  # no beam, or a forbidden type: fewer than `width` extensions exist
                    break
                beam, token = divmod(index, types)
                if token == stop or size == limits[source]:
                    score = log_prob / penalty(size, length_penalty)
                    score += penalties[n * width + beam] if penalties else 0.0
                    ids_so_far = (*live[source][beam], token)
                    done[source].append(Hypothesis(ids_so_far, log_prob, score, finished=token == stop))
                else:
                    found.append((beam, token, log_prob))
            done[source].sort(key=lambda hypothesis: -hypothesis.score)
            # Coverage only takes away, so that this bounds what is still in the beam.
            bound = found[0][2] / penalty(limits[source], length_penalty) if found else -math.inf
            if not found or settled(done[source], n_best, bound):
                continue
            going.append(n)
            live[source] = [(*live[source][beam], token) for beam, token, _ in found]
            found += [(0, stop, -math.inf)] * (width - len(found))
            kept_rows += [n * width + beam for beam, _, _ in found]
            kept_ids += [token for _, token, _ in found]
            kept_log_probs.append([log_prob for _, _, log_prob in found])
        if not going:
            break
        chosen = torch.tensor(kept_rows, device=device)
        state = state.select(chosen, torch.tensor(going, device=device) if len(going) < len(sources) else None)
        if coverage_penalty:
            coverage = coverage[chosen]
        ids, log_probs = torch.tensor(kept_ids, device=device), torch.tensor(kept_log_probs, dtype=torch.float64)
        sources = [sources[n] for n in going]
    return [each[:n_best] for each in done]


def draw_decode(
    decoder: DecoderNet,
    state: DecoderState,
    sampling: Sampler,
    *,
    start: int,
    stop: int,
    length: int,
    forbid: Iterable[int] = (),
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """One text for each row of ``state``, its tokens drawn by ``sampling``, the ``stop`` left out.

    Raises ``UserError`` for a value out of range and for a model that has diverged.

    >>> from elman.generation import Sampling
    >>> from elman.models import DecoderNet
    >>> net = DecoderNet(5, "gru", 4, vector_size=3)
    >>> state = net.begin(vector=torch.randn(2, 3))
    >>> drawn = draw_decode(net, state, Sampling(greedy=True), start=0, stop=0, length=6)
    >>> best = beam_decode(net, state, start=0, stop=0, length=6, width=1)
    >>> drawn == [[i for i in found[0].ids if i != 0] for found in best]
    True
    """
    count("length", length)
    forbidden = token_ids(forbid, "forbid")
    generator = generator or torch.default_generator
    rows = leaves(state.layers)[0].shape[0]
    device = leaves(state.layers)[0].device
    texts: list[list[int]] = [[] for _ in range(rows)]
    ended = [False] * rows
    ids = torch.full((rows,), start)
    for _ in range(length):
        with evaluation_mode(decoder):
            logits, state = decoder.step(ids.to(device), state)
        check_finite(logits)
        ids = sampling(forbid_ids(logits, forbidden), generator)
        for row, token in enumerate(ids.tolist()):
            ended[row] = ended[row] or token == stop
            if not ended[row]:
                texts[row].append(token)
        if all(ended):
            break
    return texts


def _covered(coverage: Tensor, past: Tensor) -> Tensor:
    """sum over the places of log(min(coverage, 1)): (B,) from coverage (B, S), and past (N, S) of B = k N rows."""
    logs = coverage.double().clamp(LEAST_COVERAGE, 1.0).log()
    return logs.masked_fill(past.repeat_interleave(len(coverage) // len(past), 0), 0.0).sum(1)
