"""Zoneout: states that now and then stay as they were."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...structure import State, leaves, rebuild
from .masks import Probabilities, check_count, check_state_probabilities
from .wrapper import Inputs, Wrapper


class Zoneout(Wrapper):
    """Zoneout (Krueger et al. 2017, arXiv:1606.01305): each unit keeps its old value with probability z at each step.

    In training s_t = d s_{t-1} + (1 - d) s'_t, with s'_t from the cell and d drawn for each unit and step; in
    evaluation the expectation, s_t = z s_{t-1} + (1 - z) s'_t. Nothing is scaled. Where the cell's output is one of its
    new states, as an LSTM's h, the output is that state after zoneout; an output made of states, as SCRN's [h, s], is
    that of the cell.

    Args:
        cell: any cell.
        state: z of all states but those that are no units (``Cell.internal``, an ``Attention``'s memory), or one for
            each in order: the paper's LSTM for language has (0.05, 0.5) for h and c.

    Raises ``UserError`` for a probability outside [0, 1] and for another number of probabilities than states.

    >>> import elman
    >>> y, h = elman.scan(Zoneout(elman.cells.GRU(3, 4), 1.0), torch.randn(7, 2, 3))
    >>> bool(h.any())  # it never leaves its start
    False
    """

    def __init__(self, cell: nn.Module, state: Probabilities) -> None:
        super().__init__(cell)
        self.state = check_state_probabilities("Zoneout", cell, state)

    def draw(self, x: Inputs, state: State, lead: tuple[int, ...]) -> tuple[Tensor, ...]:
        return tuple(
            torch.empty((*lead, *leaf.shape), dtype=torch.bool, device=leaf.device).bernoulli_(z)
            for z, leaf in zip(self._of_states(state), leaves(state), strict=True)
            if z
        )

    def step(self, x: Inputs, state: State, *drawn: Tensor) -> tuple[Tensor, State]:
        y, new = self.inner(x, state)
        stays = iter(drawn)
        made, mixed = leaves(new), []
        for z, before, after in zip(self._of_states(state), leaves(state), made, strict=True):
            if not z:
                mixed.append(after)
            elif self.training:
                mixed.append(torch.where(next(stays), before, after))
            else:
                mixed.append(z * before + (1 - z) * after)
        y = next((each for each, after in zip(mixed, made, strict=True) if after is y), y)
        return y, rebuild(new, mixed)

    def _of_states(self, state: State) -> tuple[float, ...]:
        if isinstance(self.state, float):
            return tuple(self.state if held else 0.0 for held in self.units(state))
        check_count("Zoneout", self.state, len(leaves(state)))
        return self.state

    def extra_repr(self) -> str:
        return f"state={self.state}"
