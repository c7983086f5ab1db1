"""LSTM with layer normalisation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated


class LayerNormLSTM(Cell):
    """LSTM with layer normalisation (Ba et al. 2016, arXiv:1607.06450), each gate and the state that is read.

    i, f, o = sigmoid(N(z)) and g = tanh(N(z)) of z = W x_t + U h_{t-1}, gate by gate; c_t = f c_{t-1} + i g;
    h_t = o tanh(N(c_t)). Every N subtracts the mean over the H units, divides by their deviation, and has a gain and a
    shift (H,) of its own: ``norm_i``, ``norm_f``, ``norm_g``, ``norm_o``, ``norm_c``. The shift of ``norm_f`` is the
    forget gate's bias.

    This is ``LayerNormBasicLSTMCell`` of TensorFlow 1. The paper, and Haste after it, normalises W x_t and U h_{t-1}
    apart, and all four gates together, and then adds a bias: another cell.

    Args:
        epsilon: added to the variance; default 1e-5. TensorFlow 1's cell has 1e-12.
        bias: biases before the normalisation; default False.

    >>> import torch
    >>> y, (h, c) = LayerNormLSTM(3, 4, forget_bias=1.0)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"

    def __init__(
        self, input_size: int, hidden_size: int, *, epsilon: float = 1e-5, bias: bool = False, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)
        self.epsilon = epsilon
        place: dict[str, Any] = {"device": self.weight_hh.device, "dtype": self.weight_hh.dtype}
        self.norm_i = nn.LayerNorm(hidden_size, eps=epsilon, **place)
        self.norm_f = nn.LayerNorm(hidden_size, eps=epsilon, **place)
        self.norm_g = nn.LayerNorm(hidden_size, eps=epsilon, **place)
        self.norm_o = nn.LayerNorm(hidden_size, eps=epsilon, **place)
        self.norm_c = nn.LayerNorm(hidden_size, eps=epsilon, **place)

    @property
    def forget_biases(self) -> tuple[Tensor, ...]:
        return (self.norm_f.bias,)

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        i, f, o = sigmoid(self.norm_i(z.i)), sigmoid(self.norm_f(z.f)), sigmoid(self.norm_o(z.o))
        c = f * c + i * tanh(self.norm_g(z.g))
        return o * tanh(self.norm_c(c)), c
