"""``torch.compile`` of the loop, in a process of its own: it may take minutes, and then it is ended."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from .cases import FORWARD, TRAIN, Case, Problem, make_problem
from .peers import Ours, Peer


class TooLong(Exception):
    """The loop was not compiled within the limit."""


class CompiledLoop(Peer):
    """The cell's loop, unrolled by ``torch.compile``, in a child that answers with times and results."""

    kinds = (TRAIN, FORWARD)
    limit = 120.0
    """Seconds that compiling may take."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        context = multiprocessing.get_context("spawn")
        self._pipe, childs = context.Pipe()
        self._child = context.Process(target=_serve, args=(childs, problem.case), daemon=True)
        self._child.start()
        childs.close()
        try:
            self._results = self._ask(None, self.limit)
        except BaseException:
            self.close()
            raise

    def results(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(each) for name, each in self._results.items()}

    def seconds(self, calls: int) -> float:
        return float(self._ask(calls, None))

    def close(self) -> None:
        self._child.kill()
        self._child.join()

    def _ask(self, calls: int | None, limit: float | None) -> Any:
        self._pipe.send(calls)
        if not self._pipe.poll(limit):
            raise TooLong(f"not compiled within {limit:.0f} s")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer


class _Loop(Ours):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        cell, time, batch = problem.cell, *problem.x.shape[:2]

        def loop(x: Tensor) -> Tensor:
            step, state, outputs = cell.over_time((x,)), cell.initial_state(batch), []
            for t in range(time):
                y, state = step(t, state)
                outputs.append(y)
            return torch.stack(outputs)

        self.call = torch.compile(loop)  # type: ignore[method-assign]


def _serve(pipe: Connection, case: Case) -> None:
    """Answers ``None`` with the results of a call as arrays, a number with the seconds of so many calls."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no processes of its own, which would outlive this one
    torch.set_num_threads(case.threads)
    loop = _Loop(make_problem(case))
    while True:
        try:
            calls = pipe.recv()
        except EOFError:
            return
        try:
            if calls is None:
                answer: Any = {name: each.detach().double().numpy() for name, each in loop.results().items()}
            else:
                answer = loop.seconds(calls)
        except Exception as error:
            answer = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        pipe.send(answer)
