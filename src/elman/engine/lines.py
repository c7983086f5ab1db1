"""Lines: which line of a step's own code an operator of its trace comes from."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.proxy_tensor import PythonKeyTracer

UNKNOWN = "an unknown line"
_ELMAN = Path(__file__).parents[1]
_ENGINE = str(_ELMAN / "engine")
_TORCH = str(Path(torch.__file__).parent)
_MODULES = str(Path(torch.__file__).parent / "nn" / "modules")
# What stands between a step and its operators, and says nothing about the step.
_HELPERS = (
    _TORCH,
    str(_ELMAN / "cell.py"),
    str(_ELMAN / "activations.py"),
    str(_ELMAN / "engine" / "decompositions.py"),
    str(contextlib.__file__),
    "<eval_with_key>",
    "<string>",
)


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """While on, each node of a trace gets its ``file:line`` as ``stack_trace``; see `of_node`.

    PyTorch itself records the lines of methods called ``forward`` only.
    """
    plain = PythonKeyTracer.create_node

    def create_node(tracer: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = plain(tracer, *args, **kwargs)
        node.stack_trace = _place(_frames(sys._getframe(1)))
        return node

    PythonKeyTracer.create_node = create_node  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        PythonKeyTracer.create_node = plain  # type: ignore[method-assign]


def of_node(node: fx.Node) -> str:
    """``file:line`` of a node recorded so."""
    return node.stack_trace or UNKNOWN


def of_error(error: BaseException) -> str:
    """``file:line`` of the step at which an error came up."""
    frames = [(each.filename, each.lineno or 0) for each in traceback.extract_tb(error.__traceback__)]
    return _place(reversed(frames))


def _frames(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


def _place(frames: Iterable[tuple[str, int]]) -> str:
    """The innermost line of a step's own code; of PyTorch's cells where the step is one of these."""
    of_torch = UNKNOWN
    for file, line in frames:
        if file.startswith(_HELPERS):
            if of_torch is UNKNOWN and file.startswith(_MODULES) and not file.endswith("module.py"):
                of_torch = f"{file}:{line}"
        elif file.startswith(_ENGINE):  # which called the step
            break
        else:
            return f"{file}:{line}"
    return of_torch
