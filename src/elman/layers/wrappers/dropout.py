"""Dropout on a cell's input, output and state."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...structure import State, leaves, rebuild
from .masks import Probabilities, check_count, check_probability, check_state_probabilities, dropout_mask
from .wrapper import Inputs, Wrapper, as_tuple, vectors


class Dropout(Wrapper):
    """Drops units of a cell's input, output and state in training, and scales the others by 1 / (1 - p).

    The state is dropped on its way into the step, h_t = step(x_t, mask * h_{t-1}); what is carried on is whole. With
    ``per_sequence`` a row has one mask for all steps of a call of ``elman.scan``, each of the three its own: the
    variational dropout of Gal and Ghahramani 2016, arXiv:1512.05287; else each step has a mask of its own. Rows that
    are reset within a call keep their masks. In evaluation it does nothing.

    Args:
        cell: any cell.
        input: probability of dropping a feature of x; further inputs of the cell are left alone.
        output: probability of dropping a feature of the output.
        state: probability of dropping a unit of the first state, h; or one probability for each state, in order. A
            number leaves the others alone: an LSTM that drops its c forgets.
        per_sequence: one mask for all steps.

    Raises ``UserError`` for a probability outside [0, 1], for another number of probabilities than states, and for
    ids as x where the input is dropped.

    >>> import torch, elman
    >>> cell = Dropout(elman.cells.LSTM(3, 4), input=0.2, state=0.3, per_sequence=True)
    >>> y, (h, c) = elman.scan(cell, torch.randn(7, 2, 3))
    >>> y.shape
    torch.Size([7, 2, 4])
    """

    def __init__(
        self,
        cell: nn.Module,
        *,
        input: float = 0.0,
        output: float = 0.0,
        state: Probabilities = 0.0,
        per_sequence: bool = False,
    ) -> None:
        super().__init__(cell)
        self.input = check_probability("Dropout", "input", input)
        self.output = check_probability("Dropout", "output", output)
        self.state = check_state_probabilities("Dropout", cell, state)
        self.per_sequence = per_sequence

    def draw(self, x: Inputs, state: State, lead: tuple[int, ...]) -> tuple[Tensor, ...]:
        options: dict[str, Any] = {"lead": lead, "per_sequence": self.per_sequence}
        masks = []
        if self.input:
            first = vectors(self, x, "dropping features of it")
            masks.append(dropout_mask(self.input, first.shape[len(lead) :], first, **options))
        for p, leaf in zip(self._of_states(state), leaves(state), strict=True):
            if p:
                masks.append(dropout_mask(p, leaf.shape, leaf, **options))
        if self.output:
            like = leaves(state)[0]
            masks.append(dropout_mask(self.output, (len(like), self.output_size), like, **options))
        return tuple(masks)

    def step(self, x: Inputs, state: State, *drawn: Tensor) -> tuple[Tensor, State]:
        if not self.training:
            return self.inner(x, state)
        masks = iter(drawn)
        if self.input:
            first, *extras = as_tuple(x)
            first = first * next(masks)
            x = (first, *extras) if isinstance(x, tuple) else first
        probabilities = self._of_states(state)
        fed = [leaf * next(masks) if p else leaf for p, leaf in zip(probabilities, leaves(state), strict=True)]
        y, new = self.inner(x, rebuild(state, fed))
        return y * next(masks) if self.output else y, new

    def _of_states(self, state: State) -> tuple[float, ...]:
        count = len(leaves(state))
        if isinstance(self.state, float):
            return (self.state, *[0.0] * (count - 1))
        check_count("Dropout", self.state, count)
        return self.state

    def extra_repr(self) -> str:
        return f"input={self.input}, output={self.output}, state={self.state}, per_sequence={self.per_sequence}"
