"""Drop-ins for ``torch.nn``'s recurrent layers and cells: constructor, parameters, call, results and errors.

The layers run by ``elman.scan``; tensors on another device than the CPU or of a class of their own, and the tracing of
``torch.jit``, go to PyTorch's own loop. Where they differ from PyTorch's: ``docs/drop-ins.md``.

``torch.compile`` turns away all that is a ``torch.nn.RNN``, ``LSTM`` or ``GRU``, ours too: they run outside its graphs,
as fast as ever, and ``fullgraph=True`` is an error, unless ``torch._dynamo.config.allow_rnn = True``.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .cell import Cell, Gated
from .cells import gru, lstm, rnn
from .layers.recurrent import run_layer


class _ProjectedLSTM(lstm.LSTM, register=False):
    """``torch.nn.LSTM``'s cell with ``proj_size``: h_t = W_hr (o tanh(c_t)); all its weights are put in their place."""

    def __init__(self, input_size: int, hidden_size: int, proj_size: int) -> None:
        super().__init__(input_size, hidden_size, device="meta")
        self.proj_size = proj_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.proj_size, self.hidden_size

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        h, c = super().step(x, h, c)
        return F.linear(h, self.weight_hr), c  # type: ignore[arg-type]


class _DropIn(torch.nn.RNNBase):
    """PyTorch's parameters, argument checks and layouts around our loop; the three classes below say which cell."""

    takes_sequences = True  # for explain: not a step

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        features = (self.proj_size or self.hidden_size) * (1 + self.bidirectional)
        sizes = [self.input_size, *[features] * (self.num_layers - 1)]
        # In a tuple they are no submodules: they have no parameters of their own, and none of their names is seen.
        self._templates = tuple(self._cell(size) for size in sizes)

    def _cell(self, input_size: int) -> Cell:
        """A cell without memory of its own, whose parameters are put in its place layer by layer."""
        raise NotImplementedError

    def _run(self, input: Tensor | PackedSequence, hx: Any) -> Any:
        given = input.data if isinstance(input, PackedSequence) else input
        tensors = given, *(() if hx is None else _as_tuple(hx)), *self._parameters.values()
        if torch.jit.is_tracing() or not all(map(_is_plain, tensors)):
            return super().forward(input, hx)
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        if input.dim() not in (2, 3):
            name, noun = self.mode.split("_")[0], " tensor" if self.mode.startswith("RNN") else ""
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D{noun} instead")
        batched = input.dim() == 3
        batch_axis = 0 if self.batch_first else 1
        x = input if batched else input.unsqueeze(batch_axis)
        if hx is not None:
            self._check_axes(hx, batched)
            hx = hx if batched else _each(lambda h: h.unsqueeze(1), hx)
        hx = self._checked(x, hx, None)
        y, final = self._layers(x.transpose(0, 1) if self.batch_first else x, hx, None)
        y = y.transpose(0, 1) if self.batch_first else y
        return (y, final) if batched else (y.squeeze(batch_axis), _each(lambda h: h.squeeze(1), final))

    def _run_packed(self, packed: PackedSequence, hx: Any) -> Any:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        # The rows in packing order: longest first.
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        if hx is not None:
            hx = self.permute_hidden(hx, sorted_indices)
        y, final = self._layers(x, self._checked(data, hx, batch_sizes), lengths.to(data.device))
        output = PackedSequence(pack_padded_sequence(y, lengths).data, batch_sizes, sorted_indices, unsorted_indices)
        return output, self.permute_hidden(final, unsorted_indices)

    def _check_axes(self, hx: Any, batched: bool) -> None:
        kind, axes = ("batched", 3) if batched else ("unbatched", 2)
        if self.mode == "LSTM":
            dims: tuple[int, ...] = hx[0].dim(), hx[1].dim()
            names, got = "hx and cx", f"({dims[0]}-D, {dims[1]}-D) tensors"
        else:
            dims = (hx.dim(),)
            names, got = "hx", f"{dims[0]}-D tensor"
        if set(dims) != {axes}:
            raise RuntimeError(f"For {kind} {axes}-D input, {names} should also be {axes}-D but got {got}")

    def _checked(self, x: Tensor, hx: Any, batch_sizes: Tensor | None) -> Any:
        """The start state, zeros where none is given; raises what ``torch.nn`` raises for what does not fit."""
        if x.dtype != self._flat_weights[0].dtype:  # type: ignore[union-attr]
            self._update_flat_weights()  # which the check reads: the weights may have been replaced
        if hx is None:
            batch = int(batch_sizes[0]) if batch_sizes is not None else x.shape[0 if self.batch_first else 1]
            rows = self.num_layers * (1 + self.bidirectional)
            hx = x.new_zeros(rows, batch, self.proj_size or self.hidden_size)
            if self.mode == "LSTM":
                hx = hx, x.new_zeros(rows, batch, self.hidden_size)
        self.check_forward_args(x, hx, batch_sizes)
        if self.mode == "LSTM" and len(hx) != 2:
            raise RuntimeError("lstm expects two hidden states")
        if batch_sizes is None and x.shape[1 if self.batch_first else 0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        return hx

    def _layers(self, x: Tensor, hx: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        """All layers, time first; ``hx`` and the final state are stacked (layers * directions, B, H)."""
        suffixes = ("", "_reverse") if self.bidirectional else ("",)
        final: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            template = self._templates[layer]
            pair, starts = [], []
            for direction, suffix in enumerate(suffixes):
                pair.append(template.with_parameters(self._parameters_of(layer, suffix)))
                row = layer * len(suffixes) + direction
                starts.append(_each(itemgetter(row), hx))
            state = starts[0] if len(starts) == 1 else tuple(starts)
            x, stepped, _ = run_layer(tuple(pair), x, state, lengths=lengths)
            final += [_as_tuple(each) for each in (stepped if self.bidirectional else (stepped,))]
        stacked = tuple(torch.stack(each) for each in zip(*final, strict=True))
        return x, stacked if self.mode == "LSTM" else stacked[0]

    def _parameters_of(self, layer: int, suffix: str) -> dict[str, Tensor | None]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", *(("weight_hr",) if self.proj_size else ()))
        return {name: getattr(self, f"{name}_l{layer}{suffix}", None) for name in names}


class RNN(_DropIn, torch.nn.RNN):
    """``torch.nn.RNN`` run by ``elman.scan``: same constructor, ``state_dict``, call and results.

    >>> y, h = RNN(3, 5, num_layers=2, nonlinearity="relu")(torch.randn(7, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]))
    """

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None) -> Any:
        """``output, h_n``, as ``torch.nn``'s: input (T, B, I), (B, T, I) if ``batch_first``, (T, I), or packed."""
        return self._run(input, hx)

    def _cell(self, input_size: int) -> Cell:
        return rnn.RNN(input_size, self.hidden_size, nonlinearity=self.nonlinearity, device="meta")


class LSTM(_DropIn, torch.nn.LSTM):
    """``torch.nn.LSTM`` run by ``elman.scan``: same constructor, ``state_dict``, call and results.

    >>> y, (h, c) = LSTM(3, 5, bidirectional=True, batch_first=True)(torch.randn(2, 7, 3))
    >>> y.shape, c.shape
    (torch.Size([2, 7, 10]), torch.Size([2, 2, 5]))
    """

    def forward(self, input: Tensor | PackedSequence, hx: tuple[Tensor, Tensor] | None = None) -> Any:
        """``output, (h_n, c_n)``, as ``torch.nn``'s: input (T, B, I), (B, T, I) if ``batch_first``, or packed."""
        return self._run(input, hx)

    def _cell(self, input_size: int) -> Cell:
        if self.proj_size:
            return _ProjectedLSTM(input_size, self.hidden_size, self.proj_size)
        return lstm.LSTM(input_size, self.hidden_size, device="meta")


class GRU(_DropIn, torch.nn.GRU):
    """``torch.nn.GRU`` run by ``elman.scan``: same constructor, ``state_dict``, call and results.

    >>> y, h = GRU(3, 5)(torch.randn(7, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 5]), torch.Size([1, 5]))
    """

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None) -> Any:
        """``output, h_n``, as ``torch.nn``'s: input (T, B, I), (B, T, I) if ``batch_first``, (T, I), or packed."""
        return self._run(input, hx)

    def _cell(self, input_size: int) -> Cell:
        return gru.GRU(input_size, self.hidden_size, device="meta")


class RNNCell(torch.nn.RNNCell):
    """``torch.nn.RNNCell``: one call is PyTorch's own step, ``elman.scan`` over it is compiled.

    >>> import elman
    >>> y, h = elman.scan(RNNCell(3, 5, nonlinearity="relu"), torch.randn(7, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 5]))
    """


class LSTMCell(torch.nn.LSTMCell):
    """``torch.nn.LSTMCell``: one call is PyTorch's own step, ``elman.scan`` over it is compiled.

    >>> import elman
    >>> y, (h, c) = elman.scan(LSTMCell(3, 5), torch.randn(7, 2, 3))
    >>> y.shape, c.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 5]))
    """


class GRUCell(torch.nn.GRUCell):
    """``torch.nn.GRUCell``: one call is PyTorch's own step, ``elman.scan`` over it is compiled.

    >>> import elman
    >>> y, h = elman.scan(GRUCell(3, 5), torch.randn(7, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 5]))
    """


def _is_plain(tensor: Any) -> bool:
    """Whether our loop takes it: on the CPU, and of no class that gives operators a meaning of its own."""
    return type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type == "cpu"


def _as_tuple(hx: Any) -> tuple[Tensor, ...]:
    return tuple(hx) if isinstance(hx, tuple | list) else (hx,)


def _each(fn: Callable[[Tensor], Tensor], hx: Any) -> Any:
    return tuple(map(fn, hx)) if isinstance(hx, tuple | list) else fn(hx)
