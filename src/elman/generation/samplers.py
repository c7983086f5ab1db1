"""From logits (B, V) to one token id a row: greedy, temperature, top-k, top-p."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from .arguments import count, is_number

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""``sampler(logits, generator) -> ids``: logits (B, V) of any dtype and device, ids (B,) int64 on the CPU."""


def forbid_ids(logits: Tensor, ids: Iterable[int]) -> Tensor:
    """Logits (..., V) with the given types at minus infinity, so that they are never produced.

    Raises UserError when an id is outside the vocabulary or no type is left.

    >>> forbid_ids(torch.zeros(1, 3), [1])
    tensor([[0., -inf, 0.]])
    """
    forbidden = sorted(set(ids))
    vocabulary = logits.shape[-1]
    if not forbidden:
        return logits
    if forbidden[0] < 0 or forbidden[-1] >= vocabulary:
        raise UserError(f"forbidden ids are {forbidden}; expected ids of the vocabulary, 0 to {vocabulary - 1}")
    if len(forbidden) == vocabulary:
        raise UserError(f"all {vocabulary} types of the vocabulary are forbidden; leave at least one")
    return logits.index_fill(-1, torch.tensor(forbidden, device=logits.device), -math.inf)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits (..., V) with all but the ``k`` largest at minus infinity (Fan et al. 2018, arXiv:1805.04833).

    Exactly ``k`` stay (all, when ``k`` exceeds V): of equal logits the lower id goes first.

    >>> keep_top_k(torch.tensor([1.0, 3.0, 2.0, 2.0]), 2)
    tensor([-inf, 3., 2., -inf])
    """
    order = logits.argsort(dim=-1, descending=True, stable=True)
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)
    return logits.masked_fill(~keep, -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits (..., V) with all but the nucleus at minus infinity (Holtzman et al. 2020, arXiv:1904.09751).

    The nucleus is the smallest set of most probable types whose mass is at least ``p``; of equal logits the lower id
    goes first, and the most probable type always stays. ``p=1`` keeps everything.

    >>> keep_top_p(torch.tensor([0.5, 0.3, 0.2]).log(), 0.7).exp()
    tensor([0.5000, 0.3000, 0.0000])
    """
    if p == 1:  # the sum of all rounds to just below or above 1, and could cost the rarest types
        return logits
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    mass = ordered.softmax(-1).cumsum(-1)
    mass_before = torch.cat([torch.zeros_like(mass[..., :1]), mass[..., :-1]], -1)
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, mass_before < p)
    return logits.masked_fill(~keep, -math.inf)


def draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """One id a row, (B,), drawn from probabilities (B, V) by inverting their cumulative sum.

    Takes exactly one uniform float64 number a row from ``generator``, in row order; a type of probability 0 is never
    drawn.

    >>> draw(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), torch.Generator())
    tensor([1, 2])
    """
    cumulative = probabilities.double().cumsum(-1)
    # The last entry becomes exactly 1 and a uniform number is below 1, so the first entry above it always exists.
    cumulative = cumulative / cumulative[:, -1:]
    uniform = torch.rand(len(cumulative), 1, dtype=torch.float64, generator=generator)
    return torch.searchsorted(cumulative, uniform, right=True)[:, 0]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; called with logits (B, V) and a CPU generator it returns ids (B,).

    The order is temperature, then ``top_k``, then ``top_p`` of what is left, then one draw a row (:func:`draw`).
    ``temperature`` (default 1) divides the logits: below 1 safer, above 1 wilder, 0 the same as ``greedy``.
    ``greedy`` takes the largest logit, the lower id of equal ones, whatever the other options say (they never remove
    it), and draws no random number. The choice is made in float64 on the CPU, so that a seed means the same on every
    device. Raises UserError for a value out of range.

    >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
    >>> Sampling(greedy=True)(logits, torch.Generator())
    tensor([0])
    >>> Sampling(temperature=0.5, top_k=2).probabilities(logits)
    tensor([[0.8808, 0.1192, 0.0000]], dtype=torch.float64)
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    greedy: bool = False

    def __post_init__(self) -> None:
        if not is_number(self.temperature) or self.temperature < 0:
            raise UserError(f"temperature is {self.temperature!r}; expected a number of at least 0, such as 0.8")
        if self.top_k is not None:
            count("top_k", self.top_k)
        if self.top_p is not None and (not is_number(self.top_p) or not 0 < self.top_p <= 1):
            raise UserError(f"top_p is {self.top_p!r}; expected a probability above 0 and at most 1, such as 0.9")

    def probabilities(self, logits: Tensor) -> Tensor:
        """The distribution that is drawn from, (B, V) float64 on the CPU; one-hot when greedy.

        >>> Sampling(top_p=0.6).probabilities(torch.tensor([[0.5, 0.25, 0.25]]).log())
        tensor([[0.6667, 0.3333, 0.0000]], dtype=torch.float64)
        """
        logits = logits.detach().cpu().double()
        if self._certain:
            return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).double()
        # With the largest at 0 no temperature, however small, makes an infinity of it.
        logits = (logits - logits.amax(-1, keepdim=True)) / self.temperature
        if self.top_k is not None:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        return logits.softmax(-1)

    def __call__(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Ids (B,) int64 on the CPU for logits (B, V).

        >>> Sampling(temperature=0)(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.Generator())
        tensor([1, 0])
        """
        if self._certain:
            return logits.detach().cpu().argmax(-1)
        return draw(self.probabilities(logits), generator)

    @property
    def _certain(self) -> bool:
        return self.greedy or self.temperature == 0
