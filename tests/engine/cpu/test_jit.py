from __future__ import annotations

import ctypes
import gc
import platform
import threading
from pathlib import Path

import llvmlite.binding as llvm
import pytest
import torch

from elman.engine.cpu import jit
from elman.engine.cpu.jit import Host, compile_module, host
from elman.errors import UserError

INTEL = platform.machine().lower() in ("x86_64", "amd64")


def adds(number: int) -> str:
    return f"""
        define void @run(ptr %x) {{
          %old = load i64, ptr %x
          %new = add i64 %old, {number}
          store i64 %new, ptr %x
          ret void
        }}
    """


def applied(compiled: jit.Compiled) -> int:
    x = ctypes.c_int64(1)
    compiled.function("run", ctypes.c_void_p)(ctypes.addressof(x))
    return x.value


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    return tmp_path / "code"


def test_the_second_time_the_code_comes_from_the_cache(code: Path) -> None:
    first, second = compile_module(adds(5), "test"), compile_module(adds(5), "test")
    assert (first.cached, second.cached) == (False, True)
    assert (applied(first), applied(second)) == (6, 6)
    assert len(list(code.iterdir())) == 1
    assert first.seconds > 0 and second.seconds > 0


def test_a_damaged_entry_is_built_anew(code: Path) -> None:
    compile_module(adds(7), "test")
    (entry,) = code.iterdir()
    entry.write_bytes(entry.read_bytes()[:-100])
    again = compile_module(adds(7), "test")
    assert not again.cached
    assert applied(again) == 8
    assert compile_module(adds(7), "test").cached


def test_a_module_with_a_key_is_made_only_where_the_cache_has_it_not(code: Path) -> None:
    made = []

    def make() -> str:
        made.append(1)
        return adds(9)

    assert applied(compile_module(make, "test", key="adds 9")) == 10
    assert applied(compile_module(make, "test", key="adds 9")) == 10
    assert len(made) == 1
    compile_module(make, "test", key="another")
    assert len(made) == 2


def test_functions_keep_their_code_alive() -> None:
    x = ctypes.c_int64(1)
    function = compile_module(adds(11), "test").function("run", ctypes.c_void_p)
    gc.collect()
    function(ctypes.addressof(x))
    assert x.value == 12


def test_an_unknown_function_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="test has no function 'nothing'"):
        compile_module(adds(1), "test").address("nothing")


def test_wrong_ir_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="LLVM IR parsing error"):
        compile_module("define nothing", "test")


def test_many_threads_compile_at_once(code: Path) -> None:
    results: dict[int, int] = {}

    def work(k: int) -> None:
        results[k] = applied(compile_module(adds(k % 3), "test"))

    workers = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == {k: 1 + k % 3 for k in range(12)}


def test_the_host_has_lanes() -> None:
    assert host().cpu
    assert host().lanes(torch.float32) == 2 * host().lanes(torch.float64)
    assert host().lanes(torch.float32) in (4, 8, 16)
    assert Host("x", "", 64).lanes(torch.float64) == 8


@pytest.mark.skipif(not INTEL, reason="names of x86")
@pytest.mark.parametrize(("asked", "cpu", "lanes"), [("avx2", "x86-64-v3", 8), ("baseline", "x86-64", 4)])
def test_elman_cpu_lowers_the_target(
    asked: str, cpu: str, lanes: int, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if asked == "avx2" and not llvm.get_host_cpu_features().get("avx2"):
        pytest.skip("no AVX2 here")
    compile_module(adds(13), "test")
    monkeypatch.setenv("ELMAN_CPU", asked)
    assert host().cpu == cpu
    assert host().lanes(torch.float32) == lanes
    lowered = compile_module(adds(13), "test")
    assert not lowered.cached
    assert applied(lowered) == 14


def test_elman_cpu_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_CPU", "avx3")
    with pytest.raises(UserError, match="ELMAN_CPU is 'avx3'; did you mean 'avx2'"):
        host()


def test_avx2_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_CPU", "avx2")
    monkeypatch.setattr(llvm, "get_host_cpu_features", dict)
    jit._host.cache_clear()
    try:
        with pytest.raises(UserError, match="does not have"):
            host()
    finally:
        jit._host.cache_clear()
