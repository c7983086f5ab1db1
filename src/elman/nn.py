"""Drop-ins for ``torch.nn``'s recurrent layers: constructor, parameters, call and results, run by ``elman.scan``.

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

from .cell import Cell
from .cells import gru, lstm, rnn
from .errors import UserError
from .layers.recurrent import run_layer


class _DropIn(torch.nn.RNNBase):
    """PyTorch's parameters, argument checks and layouts around our loop; the three classes below say which cell."""

    takes_sequences = True  # for explain: not a step

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.proj_size:
            raise UserError(f"proj_size={self.proj_size} is not supported; leave it out, or use torch.nn.LSTM")
        features = self.hidden_size * (1 + self.bidirectional)
        sizes = [self.input_size, *[features] * (self.num_layers - 1)]
        # In a tuple they are no submodules: they have no parameters of their own, and none of their names is seen.
        self._templates = tuple(self._cell(size) for size in sizes)

    def _cell(self, input_size: int) -> Cell:
        """A cell without memory of its own, whose parameters are put in its place layer by layer."""
        raise NotImplementedError

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        """``output, h_n``, as ``torch.nn``'s: input (T, B, I), (B, T, I) if ``batch_first``, (T, I), or packed."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        name = type(self).__name__
        if input.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        batch_axis = 0 if self.batch_first else 1
        x = input if batched else input.unsqueeze(batch_axis)
        if hx is not None:
            dims = [h.dim() for h in _as_tuple(hx)]
            if any(dim != input.dim() for dim in dims):
                kind = "batched 3-D" if batched else "unbatched 2-D"
                names = "hx and cx" if self.mode == "LSTM" else "hx"
                got = f"{dims[0]}-D tensor" if len(dims) == 1 else f"({', '.join(f'{dim}-D' for dim in dims)}) tensors"
                raise RuntimeError(f"For {kind} input, {names} should also be {input.dim()}-D but got {got}")
            hx = hx if batched else _each(lambda h: h.unsqueeze(1), hx)
        hx = self._checked(x, hx, None)
        y, final = self._layers(x.transpose(0, 1) if self.batch_first else x, hx, None)
        y = y.transpose(0, 1) if self.batch_first else y
        return (y, final) if batched else (y.squeeze(batch_axis), _each(lambda h: h.squeeze(1), final))

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> Any:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        # The rows in packing order: longest first.
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        if hx is not None:
            hx = self.permute_hidden(hx, sorted_indices)
        y, final = self._layers(x, self._checked(data, hx, batch_sizes), lengths.to(data.device))
        output = PackedSequence(pack_padded_sequence(y, lengths).data, batch_sizes, sorted_indices, unsorted_indices)
        return output, self.permute_hidden(final, unsorted_indices)

    def _checked(self, x: Tensor, hx: Any, batch_sizes: Tensor | None) -> Any:
        if hx is None:
            batch = int(batch_sizes[0]) if batch_sizes is not None else x.shape[0 if self.batch_first else 1]
            zeros = x.new_zeros(self.num_layers * (1 + self.bidirectional), batch, self.hidden_size)
            hx = (zeros, zeros) if self.mode == "LSTM" else zeros
        self.check_forward_args(x, hx, batch_sizes)
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
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return {name: getattr(self, f"{name}_l{layer}{suffix}", None) for name in names}


class RNN(_DropIn, torch.nn.RNN):
    """``torch.nn.RNN`` run by ``elman.scan``: same constructor, ``state_dict``, call and results.

    >>> y, h = RNN(3, 5, num_layers=2, nonlinearity="relu")(torch.randn(7, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]))
    """

    def _cell(self, input_size: int) -> Cell:
        return rnn.RNN(input_size, self.hidden_size, nonlinearity=self.nonlinearity, device="meta")


class LSTM(_DropIn, torch.nn.LSTM):
    """``torch.nn.LSTM`` run by ``elman.scan``: same constructor, ``state_dict``, call and results; no ``proj_size``.

    >>> y, (h, c) = LSTM(3, 5, bidirectional=True, batch_first=True)(torch.randn(2, 7, 3))
    >>> y.shape, c.shape
    (torch.Size([2, 7, 10]), torch.Size([2, 2, 5]))
    """

    def _cell(self, input_size: int) -> Cell:
        return lstm.LSTM(input_size, self.hidden_size, device="meta")


class GRU(_DropIn, torch.nn.GRU):
    """``torch.nn.GRU`` run by ``elman.scan``: same constructor, ``state_dict``, call and results.

    >>> y, h = GRU(3, 5)(torch.randn(7, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 5]), torch.Size([1, 5]))
    """

    def _cell(self, input_size: int) -> Cell:
        return gru.GRU(input_size, self.hidden_size, device="meta")


def _as_tuple(hx: Any) -> tuple[Tensor, ...]:
    return tuple(hx) if isinstance(hx, tuple | list) else (hx,)


def _each(fn: Callable[[Tensor], Tensor], hx: Any) -> Any:
    return tuple(map(fn, hx)) if isinstance(hx, tuple | list) else fn(hx)
