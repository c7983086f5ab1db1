"""Convolutional LSTM over sequences of signals, images or volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..engine import scan
from ..errors import UserError

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class ConvState(NamedTuple):
    """The state of a convolutional LSTM: output and memory, (B, C, *size) each."""

    h: Tensor
    c: Tensor


class ConvLSTM(nn.Module):
    """Convolutional LSTM (Shi et al. 2015, arXiv:1506.04214, equation 3): an LSTM whose products are convolutions.

    i, f = sigmoid(W * x_t + U * h_{t-1} + P c_{t-1} + b); g = tanh(W * x_t + U * h_{t-1} + b); c_t = f c_{t-1} + i g;
    o = sigmoid(W * x_t + U * h_{t-1} + P c_t + b); h_t = o tanh(c_t). ``*`` is a convolution of stride 1 on images
    padded with zeros, so that sizes stay. P c is the paper's peephole, one weight a channel and place; it is left out
    unless ``peephole`` says how large the images are, as Keras always does. Libraries with one peephole weight a
    channel, or with o seeing c_{t-1}, compute something else.
    Use the class for the number of axes: ``ConvLSTM1d``, ``ConvLSTM2d``, ``ConvLSTM3d``.

    ``y, state = layer(x, state=None, *, lengths=None, resets=None, reverse=False, return_states=False)`` with
    x (T, B, input_channels, *size), or (B, T, ...) when ``batch_first``; y likewise, with hidden_channels. The state is
    (h, c), each (B, hidden_channels, *size), zeros by default; the keywords are those of ``elman.scan``, ``resets`` in
    the layout of x. The input convolution is done for all steps at once; the loop runs step by step in PyTorch.

    Parameters of ``layer.cell``: ``weight_ih`` (4C, I, *kernel) and ``weight_hh`` (4C, C, *kernel), rows i, f, g, o;
    ``bias`` (4C,); ``weight_ci``, ``weight_cf``, ``weight_co`` (C, *size). Kernels start uniform in
    +-1/sqrt(terms of a sum), the rest at 0.

    Args:
        input_channels: channels I of x.
        hidden_channels: channels C of h and c.
        kernel_size: odd, one number or one an axis; default 3.
        peephole: the images' size, one number an axis, where the gates are to see c; default: they do not.
        bias: whether there is a bias.
        forget_bias: value the forget gate's bias starts from; default 0.
        batch_first: x and y are (B, T, ...).

    Raises ``UserError`` for sizes below 1, an even kernel, another number of axes, and for an x or a state that does
    not fit.

    >>> layer = ConvLSTM2d(3, 8, kernel_size=5, forget_bias=1.0)
    >>> y, (h, c) = layer(torch.randn(7, 2, 3, 16, 16))
    >>> y.shape, c.shape
    (torch.Size([7, 2, 8, 16, 16]), torch.Size([2, 8, 16, 16]))
    """

    takes_sequences = True  # for explain: not a step
    axes: ClassVar[int]

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        kernel_size: int | Sequence[int] = 3,
        *,
        peephole: Sequence[int] | None = None,
        bias: bool = True,
        forget_bias: float | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        sizes: dict[str, Any] = {"input_channels": input_channels, "hidden_channels": hidden_channels}
        for argument, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise UserError(f"{name} got {argument}={size!r}; give a whole number of at least 1")
        kernel = (kernel_size,) * self.axes if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) != self.axes or any(size < 1 or size % 2 == 0 for size in kernel):
            raise UserError(f"{name} got kernel_size={kernel_size!r}; give an odd number, or {self.axes} of them")
        if peephole is not None and (len(peephole) != self.axes or min(peephole) < 1):
            raise UserError(f"{name} got peephole={peephole!r}; give the images' size, {self.axes} numbers")
        if forget_bias is not None and not bias:
            raise UserError(f"{name} has no biases (bias=False), so forget_bias={forget_bias} has nothing to set")
        self.batch_first = batch_first
        self.cell = ConvLSTMStep(
            input_channels, hidden_channels, kernel, peephole, bias, forget_bias, device=device, dtype=dtype
        )

    def forward(
        self,
        x: Tensor,
        state: Sequence[Tensor] | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        reverse: bool = False,
        return_states: bool = False,
    ) -> Any:
        """The outputs and the final state; with ``return_states`` also the states of every step, time first."""
        channels, hidden = self.cell.weight_ih.shape[1], self.cell.hidden_channels
        if x.dim() != 3 + self.axes or x.shape[2] != channels:
            layout = "(B, T" if self.batch_first else "(T, B"
            axes = ", size" * self.axes
            raise UserError(
                f"{type(self).__name__} got x {tuple(x.shape)}; expected {layout}, {channels}{axes}): {channels} "
                f"input channels and {self.axes} axes"
            )
        if self.batch_first:
            x = x.transpose(0, 1)
            resets = None if resets is None else resets.transpose(0, 1)
        size = x.shape[3:]
        if self.cell.peephole not in (None, size):
            raise UserError(
                f"{type(self).__name__} got images of size {tuple(size)}; its peepholes are for {self.cell.peephole}"
            )
        shape = (x.shape[1], hidden, *size)
        if state is None:
            state = ConvState(x.new_zeros(shape), x.new_zeros(shape))
        if [tuple(each.shape) for each in state] != [shape] * 2:
            got = ", ".join(str(tuple(each.shape)) for each in state)
            raise UserError(f"{type(self).__name__} got the state {got}; expected h and c, {shape} each")
        y, *states = scan(
            self,
            x,
            ConvState(*state),
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            return_states=return_states,
        )
        return (y.transpose(0, 1) if self.batch_first else y, *states)

    def begin_scan(self, x: Tensor, state: ConvState, lead: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
        """For ``elman.scan``: the step, and what it takes, W * x + b of x (*lead, B, I, *size) as one convolution."""
        images = self.cell.convolved_input(x.flatten(0, len(lead)))
        return self.cell, images.unflatten(0, x.shape[: len(lead) + 1])

    def extra_repr(self) -> str:
        return f"batch_first={self.batch_first}"


class ConvLSTM1d(ConvLSTM):
    """Convolutional LSTM over sequences of signals, x (T, B, channels, length); see ``ConvLSTM``.

    >>> y, (h, c) = ConvLSTM1d(2, 4)(torch.randn(5, 3, 2, 20))
    >>> y.shape
    torch.Size([5, 3, 4, 20])
    """

    axes = 1


class ConvLSTM2d(ConvLSTM):
    """Convolutional LSTM over sequences of images, x (T, B, channels, height, width); see ``ConvLSTM``.

    >>> y, (h, c) = ConvLSTM2d(2, 4, kernel_size=(3, 5), peephole=(6, 8))(torch.randn(5, 3, 2, 6, 8))
    >>> y.shape
    torch.Size([5, 3, 4, 6, 8])
    """

    axes = 2


class ConvLSTM3d(ConvLSTM):
    """Convolutional LSTM over sequences of volumes, x (T, B, channels, depth, height, width); see ``ConvLSTM``.

    >>> y, (h, c) = ConvLSTM3d(2, 4)(torch.randn(5, 3, 2, 4, 6, 8))
    >>> y.shape
    torch.Size([5, 3, 4, 4, 6, 8])
    """

    axes = 3


class ConvLSTMStep(nn.Module):
    """The parameters and one step of ``ConvLSTM``, which checks the arguments."""

    weight_ci: Tensor
    weight_cf: Tensor
    weight_co: Tensor

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        kernel_size: tuple[int, ...],
        peephole: Sequence[int] | None,
        bias: bool,
        forget_bias: float | None,
        **place: Any,
    ) -> None:
        super().__init__()
        self.hidden_channels = hidden_channels
        self.kernel_size = kernel_size
        self.peephole = None if peephole is None else tuple(peephole)
        self.forget_bias = forget_bias
        rows = 4 * hidden_channels
        self.weight_ih = nn.Parameter(torch.empty(rows, input_channels, *kernel_size, **place))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_channels, *kernel_size, **place))
        self.bias = nn.Parameter(torch.empty(rows, **place)) if bias else None
        for name in ("weight_ci", "weight_cf", "weight_co"):
            shape = None if self.peephole is None else (hidden_channels, *self.peephole)
            self.register_parameter(name, None if shape is None else nn.Parameter(torch.empty(shape, **place)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Starts all parameters anew."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        for kernel in (self.weight_ih, self.weight_hh):
            bound = 1 / math.sqrt(math.prod(kernel.shape[1:]))
            nn.init.uniform_(kernel, -bound, bound)
        if self.bias is not None and self.forget_bias is not None:
            nn.init.constant_(self.bias.detach().chunk(4)[1], self.forget_bias)

    def convolved_input(self, images: Tensor) -> Tensor:
        """W * x + b (N, 4C, *size) of images (N, I, *size)."""
        return self._convolve(images, self.weight_ih, self.bias)

    def forward(self, z: Tensor, state: ConvState) -> ConvState:
        """The new state from z = W * x_t + b (B, 4C, *size) and the old state."""
        h, c = state
        z = z + self._convolve(h, self.weight_hh, None)
        i, f, g, o = z.chunk(4, 1)
        if self.peephole is not None:
            i, f = i + self.weight_ci * c, f + self.weight_cf * c
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        if self.peephole is not None:
            o = o + self.weight_co * c
        return ConvState(sigmoid(o) * tanh(c), c)

    def _convolve(self, images: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        padding = [size // 2 for size in self.kernel_size]
        return _CONVOLUTIONS[len(self.kernel_size)](images, kernel, bias, padding=padding)

    def extra_repr(self) -> str:
        return (
            f"{self.weight_ih.shape[1]}, {self.hidden_channels}, kernel_size={self.kernel_size}, "
            f"peephole={self.peephole}, bias={self.bias is not None}"
        )
