"""Which backend runs a scan, and why not a faster one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..errors import UserError, nearest
from ..structure import State, leaves
from .prepare import Prepared, prepare
from .trace import Refused

BACKENDS = ("auto", "eager", "cpu")


@dataclass(frozen=True)
class Choice:
    """``prepared`` is the compiled program to run, ``None`` for the eager loop; ``reason`` says why that one.

    ``bf16``: the program's products round their factors to bfloat16, as autocast asks for.
    """

    prepared: Prepared | None
    reason: str = ""
    bf16: bool = False


def choose(
    backend: str,
    cell: Callable[..., Any],
    inputs: Sequence[Tensor],
    state: State,
    reset_state: State,
    *,
    is_tuple: bool,
    all_states: bool,
) -> Choice:
    """The backend for this scan; "auto" takes "cpu" where it can.

    Raises ``UserError`` for an unknown backend, and where "cpu" was asked for by name and cannot run.
    """
    check_backend(backend)
    if backend == "eager":
        return Choice(None, "asked for")
    try:
        _check_mode()
        if any(leaf.requires_grad for leaf in leaves(reset_state)):
            raise Refused("the state that rows are reset to wants a gradient")
        if any(a.dtype != b.dtype for a, b in zip(leaves(reset_state), leaves(state), strict=False)):
            raise Refused("the state that rows are reset to is of another dtype")
        prepared = prepare(cell, inputs, state, is_tuple=is_tuple, all_states=all_states)
        # Like autocast, which leaves float64 alone.
        return Choice(prepared, bf16=autocasts_to_bf16() and leaves(state)[0].dtype == torch.float32)
    except Refused as reason:
        if backend == "cpu":
            raise UserError(f"backend 'cpu' cannot run this scan: {reason}; use 'auto' or 'eager'") from reason
        return Choice(None, str(reason))


def autocasts_to_bf16() -> bool:
    """Whether products are to round their factors to bfloat16."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def check_backend(backend: str) -> None:
    """Raises ``UserError`` for an unknown backend."""
    if backend not in BACKENDS:
        raise UserError(f"unknown backend {backend!r}; {nearest(backend, BACKENDS)}")


def _check_mode() -> None:
    if torch.compiler.is_compiling():
        raise Refused("torch.compile is tracing")
    if torch.is_autocast_enabled("cpu") and not autocasts_to_bf16():
        raise Refused(f"autocast to {torch.get_autocast_dtype('cpu')} is on; backend cpu knows the one to bfloat16")
    # The parameters may be what is transformed, so it does not matter which tensors are.
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise Refused("a transform of torch.func (vmap, grad, jvp) is under way")
    if torch._C._len_torch_dispatch_stack():
        raise Refused("a mode that looks into every operator is on")
    if forward_ad._current_level >= 0:
        raise Refused("forward-mode differentiation is under way")
