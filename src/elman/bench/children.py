"""What must be measured in a process of its own: peak memory, and the time it takes to make the code of a cell."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ..engine import scan
from ..engine.cpu.jit import Compiled
from ..engine.prepare import prepare
from ..engine.trace import Refused
from .cases import TRAIN, Case, Shape, make_problem
from .measure import row_of
from .peers import Eager, Ours, Peer, TorchModule

MEBIBYTE = 2**20


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)`` in a new process; raises ``RuntimeError`` with what went wrong there."""
    context = multiprocessing.get_context("spawn")
    pipe, childs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(childs, function, arguments), daemon=True)
    child.start()
    childs.close()
    try:
        answer, mistake = pipe.recv()
    except EOFError:
        child.join()
        answer, mistake = None, f"ended with code {child.exitcode}"
    child.join()
    if mistake:
        raise RuntimeError(f"{function.__name__} in a child process: {mistake}")
    return answer


def _answer(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((function(*arguments), ""))
    except Exception as error:
        pipe.send((None, f"{type(error).__name__}: {error}"))


# Memory


def memory_row(case: Case) -> dict[str, Any]:
    """Peak memory of a training step in MiB, ours and that of ``torch.nn``, or of the loop where there is no module."""
    peer: type[Peer] = TorchModule if not TorchModule.refuses(case) else Eager
    row = row_of(case)
    del row["kind"]
    row["peer"] = "torch" if peer is TorchModule else "eager"
    return row | {"ours": in_child(peak_memory, case, Ours), "theirs": in_child(peak_memory, case, peer)}


def peak_memory(case: Case, kind: type[Peer]) -> dict[str, float]:
    """MiB of resident memory; to be called in a process of its own, with the cell, x and its weights made before.

    - ``first``: peak of the first step above the idle process; code and libraries that it loads count.
    - ``kept``: what stays of that when the step is over and the allocator has given back what is free.
    - ``step``: peak of the next steps above what was there before them: saved tensors, gradients, work space.
    """
    torch.set_num_threads(case.threads)
    peer = kind(make_problem(case))
    idle = _settled()
    _forget_peak()
    _step(peer)
    first = _peak()
    kept = _settled()
    _forget_peak()
    for _ in range(2):
        _step(peer)
    step = _peak()
    return {"first": (first - idle) / MEBIBYTE, "kept": (kept - idle) / MEBIBYTE, "step": (step - kept) / MEBIBYTE}


def _step(peer: Peer) -> None:
    peer.train()  # the results die here, as after an optimiser's step


def _settled() -> int:
    """Resident bytes after everything that can be given back was."""
    gc.collect()
    if hasattr(trim := ctypes.CDLL(None), "malloc_trim"):
        trim.malloc_trim(0)
    return _status("VmRSS") if _STATUS.exists() else _peak()


def _forget_peak() -> None:
    """Makes the peak what is resident now. Where the system has no such thing the peak is that of the whole life."""
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    if _STATUS.exists():
        return _status("VmHWM")
    import resource  # not everywhere

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


_STATUS = Path("/proc/self/status")


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


# Code


def codegen_row(cell: str, hidden: int, dtype: str, threads: int) -> dict[str, Any]:
    """Seconds to trace a cell and to generate its code, forward, forward for training and backward, in new processes.

    ``trace`` is tracing and planning; ``generate`` all that the first calls take beyond the second ones, with an empty
    cache; ``from_cache`` the same with the code on disk; ``llvm`` and ``load`` the compiler's part in either.
    """
    case = Case(cell, Shape(2, 32, hidden), TRAIN, dtype, threads)
    row = {name: value for name, value in row_of(case).items() if name not in ("kind", "shape")} | {"hidden": hidden}
    with tempfile.TemporaryDirectory() as cache:
        new, again = (in_child(code_seconds, case, cache) for _ in range(2))
    if "refused" in new:
        return row | new
    assert not new["cached"] and again["cached"], "the cache had what it should not, or not what it should"
    return row | {
        "trace": new["trace"],
        "generate": new["generate"],
        "llvm": new["compile"],
        "from_cache": again["generate"],
        "load": again["compile"],
    }


def code_seconds(case: Case, cache: str) -> dict[str, Any]:
    """Times of a process that has compiled nothing yet, with the code's cache in this folder."""
    os.environ["ELMAN_CACHE"] = cache
    torch.set_num_threads(case.threads)
    problem = make_problem(case)
    Eager(problem).train()  # PyTorch's own first steps
    begin = time.perf_counter()
    try:
        state = problem.cell.initial_state(case.shape.batch)
        prepare(problem.cell, (problem.x,), state, is_tuple=False, all_states=False)
    except Refused as reason:
        return {"refused": str(reason)}
    trace = time.perf_counter() - begin
    ours = Ours(problem)
    first, second = (ours.seconds(1) + _forward_seconds(ours) for _ in range(2))
    compiled = [each for each in gc.get_objects() if type(each) is Compiled]
    return {
        "trace": trace,
        "generate": first - second,
        "compile": sum(each.seconds for each in compiled),
        "cached": all(each.cached for each in compiled),
    }


def _forward_seconds(ours: Ours) -> float:
    begin = time.perf_counter()
    with torch.no_grad():
        scan(ours.problem.cell, ours.x)
    return time.perf_counter() - begin
