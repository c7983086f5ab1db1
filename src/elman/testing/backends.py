"""Checks of the compiled loop against the eager one, and of bfloat16."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from ..engine import explain, scan
from ..errors import UserError
from ..structure import State, leaves
from .comparing import DOUBLE, SINGLE, Case, close, loss_of, with_padding
from .subject import WIDE, Subject, Wrong


def _compiled(s: Subject) -> str:
    """The compiled loop is the eager one in float64, results and gradients, with NaN in fresh memory."""
    cell = s.build()
    return compare_backends(s, Case(cell, s.inputs(cell), s.reached(cell)), DOUBLE)


def _compiled_inference(s: Subject) -> str:
    """The compiled loop is the eager one without gradients, too."""
    cell = s.build()
    case = Case(cell, s.inputs(cell), s.reached(cell))
    with torch.no_grad():
        if reason := _why_eager(s, case):
            return reason
        expected = case.results("eager")
        with _nan_in_fresh_memory():
            found = case.results("cpu")
    close("compiled and eager loop give other results without gradients", found, expected, DOUBLE)
    return ""


def _compiled_float32(s: Subject) -> str:
    """It is in float32 at other sizes, with lengths, resets, reverse and all states at once."""
    cell, x, state = _wide_case(s)
    lengths = [4, 0, 5, 1, 3, 5, 2, 5, 4]
    resets = torch.zeros(5, 9, dtype=torch.bool)
    resets[2, 0] = resets[0, 2] = resets[3, 8] = True
    options = {"lengths": lengths, "resets": resets, "reset_state": s.start(cell, 9), "reverse": True}
    case = Case(cell, with_padding(x, lengths), state, {**options, "return_states": True})
    return compare_backends(s, case, SINGLE)


def _bfloat16(s: Subject) -> None:
    """The cell runs in bfloat16 and, in float32, under autocast to bfloat16."""
    cell = s.build(torch.bfloat16)
    y, state = scan(cell, s.inputs(cell, 2, 2), s.start(cell, 2))
    kinds = {leaf.dtype for leaf in (y, *leaves(state)) if leaf.is_floating_point()}
    if kinds != {torch.bfloat16}:
        raise Wrong(f"a bfloat16 cell gives {', '.join(map(str, kinds))}")
    cell, x, state = _wide_case(s)
    expected, *_ = scan(cell, x, state, backend="eager")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y, *_ = scan(cell, x, state, return_states=True)
    error, norm = (y.float() - expected).norm().item(), expected.norm().item()
    if not error <= 0.1 * norm:
        raise Wrong(f"under autocast the output is {error:.2g} off, its norm is {norm:.2g}")


def _wide_case(s: Subject) -> tuple[Any, Any, State]:
    """A cell in float32 of other sizes than the others, where there can be one; inputs, a state."""
    cell = s.build(torch.float32)
    with contextlib.suppress(UserError):
        cell = s.build(torch.float32, WIDE)
    return cell, s.inputs(cell, 5, 9), s.reached(cell, 9)


def compare_backends(s: Subject, case: Case, tolerance: float) -> str:
    """Compiled against eager, results and gradients; why it is not compiled where it is not."""
    if reason := _why_eager(s, case):
        return reason
    expected = case.results("eager")
    by_eager = case.gradients(loss_of(expected))
    with _nan_in_fresh_memory():
        found = case.results("cpu")
        by_compiled = case.gradients(loss_of(found))
    close("compiled and eager loop give other results", found, expected, tolerance)
    for name, ours, theirs in zip(case.variables, by_compiled, by_eager, strict=True):
        error, norm = (ours - theirs).norm().item(), theirs.norm().item()
        if not error <= tolerance * max(norm, 1e-3):
            raise Wrong(
                f"compiled and eager loop give other gradients for {name}: they are {error:.2g} apart, "
                f"the eager one has norm {norm:.2g}"
            )
    return ""


def _why_eager(s: Subject, case: Case) -> str:
    """Why the cell is not compiled, empty where it is; raises where that was asked for."""
    reason = str(explain(case.cell, case.x, case.state, **case.options).reason)  # type: ignore[union-attr]
    if reason and s.compiled:
        raise Wrong(f"it is not compiled: {reason}")
    return reason and f"not compiled, it runs step by step in PyTorch: {reason}"


@contextlib.contextmanager
def _nan_in_fresh_memory() -> Iterator[None]:
    """Memory that PyTorch hands out unwritten holds NaN, so that it shows when it is read."""
    memory: Any = torch.utils.deterministic
    on, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(on, warn_only=warns)
        memory.fill_uninitialized_memory = fills


CHECKS = (_compiled, _compiled_inference, _compiled_float32, _bfloat16)
