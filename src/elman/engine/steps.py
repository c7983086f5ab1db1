"""What a cell of any origin is to the engine: a start state, and a step as a function of the time index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..cell import Cell
from ..errors import UserError
from ..structure import State, describe, leaves, rebuild, same_structure

Step = Callable[[int, State], tuple[Tensor, State]]
"""``(t, state) -> (output, new state)``."""


def default_state(cell: Callable[..., Any], batch: int) -> State:
    """The state a cell starts from when the caller gives none; zeros take the dtype and device of the parameters.

    Raises ``UserError`` for a step that has no start of its own.
    """
    if hasattr(cell, "initial_state"):
        return cell.initial_state(batch)
    if isinstance(cell, nn.RNNCell | nn.GRUCell | nn.LSTMCell):
        zeros = cell.weight_hh.new_zeros(batch, cell.hidden_size)
        return (zeros, zeros) if isinstance(cell, nn.LSTMCell) else zeros
    raise UserError(
        f"{_name(cell)} has no start state; pass state=, or give the module a method initial_state(batch_size)"
    )


def begun(
    cell: Callable[..., Any], x: Tensor | tuple[Tensor, ...], state: State, lead: tuple[int, ...]
) -> tuple[Any, Tensor | tuple[Tensor, ...]]:
    """The step of one sequence, and x with what is drawn for it, as the cell's ``begin_scan`` has them; see ``scan``.

    ``lead`` are the sizes of x before the batch: (T,), or none for a step by itself.
    """
    begin = getattr(cell, "begin_scan", None)
    return (cell, x) if begin is None else begin(x, state, lead)


def step_over_time(cell: Callable[..., Any], inputs: tuple[Tensor, ...], *, is_tuple: bool) -> Step:
    """The cell's step over these inputs, its result read by structure; ``is_tuple``: a foreign step takes a tuple."""
    if isinstance(cell, Cell) and type(cell).forward is Cell.forward:
        if len(inputs) != len(cell.inputs):
            raise UserError(
                f"{_name(cell)} takes {len(cell.inputs)} inputs ({', '.join(cell.inputs)}), got {len(inputs)}"
            )
        return _keeping_structure(cell.over_time(inputs))
    # unbind once: its backward is one stack, where x[t] would add T sparse copies of the whole gradient
    rows = list(zip(*(each.unbind(0) for each in inputs), strict=True))

    def step(t: int, state: State) -> tuple[Tensor, State]:
        return read_result(cell, cell(rows[t] if is_tuple else rows[t][0], state), state)

    return step


def _keeping_structure(step: Step) -> Step:
    def kept(t: int, state: State) -> tuple[Tensor, State]:
        y, new = step(t, state)
        return y, rebuild(state, leaves(new))

    return kept


def read_result(cell: Callable[..., Any], result: Any, state: State) -> tuple[Tensor, State]:
    """``(output, new state)`` out of what a step returned, told apart by the structure of the state.

    >>> import torch
    >>> h = torch.zeros(2)
    >>> read_result(len, (h, (h, h)), (h, h))[0] is h
    True
    """
    if same_structure(result, state):
        tensors = leaves(result)
        if tensors:
            return tensors[0], rebuild(state, tensors)
    if isinstance(result, tuple | list) and len(result) == 2 and same_structure(result[1], state):
        output = result[0]
        if isinstance(output, Tensor):
            return output, rebuild(state, leaves(result[1]))
    raise TypeError(
        f"{_name(cell)} returned {describe(result)} for a state {describe(state)}; "
        "a step returns the new state in the structure of the old one, or the pair (output, new state)"
    )


def _name(cell: Callable[..., Any]) -> str:
    return type(cell).__name__ if isinstance(cell, nn.Module) else getattr(cell, "__name__", repr(cell))
