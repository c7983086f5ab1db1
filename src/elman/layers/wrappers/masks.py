"""Random masks, and the probabilities they are drawn with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...engine.steps import default_state
from ...errors import UserError
from ...structure import leaves

Probabilities = float | Sequence[float]


def check_probability(owner: str, name: str, p: object) -> float:
    """The probability itself; raises ``UserError`` unless it is a number from 0 to 1."""
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise UserError(f"{owner} got {name}={p!r}; give the probability of dropping, between 0 and 1")
    return float(p)


def check_state_probabilities(owner: str, cell: nn.Module, given: object) -> float | tuple[float, ...]:
    """One probability, or a tuple with one for each state of the cell.

    Raises ``UserError`` for a number out of range and, where the cell has a start state, for a wrong count.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        return check_probability(owner, "state", given)
    found = tuple(check_probability(owner, f"state[{k}]", each) for k, each in enumerate(given))
    try:
        count = len(leaves(default_state(cell, 1)))
    except UserError:  # no start of its own: known at the first step
        return found
    check_count(owner, found, count)
    return found


def check_count(owner: str, probabilities: Sequence[float], count: int) -> None:
    """Raises ``UserError`` unless there are as many probabilities as states."""
    if len(probabilities) != count:
        raise UserError(f"{owner} got {len(probabilities)} probabilities for {count} states; give one for each")


def dropout_mask(
    p: float, shape: Sequence[int], like: Tensor, lead: tuple[int, ...], *, per_sequence: bool = False
) -> Tensor:
    """(\\*lead, \\*shape): 0 with probability p and 1 / (1 - p) else; ``per_sequence`` draws one step for all.

    >>> import torch
    >>> mask = dropout_mask(0.5, (2, 3), torch.zeros(1), (4,), per_sequence=True)
    >>> bool(((mask == 0) | (mask == 2)).all()), torch.equal(mask[0], mask[3])
    (True, True)
    """
    mask = like.new_empty((*(() if per_sequence else lead), *shape)).bernoulli_(1 - p)
    if p < 1:
        mask = mask / (1 - p)
    return mask.expand(*lead, *shape)
