"""A language model read token by token: the carried state, its noise start, its reordering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import truncated_normal_
from ..streaming import listener
from ..structure import State, describe, leaves, map_leaves
from .arguments import check_finite, is_number

PIECE = 512
"""Longest run of steps fed in one call, so that the logits of a long prompt, (T, B, V), never stand in memory whole."""

PATIENCE = 128
"""Single steps that pass before these are compiled, which takes as long as some hundred steps do."""


@contextmanager
def evaluation_mode(net: nn.Module) -> Iterator[None]:
    """Every module of ``net`` in evaluation mode and no gradients inside; each module's own mode is back afterwards.

    >>> net = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    >>> _ = net[1].eval()
    >>> with evaluation_mode(net):
    ...     print(net[0].training)
    False
    >>> net[0].training, net[1].training
    (True, False)
    """
    training = [module for module in net.modules() if module.training]
    if training:
        net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def noisy_state(net: nn.Module, batch_size: int, sigma: float, generator: torch.Generator | None = None) -> State:
    """A start state with noise, different in each row, "to add variation" to generated text.

    Every floating-point leaf (B, ...) of the net's start state gets a normal number of standard deviation ``sigma``
    added, redrawn beyond two sigmas as TensorFlow's ``truncated_normal`` does (which leaves 0.8796 sigma of deviation).
    The start state is ``net.initial_state(batch_size)``; a net without that method is taken to start from zeros, of the
    shapes of the state after one step. Numbers are drawn on the CPU in float64, leaf by leaf in order.
    Raises UserError when ``sigma`` is negative or not finite.

    >>> class Net(nn.Module):
    ...     def initial_state(self, batch_size):
    ...         return torch.zeros(batch_size, 3)
    >>> state = noisy_state(Net(), 2, 0.01)
    >>> state.shape, bool(state.any()), float(state.abs().max()) <= 0.02
    (torch.Size([2, 3]), True, True)
    """
    if not is_number(sigma) or sigma < 0:
        raise UserError(f"noise is {sigma!r}; expected a standard deviation of at least 0, such as 0.01")

    def noisy(leaf: Tensor) -> Tensor:
        if not leaf.is_floating_point():
            return leaf
        noise = truncated_normal_(torch.empty(leaf.shape, dtype=torch.float64), sigma, generator)
        return leaf + noise.to(leaf)

    with evaluation_mode(net):
        initial_state = getattr(net, "initial_state", None)
        if initial_state is not None:
            start = initial_state(batch_size)
        else:
            _, after = net(torch.zeros(1, batch_size, dtype=torch.int64, device=_device(net)), None)
            start = map_leaves(torch.zeros_like, after)
        _check_batch(start, batch_size)
        return map_leaves(noisy, start)


class TokenStream:
    """A language model fed a prompt at once and then a token a step, its state carried in between.

    ``net(x, state) -> (logits, state)`` with x (T, B) int64, logits (T, B, V), and a state whose leaves are (B, ...);
    ``state=None`` is the net's start state. It runs without gradients and in evaluation mode, and every module's mode
    is put back after each call, so a net in the middle of its training can be listened to.

    >>> class Count(nn.Module):
    ...     def forward(self, x, state=None):
    ...         seen = nn.functional.one_hot(x, 3).float().cumsum(0) + (0 if state is None else state)
    ...         return seen, seen[-1]
    >>> stream = TokenStream(Count(), batch_size=2)
    >>> stream.feed(torch.tensor([[0, 1], [0, 2]]))
    tensor([[2., 0., 0.],
            [0., 1., 1.]])
    >>> stream.select([1, 1, 0])
    >>> stream.step(torch.tensor([0, 1, 2]))
    tensor([[1., 1., 1.],
            [0., 2., 1.],
            [2., 0., 1.]])
    """

    def __init__(self, net: nn.Module, batch_size: int, state: State = None) -> None:
        self.net = net
        self.batch_size = batch_size
        self.state = state
        self._steps = 0
        self._listener: nn.Module | None = None

    def feed(self, ids: Tensor) -> Tensor:
        """Read ids (T, B), T at least 1, and return the logits (B, V) after the last of them.

        Raises UserError when ids or logits have another shape, or a logit is infinite or not a number.
        """
        if ids.shape[1:] != (self.batch_size,) or not len(ids):
            raise UserError(f"ids of shape {tuple(ids.shape)}; expected (T, {self.batch_size}) with T of at least 1")
        self._steps += len(ids) == 1
        if self._listener is None and self._steps > PATIENCE:
            with evaluation_mode(self.net):
                self._listener, _ = listener(self.net)
        with evaluation_mode(self.net) if self._listener is None else torch.no_grad():
            for begin in range(0, len(ids), PIECE):
                piece = ids[begin : begin + PIECE].to(_device(self.net))
                logits, self.state = (self._listener or self.net)(piece, self.state)
        if logits.shape[:-1] != piece.shape:
            expected = ", ".join(map(str, [*piece.shape, "V"]))
            raise UserError(f"the net gave logits of shape {tuple(logits.shape)}; expected ({expected}), time first")
        last: Tensor = logits[-1]
        check_finite(last)
        return last

    def step(self, ids: Tensor) -> Tensor:
        """Read one token a row, ids (B,), and return the logits (B, V) for the next."""
        return self.feed(ids[None])

    def select(self, rows: Sequence[int] | Tensor) -> None:
        """Go on with the given rows, in that order; a row may be dropped or taken several times.

        Raises UserError when a leaf of the state is not batch first.
        """
        _check_batch(self.state, self.batch_size)
        index = torch.as_tensor(rows, dtype=torch.int64)
        self.state = map_leaves(lambda leaf: leaf.index_select(0, index.to(leaf.device)), self.state)
        self.batch_size = len(index)


def _device(net: nn.Module) -> torch.device:
    return next((parameter.device for parameter in net.parameters()), torch.device("cpu"))


def _check_batch(state: State, batch_size: int) -> None:
    if any(leaf.ndim == 0 or leaf.shape[0] != batch_size for leaf in leaves(state)):
        raise UserError(
            f"the state is {describe(state)}; expected every tensor to start with the batch, {batch_size} rows "
            "(torch.nn's (layers, B, H) states need a transpose)"
        )
