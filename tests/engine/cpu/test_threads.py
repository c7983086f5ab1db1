from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import Any

import llvmlite.ir as ir
import pytest
import torch
from torch import Tensor

from elman.engine.cpu import threads
from elman.engine.cpu.jit import Compiled, compile_module
from elman.engine.cpu.simd import I64, Value, index, loop
from elman.engine.cpu.threads import FUNCTION, emit_barrier, parallel

ROUNDS, FIRST = 16, 32  # where the number of rounds and the first thread's sum stand in the argument
NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture(scope="module")
def relay() -> Compiled:
    """Each round every thread adds its right neighbour's number of the round before, between two barriers.

    The argument is int64s: the barrier's counter at 0, the rounds at 16, one number a thread from 32 on.
    """
    module = ir.Module("test")
    function = ir.Function(module, FUNCTION, "run")
    argument, thread, count = function.args
    builder = ir.IRBuilder(function.append_basic_block())

    def place(at: Value) -> Value:
        return builder.gep(argument, [at], source_etype=I64)

    own = place(builder.add(thread, index(FIRST)))
    neighbour = place(builder.add(builder.urem(builder.add(thread, index(1)), count), index(FIRST)))
    with loop(builder, 0, builder.load(place(index(ROUNDS)), typ=I64)):
        read = builder.load(neighbour, typ=I64)
        emit_barrier(module, builder, argument, count)
        builder.store(builder.add(builder.load(own, typ=I64), read), own)
        emit_barrier(module, builder, argument, count)
    builder.ret_void()
    return compile_module(module, "test")


@pytest.fixture(autouse=True)
def _threads_of_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run(relay: Compiled, count: int | None, rounds: int = 20) -> list[int]:
    argument = torch.zeros(64, dtype=torch.int64)
    argument[ROUNDS] = rounds
    argument[FIRST : FIRST + 8] = torch.arange(1, 9)
    parallel(relay.address("run"), argument.data_ptr(), count)
    return argument[FIRST : FIRST + 8].tolist()


def expected(count: int, rounds: int = 20) -> list[int]:
    numbers = list(range(1, 9))
    for _ in range(rounds):
        team = numbers[:count]
        numbers[:count] = [team[k] + team[(k + 1) % count] for k in range(count)]
    return numbers


@pytest.mark.parametrize("count", [1, 2])
def test_each_thread_does_its_share_in_step(relay: Compiled, count: int) -> None:
    for _ in range(5):
        assert run(relay, count) == expected(count)


def test_torch_sets_the_number_of_threads(relay: Compiled) -> None:
    assert run(relay, None) == run(relay, 8) == expected(2)
    torch.set_num_threads(1)
    assert run(relay, None) == run(relay, 2) == expected(1)
    torch.set_num_threads(3)
    assert run(relay, None, rounds=3) == expected(3, rounds=3)
    assert run(relay, 0) == expected(1)


def test_without_openmp_the_threads_are_our_own(relay: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "has_openmp", lambda: False)
    monkeypatch.setattr(threads, "_own_pool", threads._OwnPool())
    torch.set_num_threads(3)
    for count in (2, 3, 1, 2):
        assert run(relay, count, rounds=3) == expected(count, rounds=3)


@pytest.mark.parametrize("openmp", [True, False])
def test_several_python_threads_at_once(relay: Compiled, openmp: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not openmp:
        monkeypatch.setattr(threads, "has_openmp", lambda: False)
    results: list[list[int]] = []

    def work() -> None:
        results.extend(run(relay, 2, rounds=3) for _ in range(3))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [expected(2, rounds=3)] * 9


@NEEDS_FORK
def test_in_a_forked_child(relay: Compiled) -> None:
    assert run(relay, 2) == expected(2)  # both pools of the parent are in use before
    threads._own_pool.run(lambda *_: None, 0, 2)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            fine = run(relay, 2, rounds=3) == expected(2, rounds=3)
            fine = fine and run(_compiled_in_child(), 2) == list(range(1, 9))
            os.write(theirs, b"fine" if fine else b"wrong")
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        assert pipe.read() == b"fine"
    os.waitpid(child, 0)
    assert run(relay, 2) == expected(2)


def _compiled_in_child() -> Compiled:
    return compile_module("define void @run(ptr %x, i64 %k, i64 %n) {\n ret void\n}", "child")


@NEEDS_FORK
def test_in_a_worker_of_multiprocessing(relay: Compiled) -> None:
    assert run(relay, 2) == expected(2)
    context: Any = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    worker = context.Process(target=lambda: queue.put(run(relay, 2, rounds=3)), daemon=True)
    worker.start()
    assert queue.get() == expected(2, rounds=3)
    worker.join()


class _Rows(torch.utils.data.Dataset[Tensor]):
    def __init__(self, relay: Compiled) -> None:
        self.relay = relay

    def __len__(self) -> int:
        return 4

    def __getitem__(self, k: int) -> Tensor:
        return torch.tensor(run(self.relay, None, rounds=3))


@NEEDS_FORK
def test_in_a_data_loader(relay: Compiled) -> None:
    run(relay, 2)
    loader = torch.utils.data.DataLoader(_Rows(relay), batch_size=2, num_workers=1, multiprocessing_context="fork")
    # The loader gives its workers one thread.
    assert [batch.tolist() for batch in loader] == [[expected(1, rounds=3)] * 2] * 2
