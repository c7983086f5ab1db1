"""Truncated backpropagation through time: BPTT(k2; k1) of Williams and Peng 1990."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from ..errors import UserError
from . import readout
from .shared import Array, Params


class RecurrentNet(Protocol):
    """What ``rnn``, ``lstm`` and ``gru`` have in common."""

    @property
    def forward(self) -> Any: ...

    @property
    def backward(self) -> Any: ...


def tbptt(
    net: RecurrentNet,
    params: Params,
    readout_params: Params,
    x: Array,
    targets: Array,
    k1: int,
    k2: int | None = None,
    state: Any = None,
) -> Iterator[tuple[float, Params, Params]]:
    """For each k1 steps of one long sequence: the loss, and the gradients of the net's and the read-out's parameters.

    A window starts from the state k2 steps back (or from the start), which counts as a constant: no gradient passes it.
    It runs the steps since with the parameters as they are now, takes the mean loss of its newest k1 steps only, and
    goes back once. The caller changes the parameters in place between two windows.

    Args:
        net: the module ``rnn``, ``lstm`` or ``gru``.
        params: the net's parameters.
        readout_params: those of ``readout``.
        x: (T, B, I).
        targets: whole numbers (T, B).
        k1: steps between two updates; the last window may be shorter.
        k2: steps to go back through, a multiple of k1; default k1.
        state: the state before the first step; default zeros.

    Raises ``UserError`` for a k2 that is no multiple of k1.

    >>> from elman.reference import rnn
    >>> rng = np.random.default_rng(0)
    >>> net, out = rnn.start(4, 8, rng), readout.start(8, 4, rng)
    >>> ids = np.arange(41)[:, None] % 4  # 0 1 2 3 0 1 ...: each token tells the next
    >>> x, targets = np.eye(4)[ids[:-1]], ids[1:]
    >>> losses = []
    >>> for _ in range(20):
    ...     for loss, gradients, out_gradients in tbptt(rnn, net, out, x, targets, k1=5, k2=10):
    ...         losses.append(loss)
    ...         for params, each in ((net, gradients), (out, out_gradients)):
    ...             for name in params:
    ...                 params[name] -= 0.5 * each[name]
    >>> losses[0] > 1.0, losses[-1] < 0.1
    (True, True)
    """
    k2 = k1 if k2 is None else k2
    if k1 < 1 or k2 < k1 or k2 % k1:
        raise UserError(f"k1={k1}, k2={k2}; k2 (steps to go back through) is a multiple of k1, both above 0")
    return _windows(net, params, readout_params, x, targets, k1, k2, state)


def _windows(
    net: RecurrentNet, params: Params, readout_params: Params, x: Array, targets: Array, k1: int, k2: int, state: Any
) -> Iterator[tuple[float, Params, Params]]:
    for newest in range(0, len(x), k1):
        end = newest + k1
        begin, next_begin = max(0, end - k2), max(0, end + k1 - k2)
        ys, _, caches = net.forward(params, x[begin:end], state)
        fresh = ys[newest - begin :]  # the only steps with a loss
        loss, dlogits = readout.cross_entropy(readout.forward(readout_params, fresh), targets[newest:end])
        out_gradients, dfresh = readout.backward(readout_params, fresh, dlogits)
        dys = np.zeros_like(ys)
        dys[newest - begin :] = dfresh
        gradients, _, _ = net.backward(params, caches, dys)
        # Before the caller changes the parameters: the state from which the next window starts.
        _, state, _ = net.forward(params, x[begin:next_begin], state)
        yield loss, gradients, out_gradients
