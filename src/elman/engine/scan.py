"""``scan``: run a recurrent step over a sequence. The one primitive everything else stands on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..structure import State, describe, leaves, map_leaves, rebuild, same_shapes
from . import eager
from .cpu.kernel import run_on_cpu
from .dispatch import Choice, autocasts_to_bf16, check_backend, choose
from .loop import scan_compiled
from .steps import begun, default_state, step_over_time


@dataclass(frozen=True)
class Planned:
    """What a scan was about to do, its arguments checked; ``step`` is what ``cell`` has begun this scan with."""

    cell: Callable[..., Any]
    step: Callable[..., Any]
    inputs: tuple[Tensor, ...]
    state: State
    choice: Choice
    is_tuple: bool
    has_lengths: bool
    has_resets: bool
    reverse: bool
    return_states: bool


class _Watch(threading.local):
    """Where ``report`` is set, a scan of this thread runs nothing and returns what ``report`` makes of its plan."""

    report: Callable[[Planned], Any] | None = None


watch = _Watch()


def scan(
    cell: Callable[..., Any],
    x: Tensor | tuple[Tensor, ...],
    state: State = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    resets: Tensor | None = None,
    reset_state: State = None,
    reverse: bool = False,
    return_states: bool = False,
    backend: str = "auto",
) -> Any:
    """Runs ``cell`` over the first axis of ``x``: ``y, state = scan(cell, x, state)``.

    Args:
        cell: an ``elman.Cell``, or any module or callable ``step(x_t, state)`` that returns the new state (its first
            tensor is then the output) or the pair ``(output, new state)``.
        x: (T, B, ...), or a tuple of such tensors sharing T and B, handed to the step as a tuple. An ``elman.Cell``
            reads int64 ids (T, B) as one-hot vectors.
        state: what the step takes, leaves (B, ...); ``None`` starts an ``elman.Cell``, PyTorch's three cells and
            modules with ``initial_state(batch_size)`` from their own start.
        lengths: (B,) valid steps of each row, in any order, 0 to T. Outputs past the end are 0, the final state is the
            one after the last valid step, and length 0 returns the state given.
        resets: (T, B) bool: before row b takes step t its state becomes ``reset_state``.
        reset_state: default: the cell's initial state, zeros for a foreign cell.
        reverse: run each row from its last valid step to its first; outputs keep their time index.
        return_states: also return every state at every step, leaves (T, B, ...), 0 past the end.
        backend: "auto" (the fastest that can run this scan), "eager" (the loop in PyTorch, the definition of correct)
            or "cpu" (compiled; an error with the reason where it cannot run).

    A module with a method ``begin_scan(x, state, lead) -> (step, x)`` is asked, before the loop, for the step to run
    and for x with further per-step inputs, (T, B, ...) each: what it draws, so that the step itself is deterministic.
    ``lead`` is (T,), what stands before the batch in x. The wrappers of ``elman.layers`` do this.

    Under ``torch.compile`` the compiled loop is one operator of the graph; what cannot be compiled is unrolled.

    Returns:
        ``(y, state)`` with y (T, B, ...) and the state in the structure that was passed; with ``return_states``
        ``(y, state, states)``.

    Raises ``UserError`` for shapes that do not fit and for a missing ``state``, and ``TypeError`` for a step whose
    result has neither form.

    >>> y, (h, c) = scan(torch.nn.LSTMCell(3, 5), torch.randn(7, 2, 3))
    >>> y.shape, c.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 5]))
    >>> running_sum, _ = scan(lambda x, s: s + x, torch.ones(3, 1), torch.zeros(1))
    >>> running_sum.flatten()
    tensor([1., 2., 3.])
    """
    inputs = x if isinstance(x, tuple) else (x,)
    time, batch = _check_inputs(inputs)
    if autocasts_to_bf16():  # what a layer before, or another backend, has rounded
        inputs = tuple(map(_widened, inputs))
        state, reset_state = map_leaves(_widened, state), map_leaves(_widened, reset_state)
    given = state is not None
    if not given:
        state = default_state(cell, batch)
    if any(leaf.dim() == 0 or leaf.shape[0] != batch for leaf in leaves(state)):
        raise UserError(f"x has a batch of {batch} (axis 1), but the state is {describe(state)}, not (B, ...)")
    if given and hasattr(cell, "check_state"):
        cell.check_state(state, batch)
    if lengths is not None:
        lengths = _check_lengths(lengths, time, batch, inputs[0].device)
    if resets is not None:
        _check_resets(resets, time, batch)
        reset_state = _check_reset_state(cell, reset_state, state, batch)
    if lengths is not None:
        # Padding may hold anything, NaN included; zeros keep it out of the weights' gradients.
        inputs = tuple(_blank_padding(each, lengths) for each in inputs)

    step, x = begun(cell, inputs if isinstance(x, tuple) else inputs[0], state, (time,))
    inputs = x if isinstance(x, tuple) else (x,)
    is_tuple, compiled = isinstance(x, tuple), None
    if torch.compiler.is_dynamo_compiling():
        from .in_graph import scan_in_graph  # here, as it imports dynamo, which takes as long as all the rest

        check_backend(backend)
        flags = is_tuple, return_states, reverse
        compiled = scan_in_graph(backend, step, inputs, state, *flags, lengths, resets, reset_state)
    else:
        choice = choose(backend, step, inputs, state, reset_state, is_tuple=is_tuple, all_states=return_states)
        if watch.report is not None:
            has_resets = resets is not None and bool(resets.any())
            asked = is_tuple, lengths is not None, has_resets, reverse, return_states
            return watch.report(Planned(cell, step, inputs, state, choice, *asked))
        if choice.prepared is not None:
            compiled = scan_compiled(
                choice.prepared.program,
                run_on_cpu,
                choice.prepared.parameters,
                inputs,
                leaves(state),
                reverse=reverse,
                lengths=lengths,
                resets=resets,
                reset_states=None if resets is None else leaves(reset_state),
                bf16=choice.bf16,
            )
    if compiled is not None:
        results, made = compiled
        final = rebuild(state, made)
        return (results[0], final, rebuild(state, results[1:])) if return_states else (results[0], final)
    y, final, states = eager.run(
        step_over_time(step, inputs, is_tuple=is_tuple),
        time,
        state,
        lengths=lengths,
        resets=resets,
        reset_state=reset_state,
        reverse=reverse,
        return_states=return_states,
    )
    if y is None:  # T = 0: one step on zeros, thrown away, tells the output's shape
        blank = tuple(each.new_zeros(1, *each.shape[1:]) for each in inputs)
        with torch.no_grad():
            example, stepped = step_over_time(step, blank, is_tuple=is_tuple)(0, state)
        y = example.new_zeros(0, *example.shape)
        states = rebuild(state, (leaf.new_zeros(0, *leaf.shape) for leaf in leaves(stepped)))
    return (y, final, states) if return_states else (y, final)


if not torch.__version__ >= "2.13":  # whose dynamo could not read ``vars``: there a scan stays out of the graphs
    scan = torch.compiler.disable(scan)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def _check_inputs(inputs: tuple[Tensor, ...]) -> tuple[int, int]:
    shapes = [tuple(each.shape) for each in inputs]
    if not shapes or any(len(shape) < 2 or shape[:2] != shapes[0][:2] for shape in shapes):
        got = ", ".join(map(str, shapes)) or "nothing"
        raise UserError(f"scan got x of shape {got}; expected (T, B, ...), the same T and B for all")
    return shapes[0][0], shapes[0][1]


def _check_lengths(lengths: Tensor | Sequence[int], time: int, batch: int, device: torch.device) -> Tensor:
    tensor = torch.as_tensor(lengths, device=device)
    if tensor.shape != (batch,) or tensor.is_floating_point():
        raise UserError(f"lengths is {tensor.dtype} {tuple(tensor.shape)}; expected whole numbers (B,) = ({batch},)")
    inside = (tensor >= 0) & (tensor <= time)
    if torch.compiler.is_compiling():
        torch._assert_async(inside.all(), "lengths are not all between 0 and T")
    elif batch and not bool(inside.all()):
        raise UserError(f"lengths are between {int(tensor.min())} and {int(tensor.max())}; expected 0 to T = {time}")
    return tensor


def _check_resets(resets: Any, time: int, batch: int) -> None:
    if not isinstance(resets, Tensor) or resets.shape != (time, batch) or resets.dtype != torch.bool:
        got = f"{resets.dtype} {tuple(resets.shape)}" if isinstance(resets, Tensor) else f"a {type(resets).__name__}"
        raise UserError(f"resets is {got}; expected a bool tensor (T, B) = {(time, batch)}")


def _check_reset_state(cell: Callable[..., Any], reset_state: State, state: State, batch: int) -> State:
    if reset_state is None:
        if not hasattr(cell, "initial_state"):
            return rebuild(state, (torch.zeros_like(leaf) for leaf in leaves(state)))
        reset_state = default_state(cell, batch)
    if not same_shapes(reset_state, state):
        raise UserError(f"reset_state is {describe(reset_state)}, but the state is {describe(state)}; make them alike")
    return reset_state


def _blank_padding(x: Tensor, lengths: Tensor) -> Tensor:
    valid = torch.arange(x.shape[0], device=x.device).unsqueeze(1) < lengths
    return x.masked_fill(~valid.view(*valid.shape, *[1] * (x.dim() - 2)), 0)
