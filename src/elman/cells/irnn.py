"""RNN of rectified linear units that starts from the identity."""

from __future__ import annotations

import torch

from .rnn import RNN


class IRNN(RNN):
    """Rectified RNN whose recurrent weight starts as the identity: Le, Jaitly and Hinton 2015, arXiv:1504.00941.

    h_t = relu(W x_t + U h_{t-1} + b); U starts as the identity, W normal with sigma 0.001, the biases at zero: without
    input the state stays as it is. It is the start that makes the cell, so there is no other: for those take
    ``RNN(nonlinearity="relu", init=...)``, which computes the same.

    >>> y, h = IRNN(3, 4)(torch.zeros(2, 3), torch.ones(2, 4))
    >>> torch.equal(h, torch.ones(2, 4))
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, nonlinearity="relu", init="identity", bias=bias, device=device, dtype=dtype
        )
