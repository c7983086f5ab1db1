"""From LLVM IR to functions that can be called."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm
import llvmlite.ir as ir
import torch

from ...errors import UserError, nearest
from . import cache

_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    # A fork waits for a compilation under way, so that the child finds LLVM whole and this lock free.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

_LOWERED = {"avx2": "x86-64-v3", "baseline": "x86-64"}


class Host(NamedTuple):
    """The processor that code is made for.

    >>> Host("x86-64-v3", "", vector_bytes=32).lanes(torch.float32)
    8
    """

    cpu: str
    """LLVM's name of the processor."""
    features: str
    """LLVM's list of its instruction sets, "+avx2,-amx-tile,..."; empty: what the name implies."""
    vector_bytes: int
    """Width of a vector register: 64 with AVX-512, 32 with AVX2, 16 elsewhere."""

    def lanes(self, dtype: torch.dtype) -> int:
        """Elements in one vector register."""
        return self.vector_bytes // dtype.itemsize

    def has(self, feature: str) -> bool:
        """Whether the list of instruction sets has this one.

        >>> Host("znver4", "+avx512bf16,-amx-bf16", vector_bytes=64).has("amx-bf16")
        False
        """
        return f"+{feature}" in self.features.split(",")


def host() -> Host:
    """The processor at hand, or the lesser one that ``$ELMAN_CPU`` asks for: "avx2" or "baseline".

    Raises ``UserError`` for another value and for "avx2" where the processor lacks it.
    """
    return _host(os.environ.get("ELMAN_CPU", ""))


@lru_cache
def _host(asked: str) -> Host:
    with _lock:
        features = llvm.get_host_cpu_features()
        cpu = llvm.get_host_cpu_name()
    if not asked:
        width = 64 if features.get("avx512f") else 32 if features.get("avx2") else 16
        return Host(cpu, features.flatten(), width)
    if asked not in _LOWERED:
        raise UserError(f"ELMAN_CPU is {asked!r}; {nearest(asked, _LOWERED)}")
    if asked == "avx2" and not (features.get("avx2") and features.get("fma")):
        raise UserError(f"ELMAN_CPU is 'avx2', which this processor ({cpu}) does not have; unset it")
    intel = platform.machine().lower() in ("x86_64", "amd64")
    return Host(_LOWERED[asked] if intel else "generic", "", 32 if asked == "avx2" else 16)


@dataclass(frozen=True)
class Compiled:
    """Machine code in memory, there as long as this object or one of its functions is."""

    name: str
    seconds: float
    """What it took to make, or to read from the cache."""
    cached: bool
    """Whether the cache had it."""
    _engine: Any

    def address(self, name: str) -> int:
        """Where a function begins; raises ``KeyError`` where there is none of this name."""
        with _lock:
            address = self._engine.get_function_address(name)
        if not address:
            raise KeyError(f"{self.name} has no function {name!r}")
        return int(address)

    def function(self, name: str, *argtypes: Any) -> Callable[..., None]:
        """The function of this name, which returns nothing; ``argtypes`` are of ``ctypes``. Calls release the GIL."""
        function: Any = ctypes.CFUNCTYPE(None, *argtypes)(self.address(name))
        function.compiled = self
        return function


def compile_module(
    module: ir.Module | str | Callable[[], ir.Module | str], name: str, key: str | None = None
) -> Compiled:
    """Compiles a module for `host`, or takes its machine code from the cache on disk. Safe from several threads.

    Args:
        module: the module, its text, or a function that makes it.
        name: for messages.
        key: everything the module is made from, in words. Given this, a function ``module`` is not called where the
            cache has the code. The source of this folder and of ``engine`` is added, so old code is not taken for new.

    Raises ``RuntimeError`` for IR that LLVM refuses.
    """
    begin = time.perf_counter()
    target = host()
    if key is None:
        module = key = _text(module)
    else:
        key = cache.key(key, _sources())
    entry = cache.key(key, target.cpu, target.features, llvmlite.__version__, str(llvm.llvm_version_info))
    code = cache.load(entry)
    cached = code is not None
    if code is None:
        code = _machine_code(_text(module), target)
        cache.store(entry, code)
    engine = _loaded(code, target)
    return Compiled(name, time.perf_counter() - begin, cached, engine)


def _text(module: Any) -> str:
    return str(module() if callable(module) else module)


@lru_cache
def _sources() -> str:
    """A digest of the files that turn a cell into IR."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return cache.key(*(file.read_text(encoding="utf-8") for file in files))


def _machine_code(text: str, target: Host) -> bytes:
    with _lock:
        machine = _target_machine(target)
        module = llvm.parse_assembly(text)
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
        # Vectors are explicit and loops are unrolled by hand: LLVM's own attempts cost time and win nothing.
        tuning = llvm.create_pipeline_tuning_options(speed_level=1)
        tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
        passes = llvm.create_pass_builder(machine, tuning)
        passes.getModulePassManager().run(module, passes)
        return bytes(machine.emit_object(module))


def _loaded(code: bytes, target: Host) -> Any:
    with _lock:
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine(target))
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return engine


def _target_machine(target: Host) -> Any:
    _initialise()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, jit=True
    )


@lru_cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
