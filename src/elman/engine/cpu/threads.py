"""Compiled functions on the threads that PyTorch computes with, and a barrier for them to meet at.

A function for several threads is ``void f(ptr argument, i64 thread, i64 threads)``: it is called once on each of
``threads`` threads, told apart by ``thread``, and does its share. ``threads`` may be less than what was asked for.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
import torch

from .jit import compile_module
from .simd import I32, I64, POINTER, Value

FUNCTION = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
"""The type of a function for several threads."""

_SPINS_BEFORE_YIELDING = 1 << 12
_OPENMP = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
_YIELD = "SwitchToThread" if os.name == "nt" else "sched_yield"

_function_of_threads = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def parallel(function: int, argument: int, threads: int | None = None) -> None:
    """Runs the function at an address on up to ``threads`` threads; returns when all are done. Releases the GIL.

    Args:
        function: the address of a function of type ``FUNCTION``; its code must stay alive, see ``jit.Compiled``.
        argument: the address handed to each call.
        threads: default and upper bound: ``torch.get_num_threads()``.

    The threads are those of the OpenMP library that PyTorch has loaded, so nothing is oversubscribed. Where there is
    none, they are a pool of our own; so also in a child after ``fork``, whose copy of that library has lost its threads
    and would wait for them forever. May be called from several Python threads at once.
    """
    limit = torch.get_num_threads()
    threads = limit if threads is None else min(threads, limit)
    if threads <= 1:
        _function_of_threads(function)(argument, 0, 1)
    elif _is_forked or not has_openmp():
        _on_own_pool(function, argument, threads)
    else:
        _openmp_entry()(function, argument, threads)


def emit_barrier(module: Value, builder: Value, counter: Value, threads: Value) -> None:
    """Emits a place where all ``threads`` threads of a `parallel` call wait for each other.

    ``counter`` points to an i64 that is 0 before the call and belongs to this call alone, best on a cache line of its
    own (64 bytes). One counter serves any number of barriers. What a thread has written before the barrier the others
    see behind it. Waiting is spinning (about 0.1 us when all arrive together); after some thousand rounds, when another
    thread seems not to be running, the waiting one lets others go first.
    """
    one = ir.Constant(I64, 1)
    before = builder.atomic_rmw("add", counter, one, "acq_rel")
    round_ends = builder.mul(builder.add(builder.udiv(before, threads), one), threads)

    start = builder.block
    wait, spin, give_way, done = (builder.append_basic_block(name) for name in ("wait", "spin", "give_way", "done"))
    builder.branch(wait)
    builder.position_at_end(wait)
    spins = builder.phi(I64)
    spins.add_incoming(ir.Constant(I64, 0), start)
    arrived = builder.load_atomic(counter, "acquire", 8, typ=I64)
    builder.cbranch(builder.icmp_unsigned(">=", arrived, round_ends), done, spin)

    builder.position_at_end(spin)
    spun = builder.add(spins, one)
    spins.add_incoming(spun, spin)
    builder.cbranch(builder.icmp_unsigned("<", spun, ir.Constant(I64, _SPINS_BEFORE_YIELDING)), wait, give_way)

    builder.position_at_end(give_way)
    builder.call(_declared(module, _YIELD, ir.FunctionType(I32, [])), [])
    spins.add_incoming(spun, give_way)
    builder.branch(wait)
    builder.position_at_end(done)


def _declared(module: Value, name: str, kind: Value) -> Value:
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, kind, name)


# PyTorch's OpenMP library


@lru_cache
def has_openmp() -> bool:
    """Whether PyTorch brought an OpenMP library that takes calls as GNU's does (LLVM's and Intel's do too)."""
    # Looked up through PyTorch's own module, the search ends at the library that PyTorch itself calls.
    library = ctypes.CDLL(torch._C.__file__)
    for name in _OPENMP:
        try:
            address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        except AttributeError:
            return False
        llvm.add_symbol(name, address)
    return True


_OPENMP_ENTRY = """
declare void @GOMP_parallel(ptr, ptr, i32, i32)
declare i32 @omp_get_thread_num()
declare i32 @omp_get_num_threads()

define void @member(ptr %call) {
  %function = load ptr, ptr %call
  %argument.at = getelementptr ptr, ptr %call, i64 1
  %argument = load ptr, ptr %argument.at
  %number = call i32 @omp_get_thread_num()
  %count = call i32 @omp_get_num_threads()
  %thread = zext i32 %number to i64
  %threads = zext i32 %count to i64
  call void %function(ptr %argument, i64 %thread, i64 %threads)
  ret void
}

define void @run(ptr %function, ptr %argument, i32 %threads) {
  %call = alloca [2 x ptr]
  store ptr %function, ptr %call
  %argument.at = getelementptr ptr, ptr %call, i64 1
  store ptr %argument, ptr %argument.at
  call void @GOMP_parallel(ptr @member, ptr %call, i32 %threads, i32 0)
  ret void
}
"""


@lru_cache
def _openmp_entry() -> Callable[..., None]:
    """``run(function, argument, threads)``: the function once in each thread of an OpenMP team."""
    compiled = compile_module(_OPENMP_ENTRY, "threads")
    return compiled.function("run", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)


# A pool of our own


class _OwnPool:
    """One team at a time, as two teams that share the threads could each wait for the other at a barrier."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.size = 0

    def run(self, call: Callable[[int, int, int], Any], argument: int, threads: int) -> None:
        with self.lock:
            if self.executor is None or self.size < threads:
                if self.executor is not None:
                    self.executor.shutdown()
                self.executor = ThreadPoolExecutor(threads, thread_name_prefix="elman")
                self.size = threads
            others = [self.executor.submit(call, argument, k, threads) for k in range(1, threads)]
            call(argument, 0, threads)
            for other in others:
                other.result()


_own_pool = _OwnPool()
_is_forked = False


def _on_own_pool(function: int, argument: int, threads: int) -> None:
    _own_pool.run(_function_of_threads(function), argument, threads)


def _after_fork() -> None:
    """In the child neither pool has threads any more."""
    global _own_pool, _is_forked
    _own_pool = _OwnPool()
    _is_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
