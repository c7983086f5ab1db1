"""TF1's loops over time: dynamic_rnn, static_rnn and bidirectional_dynamic_rnn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import UserError
from ...structure import State
from .base import RNNCell, check_is_cell

Lengths = Tensor | Sequence[int] | None


def dynamic_rnn(
    cell: RNNCell,
    inputs: Tensor,
    sequence_length: Lengths = None,
    initial_state: State = None,
    dtype: torch.dtype | None = None,
    *,
    time_major: bool = False,
) -> tuple[Tensor, State]:
    """Runs a cell over a sequence: ``outputs, state``.

    Args:
        cell: a cell of this module.
        inputs: (B, T, I), or (T, B, I) if ``time_major``.
        sequence_length: (B,) valid steps of each row, 0 to T: past them outputs are 0 and the state is copied through.
        initial_state: in the structure of ``cell.state_size``; default zeros.
        dtype: where given, what the inputs' dtype has to be.
        time_major: whether time is the first axis, of inputs and outputs.

    Raises ``UserError`` for inputs, states and lengths that do not fit.

    >>> from elman.compat.tf1 import BasicLSTMCell
    >>> outputs, state = dynamic_rnn(BasicLSTMCell(4), torch.randn(2, 5, 3), sequence_length=[5, 2])
    >>> outputs.shape, torch.equal(outputs[1, 1], state.h[1]), outputs[1, 2:].count_nonzero()
    (torch.Size([2, 5, 4]), True, tensor(0))
    """
    return _run(cell, inputs, sequence_length, initial_state, dtype, time_major, reverse=False)


def bidirectional_dynamic_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Tensor,
    sequence_length: Lengths = None,
    initial_state_fw: State = None,
    initial_state_bw: State = None,
    dtype: torch.dtype | None = None,
    *,
    time_major: bool = False,
) -> tuple[tuple[Tensor, Tensor], tuple[State, State]]:
    """Two cells over a sequence, one forwards and one from each row's last valid step back to its first.

    Arguments are those of ``dynamic_rnn``. Returns ``((outputs_fw, outputs_bw), (state_fw, state_bw))``, the outputs of
    both at their time index.

    >>> from elman.compat.tf1 import GRUCell
    >>> (fw, bw), (last_fw, last_bw) = bidirectional_dynamic_rnn(GRUCell(4), GRUCell(4), torch.randn(2, 5, 3))
    >>> torch.equal(fw[:, -1], last_fw), torch.equal(bw[:, 0], last_bw)
    (True, True)
    """
    fw, state_fw = _run(cell_fw, inputs, sequence_length, initial_state_fw, dtype, time_major, reverse=False)
    bw, state_bw = _run(cell_bw, inputs, sequence_length, initial_state_bw, dtype, time_major, reverse=True)
    return (fw, bw), (state_fw, state_bw)


def static_rnn(
    cell: RNNCell,
    inputs: Sequence[Tensor],
    initial_state: State = None,
    dtype: torch.dtype | None = None,
    sequence_length: Lengths = None,
) -> tuple[list[Tensor], State]:
    """``dynamic_rnn`` on a list of steps (B, I): the list of outputs, and the state.

    Raises ``UserError`` for an empty list, and as ``dynamic_rnn``.

    >>> from elman.compat.tf1 import BasicRNNCell
    >>> outputs, state = static_rnn(BasicRNNCell(4), [torch.zeros(2, 3), torch.ones(2, 3)])
    >>> len(outputs), torch.equal(outputs[-1], state)
    (2, True)
    """
    if not isinstance(inputs, list | tuple) or not inputs:
        raise UserError("static_rnn takes a list of at least one step (B, I); a whole tensor goes to dynamic_rnn")
    if len({each.shape for each in inputs}) > 1:
        raise UserError(f"steps of different shapes: {', '.join(str(tuple(each.shape)) for each in inputs)}")
    y, state = _run(cell, torch.stack(list(inputs)), sequence_length, initial_state, dtype, True, reverse=False)
    return list(y.unbind(0)), state


def _run(
    cell: RNNCell,
    inputs: Tensor,
    sequence_length: Lengths,
    initial_state: State,
    dtype: torch.dtype | None,
    time_major: bool,
    reverse: bool,
) -> tuple[Tensor, State]:
    check_is_cell("the loop", cell)
    if inputs.dim() != 3 or not inputs.is_floating_point() or (dtype is not None and dtype != inputs.dtype):
        axes = "(T, B, I)" if time_major else "(B, T, I)"
        raise UserError(f"inputs are {inputs.dtype} {tuple(inputs.shape)}; expected {dtype or 'real numbers'} {axes}")
    x = inputs if time_major else inputs.transpose(0, 1)
    lengths = None if sequence_length is None else torch.as_tensor(sequence_length, device=x.device)
    y, state = cell.run(x, cell.checked_state(initial_state, x), lengths=lengths, reverse=reverse)
    if lengths is not None:  # again, for what a wrapper adds to the outputs
        past = torch.arange(len(y), device=y.device).unsqueeze(1) >= lengths
        y = y.masked_fill(past.unsqueeze(-1), 0)
    return (y if time_major else y.transpose(0, 1)), state
