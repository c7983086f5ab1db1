"""Beam search: the most probable continuations of a prompt, found by keeping the best few at every step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UserError
from .arguments import count, is_number, prompt_ids, token_ids
from .samplers import forbid_ids
from .stream import TokenStream


@dataclass(frozen=True)
class Hypothesis:
    """A continuation, its stop id included: ``log_prob`` in nats, and ``score``, log_prob over its length penalty."""

    ids: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool


def penalty(length: int, alpha: float) -> float:
    """The length penalty ((5 + length) / 6)^alpha of Wu et al. 2016, arXiv:1609.08144, section 7.

    >>> penalty(1, 0.6), penalty(7, 1.0), penalty(100, 0.0)
    (1.0, 2.0, 1.0)
    """
    return float(((5 + length) / 6) ** alpha)


def beam_search(
    net: nn.Module,
    prompt: Sequence[int] | Tensor,
    *,
    length: int,
    width: int = 5,
    n_best: int = 1,
    length_penalty: float = 0.0,
    stop: int | None = None,
    start: int | None = None,
    forbid: Iterable[int] = (),
) -> list[Hypothesis]:
    """The ``n_best`` continuations of a prompt found with a beam of ``width``, best score first.

    A hypothesis is a sequence of chosen ids that ends with ``stop`` or has ``length`` tokens; both kinds are ranked
    together by score = log_prob / :func:`penalty` (its number of ids, ``length_penalty``), 0 (the default) ranking by
    probability alone, which favours short ones, and 0.6 to 1 favouring longer ones. At each step the ``width`` most
    probable of all extensions are kept; those that end with ``stop`` leave the beam, and the next step fills it again.
    The search ends early once nothing in the beam can still enter the n best: log_prob only falls, so log_prob over
    the penalty at full length bounds its final score (Huang et al. 2017, arXiv:1809.00069).
    Width 1 is greedy choice. Of equals the earlier hypothesis, then the lower id, goes first. Types in ``forbid`` are
    never chosen; log_prob stays the model's own. Fewer than ``n_best`` come back only if no more exist.
    Raises UserError for a value out of range and for a model that has diverged.

    >>> class Bigram(nn.Module):
    ...     def forward(self, x, state=None):
    ...         return torch.tensor([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.0001, 0.0001, 0.9998]]).log()[x], state
    >>> for width in 1, 2:
    ...     best = beam_search(Bigram(), [0], length=2, width=width)[0]
    ...     print(best.ids, round(math.exp(best.log_prob), 3))
    (1, 0) 0.2
    (2, 2) 0.4
    """
    count("length", length)
    if count("n_best", n_best) > count("width", width):
        raise UserError(f"n_best is {n_best} with a width of {width}; give a width of at least {n_best}")
    if not is_number(length_penalty) or length_penalty < 0:
        raise UserError(f"length_penalty is {length_penalty!r}; expected a number of at least 0, such as 0.6")
    if stop is not None:
        token_ids([stop], "stop")
    forbidden = token_ids(forbid, "forbid")

    stream = TokenStream(net, 1)
    logits = stream.feed(prompt_ids(prompt, start)[:, None])
    live: list[tuple[int, ...]] = [()]
    log_probs = torch.zeros(1, dtype=torch.float64)  # (len(live),), largest first
    done: list[Hypothesis] = []
    for size in range(1, length + 1):
        extended = log_probs[:, None] + logits.cpu().double().log_softmax(-1)  # (len(live), V)
        best = forbid_ids(extended, forbidden).flatten().sort(descending=True, stable=True)
        rows, sequences, totals = [], [], []
        for log_prob, index in zip(best.values[:width].tolist(), best.indices[:width].tolist(), strict=True):
            row, token = divmod(index, extended.shape[1])
            sequence = (*live[row], token)
            if log_prob == -math.inf:  # forbidden: fewer than `width` extensions exist
                break
            if token == stop or size == length:
                score = log_prob / penalty(size, length_penalty)
                done.append(Hypothesis(sequence, log_prob, score, finished=token == stop))
            else:
                rows.append(row)
                sequences.append(sequence)
                totals.append(log_prob)
        done.sort(key=lambda hypothesis: -hypothesis.score)
        if not rows or settled(done, n_best, totals[0] / penalty(length, length_penalty)):
            break
        live, log_probs = sequences, torch.tensor(totals, dtype=torch.float64)
        stream.select(rows)
        logits = stream.step(torch.tensor([sequence[-1] for sequence in live]))
    return done[:n_best]


def settled(done: list[Hypothesis], n_best: int, bound: float) -> bool:
    """Whether the n best of ``done``, best first, can no longer be beaten by what scores ``bound`` at most.

    >>> settled([Hypothesis((0,), -1.0, -1.0, True)], 1, -2.0)
    True
    """
    return len(done) >= n_best and done[n_best - 1].score >= bound
