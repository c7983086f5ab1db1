"""A linear-chain conditional random field: scores of whole sequences of tags instead of one tag at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..engine import scan
from ..errors import UserError


class CRF(nn.Module):
    """Which sequence of K tags goes with a sequence of scores, where neighbouring tags have scores of their own.

    Tags y_1 ... y_n have the score start[y_1] + sum_t x[t, y_t] + sum_t transitions[y_t-1, y_t] + end[y_n], and their
    probability is the softmax of that over all K**n sequences: Lafferty et al. 2001; as the last layer of a recurrent
    tagger Lample et al. 2016, arXiv:1603.01360.

    ``losses = crf(x, tags, lengths)`` is the negative log likelihood of each row in nats, (B,), with x (T, B, K) scores
    from a net, tags (T, B) int64 and lengths (B,), T for all unless given. Nothing past a row's length is read; a row
    of length 0 has the one empty sequence, so its loss is 0. All three scores of tags start at 0.

    The sums are taken as products of exponentials less their largest, which is exact as long as the transitions to each
    tag differ by less than about 80 in float32 (700 in float64); those that training finds differ by some tens. The
    recursion is a step that ``elman.scan`` compiles.

    Raises ``UserError`` for shapes that do not fit.

    >>> crf = CRF(2)
    >>> x = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
    >>> crf.decode(x).T.tolist()
    [[0, 1]]
    >>> with torch.no_grad():
    ...     _ = crf.transitions.copy_(torch.tensor([[0.0, -9.0], [0.0, 0.0]]))
    >>> crf.decode(x).T.tolist(), round(crf(x, torch.tensor([[0], [0]])).item(), 4)
    ([[0, 0]], 0.4078)
    """

    def __init__(self, tags: int, **place: Any) -> None:
        super().__init__()
        if tags < 1:
            raise UserError(f"tags is {tags}; expected a whole number of at least 1")
        self.tags = tags
        self.start = nn.Parameter(torch.zeros(tags, **place))
        self.end = nn.Parameter(torch.zeros(tags, **place))
        self.forwards = _Forwards(tags, **place)

    @property
    def transitions(self) -> nn.Parameter:
        """Scores of tag j after tag i, (K, K)."""
        return self.forwards.transitions

    def forward(self, x: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.log_partition(x, lengths) - self.score(x, tags, lengths)

    def score(self, x: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The score of the tags given, (B,); 0 for a row of length 0."""
        lengths = self._checked(x, lengths)
        if tags.shape != x.shape[:2]:
            raise UserError(f"tags is {tuple(tags.shape)}; expected (T, B) = {tuple(x.shape[:2])}, as x is")
        inside = _inside(x, lengths)
        tags = tags.masked_fill(~inside, 0)
        steps = x.gather(2, tags.unsqueeze(2)).squeeze(2)
        steps = torch.cat([steps[:1] + self.start[tags[0]], steps[1:] + self.transitions[tags[:-1], tags[1:]]])
        last = tags.gather(0, (lengths - 1).clamp(min=0).unsqueeze(0)).squeeze(0)
        return steps.masked_fill(~inside, 0.0).sum(0) + self.end[last].masked_fill(lengths == 0, 0.0)

    def log_partition(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logarithm of the sum over all sequences of exp(score), (B,), by the forward algorithm."""
        lengths = self._checked(x, lengths)
        # The first step stands outside the loop, so nothing but this keeps an empty row's padding out.
        first = x[0].masked_fill((lengths == 0).unsqueeze(1), 0.0) + self.start
        with torch.autocast(x.device.type, enabled=False):  # rounding adds up over the steps
            _, sums = scan(self.forwards, x[1:], first, lengths=(lengths - 1).clamp(min=0))
        return (sums + self.end).logsumexp(-1).masked_fill(lengths == 0, 0.0)

    def marginals(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The probability of every tag at every step, (T, B, K); 0 past the end.

        They are the derivatives of the log partition by x. They carry no gradient.
        """
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (found,) = torch.autograd.grad(self.log_partition(x, lengths).sum(), x)
        return found

    @torch.no_grad()
    def decode(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The sequences of highest score, (T, B) int64, by the Viterbi algorithm; 0 past the end."""
        lengths = self._checked(x, lengths)
        best = [x[0] + self.start]  # the highest score of a beginning that ends with each tag, (B, K)
        for scores in x[1:]:
            best.append((best[-1].unsqueeze(2) + self.transitions).amax(1) + scores)
        tags = torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
        for t in reversed(range(len(best))):
            after = self.end.expand_as(best[t])
            if t + 1 < len(best):
                after = torch.where((lengths == t + 1).unsqueeze(1), after, self.transitions.T[tags[t + 1]])
            tags[t] = (best[t] + after).argmax(1).masked_fill(lengths <= t, 0)
        return tags

    def _checked(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if x.dim() != 3 or x.shape[2] != self.tags or not len(x):
            raise UserError(f"x is {tuple(x.shape)}; expected scores (T, B, {self.tags}) of at least one step")
        if lengths is None:
            return torch.full((x.shape[1],), x.shape[0], device=x.device)
        if lengths.shape != (x.shape[1],):
            raise UserError(f"lengths is {tuple(lengths.shape)}; expected (B,) = ({x.shape[1]},)")
        return lengths

    def extra_repr(self) -> str:
        return f"tags={self.tags}"


class _Forwards(nn.Module):
    """A step of the forward algorithm, for ``scan``: a_t[j] = x_t[j] + log sum_i exp(a_t-1[i] + transitions[i, j])."""

    def __init__(self, tags: int, **place: Any) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags, **place))

    def forward(self, x: Tensor, sums: Tensor) -> Tensor:
        top, most = sums.amax(-1, keepdim=True), self.transitions.amax(0)
        return x + top + most + torch.log(torch.exp(sums - top) @ torch.exp(self.transitions - most))


def _inside(x: Tensor, lengths: Tensor) -> Tensor:
    """Which steps are before their row's end, (T, B)."""
    return torch.arange(x.shape[0], device=x.device).unsqueeze(1) < lengths
