"""One row: everybody computes the problem, first to be checked, then by turns to be timed."""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..engine.dispatch import choose
from ..errors import UserError
from .cases import Case, Problem, worst_error
from .peers import Peer

TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bf16": 5e-2}
"""How far outputs and gradients may be from the eager loop in float64, relative to the norm."""

Row = dict[str, Any]
"""A row as it is written to JSON: the case, and what was measured."""

_TURN = 0.05  # seconds a turn lasts at least, if that takes several calls
_PAUSE = 0.02  # seconds between turns, in which the threads of the peer before stop spinning


def measure(
    problem: Problem,
    expected: Mapping[str, Any],
    ours: type[Peer],
    peers: Mapping[str, type[Peer]],
    pairs: int,
    yardstick: Callable[[], float],
) -> Row:
    """The row of a problem: ``pairs`` turns of each, the medians, and the ratio to each peer; GFLOP/s by ``yardstick``.

    Who is further than ``TOLERANCE`` from the ``expected`` results gets no time, only ``differs`` with the error; who
    fails gets ``failed`` with the reason. Where that is us, nobody is timed.
    """
    case = problem.case
    row = row_of(case) | {"operations": problem.operations, "backend": backend_of(problem)}
    me = ours(problem)
    row["ours"] = _checked(me, expected, case)
    row["peers"] = {}
    if "differs" in row["ours"]:
        return row
    running = {"ours": me}
    try:
        for name, kind in peers.items():
            try:
                peer = kind(problem)
                row["peers"][name] = _checked(peer, expected, case)
            except UserError:
                raise
            except Exception as error:
                row["peers"][name] = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
                continue
            if "differs" in row["peers"][name]:
                peer.close()
            else:
                running[name] = peer
        times, rates = interleave({name: Turn(peer) for name, peer in running.items()}, pairs, yardstick)
    finally:
        for peer in running.values():
            peer.close()
    row["sgemm"] = statistics.median(rates)
    row["ours"] |= summary(times["ours"])
    row["ours"]["share"] = problem.operations / (row["ours"]["ms"] * 1e6) / row["sgemm"]
    for name in running.keys() - {"ours"}:
        row["peers"][name] |= summary(times[name]) | {"ratio": ratio(times["ours"], times[name])}
    return row


def interleave(
    turns: Mapping[str, Callable[[], float]], rounds: int, yardstick: Callable[[], float]
) -> tuple[dict[str, list[float]], list[float]]:
    """Everybody's results of each round, every other round in reverse order; and the yardstick's of every third.

    >>> interleave({"a": lambda: 1.0, "b": lambda: 2.0}, 4, lambda: 9.0)
    ({'a': [1.0, 1.0, 1.0, 1.0], 'b': [2.0, 2.0, 2.0, 2.0]}, [9.0, 9.0])
    """
    results: dict[str, list[float]] = {name: [] for name in turns}
    yards = []
    for number in range(rounds):
        if number % 3 == 0:
            yards.append(yardstick())
        for name in list(turns)[:: 1 if number % 2 == 0 else -1]:
            results[name].append(turns[name]())
    return results, yards


class Turn:
    """One peer's turn, in seconds a call: one call for long ones, else so many that clock and caches do not matter."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        once = peer.seconds(1)
        self._is_short = once < _TURN
        self._calls = max(1, min(10_000, round(_TURN / max(once, 1e-9)))) if self._is_short else 1

    def __call__(self) -> float:
        time.sleep(_PAUSE)
        if self._is_short:
            self._peer.seconds(1)  # wakes its threads
        return self._peer.seconds(self._calls) / self._calls


class Product:
    """The yardstick: a large matrix product by PyTorch, in GFLOP/s."""

    size = 2048

    def __init__(self, dtype: str) -> None:
        kind = {"float32": torch.float32, "float64": torch.float64, "bf16": torch.bfloat16}[dtype]
        self._a = torch.randn(self.size, self.size).to(kind)
        self._b = torch.randn(self.size, self.size).to(kind)
        self.rate()

    def rate(self) -> float:
        begin = time.perf_counter()
        torch.mm(self._a, self._b)
        return 2e-9 * self.size**3 / (time.perf_counter() - begin)


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and minimum in milliseconds.

    >>> summary([0.004, 0.002, 0.003])
    {'ms': 3.0, 'min_ms': 2.0}
    """
    return {"ms": statistics.median(seconds) * 1e3, "min_ms": min(seconds) * 1e3}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times as long the peer takes: the median over the rounds of its time by ours in the same round.

    >>> ratio([1.0, 2.0, 4.0], [2.0, 4.0, 4.0])
    2.0
    """
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


def backend_of(problem: Problem) -> str:
    """Which backend "auto" is for this problem, with the reason where it is the eager loop."""
    cell = problem.cell
    state = cell.initial_state(problem.x.shape[1])
    with problem.autocast(), torch.set_grad_enabled(problem.case.trains):
        choice = choose("auto", cell, (problem.x,), state, None, is_tuple=False, all_states=False)
    return "cpu" if choice.prepared is not None else f"eager ({choice.reason})"


def row_of(case: Case) -> Row:
    """The case as a row begins."""
    return {
        "cell": case.cell,
        "shape": str(case.shape),
        "kind": case.kind,
        "dtype": case.dtype,
        "threads": case.threads,
        "date": datetime.date.today().isoformat(),
    }


def _checked(peer: Peer, expected: Mapping[str, Any], case: Case) -> dict[str, float]:
    error = worst_error(peer.results(), dict(expected))
    return {"error" if error <= TOLERANCE[case.dtype] else "differs": error}
