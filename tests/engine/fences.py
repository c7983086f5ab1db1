"""A test mode of the kernel: each of its buffers ends, or begins, at a page that may not be touched.

As a program, which a forbidden access ends, it runs scans between such fences and compares them with eager ones, in
bfloat16 with the same kernel without fences: ``fences.py cells|bf16 THREADS SIZE... -- NAME...`` or
``fences.py random EXAMPLES``.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import mmap
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman.engine.cpu import kernel

_FAILED = ctypes.c_void_p(-1).value
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library


class Fences:
    """Memory between two forbidden pages: right before the second one (``at_end``), or right behind the first."""

    def __init__(self, *, at_end: bool) -> None:
        self.at_end = at_end
        self.maps: list[tuple[int, int]] = []

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Full of NaN, or of ones where there is none, so that it shows when it is read before it is written."""
        count = torch.Size(shape).numel()
        size = count * dtype.itemsize
        if not size:
            return torch.zeros(tuple(shape), dtype=dtype)
        page = mmap.PAGESIZE
        room = -(-size // page) * page
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        begin = _libc().mmap(None, room + 2 * page, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        assert begin not in (None, _FAILED), "no memory for fences"
        self.maps.append((begin, room + 2 * page))
        for forbidden in (begin, begin + page + room):
            assert _libc().mprotect(forbidden, page, 0) == 0
        at = begin + page + (room - size if self.at_end else 0)
        made = torch.frombuffer((ctypes.c_char * size).from_address(at), dtype=dtype, count=count).view(tuple(shape))
        return made.fill_(float("nan") if made.is_floating_point() else 1)

    def copy(self, tensor: Tensor) -> Tensor:
        """A contiguous copy between fences."""
        return self.empty(tensor.shape, tensor.dtype).copy_(tensor)

    def clear(self) -> None:
        """Gives the memory back; no tensor in it may be used any more."""
        for begin, size in self.maps:
            assert _libc().munmap(begin, size) == 0
        self.maps.clear()


@contextlib.contextmanager
def fenced(*, at_end: bool = True) -> Iterator[Fences]:
    """Runs every kernel between fences, on copies of what it is given, which are copied back, storage by storage.

    Fresh buffers are full of NaN. Raises ``AssertionError`` where a kernel wrote beside its outputs.
    """
    fences = Fences(at_end=at_end)
    sort, plain = kernel._by_length, Tensor.new_empty

    def new_empty(like: Tensor, *size: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
        if torch._C._len_torch_dispatch_stack() or like.device.type != "cpu":  # a trace is under way
            return plain(like, *size, dtype=dtype, **options)
        return fences.empty(_shape(size), dtype or like.dtype)

    def by_length(lengths: Tensor, time: int) -> list[Tensor]:
        return [fences.copy(each) for each in sort(lengths, time)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "new_empty", new_empty)
        patch.setattr(kernel, "_by_length", by_length)
        # By its full name: the package has the function of that name.
        patch.setattr(sys.modules["elman.engine.scan"], "run_on_cpu", between(fences, kernel.run_on_cpu))
        yield fences


def between(fences: Fences, run: Callable[..., None]) -> Callable[..., None]:
    """The kernel ``run`` between fences."""

    def run_between(
        plan: Any,
        time: int,
        whole: dict[Any, Tensor],
        stepped: dict[Any, Tensor],
        stacks: list[Tensor],
        outputs: list[Tensor],
        *,
        resets: Tensor | None,
        reset_states: list[Tensor] | None,
        **options: Any,
    ) -> None:
        twins: dict[int, tuple[Tensor, Tensor]] = {}

        def move(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in twins:
                original = torch.empty(0, dtype=tensor.dtype).set_(storage)  # type: ignore[call-overload]
                twins[storage.data_ptr()] = original, fences.copy(original)
            return twins[storage.data_ptr()][1].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

        written = [*map(move, stacks), *map(move, outputs)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "empty", lambda *size, dtype: fences.empty(_shape(size), dtype))
            run(
                plan,
                time,
                {value: move(each) for value, each in whole.items()},
                {value: move(each) for value, each in stepped.items()},
                written[: len(stacks)],
                written[len(stacks) :],
                resets=None if resets is None else fences.copy(resets),
                reset_states=None if reset_states is None else [fences.copy(each) for each in reset_states],
                **options,
            )
        for original, twin in twins.values():
            outside = torch.ones(original.shape, dtype=torch.bool)
            for each in written:
                if each.untyped_storage().data_ptr() == twin.untyped_storage().data_ptr():
                    outside.as_strided(each.shape, each.stride(), each.storage_offset()).fill_(False)
            before, after = (each.view(_WORDS[each.element_size()])[outside] for each in (original, twin))
            assert torch.equal(before, after), "the kernel wrote beside its outputs"
            original.copy_(twin)

    return run_between


def _shape(size: tuple[Any, ...]) -> Sequence[int]:
    return size[0] if len(size) == 1 and not isinstance(size[0], int) else size


def _load(name: str) -> Any:
    """A module of the tests beside this one, which may import from their folder."""
    sys.path.append(str(Path(__file__).parents[1]))
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _scan_cells(names: Sequence[str], sizes: Sequence[int], *, bf16: bool) -> None:
    conftest, cells = _load("conftest"), _load("test_compiled").CELLS
    dtypes = (torch.float32,) if bf16 else (torch.float32, torch.float64)
    for name in names:
        for size, dtype in ((size, dtype) for size in sizes for dtype in dtypes):
            cell = cells[name](size, dtype=dtype)
            for number, (time, batch) in enumerate(((1, 1), (2, 17), (9, 3), (3, 6))):
                x = torch.randn(time, batch, 3, dtype=dtype)
                lengths = torch.randint(0, time + 1, (batch,))
                some = {"lengths": lengths, "resets": torch.rand(time, batch) < 0.3}
                for options in ({}, some, {**some, "reverse": True, "return_states": True}):
                    print(name, size, dtype, time, batch, *options, flush=True)
                    if bf16:
                        _compare_bf16(conftest.outcome, cell, x, options)
                        continue
                    with fenced(at_end=number != 2) as fences:
                        conftest.check_same(cell, x, **options)
                    fences.clear()


def _compare_bf16(outcome: Callable[..., Any], cell: nn.Module, x: Tensor, options: dict[str, Any]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        expected = outcome(cell, x, None, "cpu", **options)
        with fenced() as fences:
            found = outcome(cell, x, None, "cpu", **options)
    for a, b in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        assert torch.equal(a, b) and a.isfinite().all()
    del found, a
    fences.clear()


def _scan_random(examples: int) -> None:
    import hypothesis

    check_same, compiled = _load("conftest").check_same, _load("test_compiled")

    @hypothesis.settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @hypothesis.given(case=compiled.random_cells())
    def run(case: dict[str, Any]) -> None:
        print(case, flush=True)
        with fenced(at_end=case["seed"] % 2 == 0) as fences:
            compiled.check_random(case, check_same)
        fences.clear()

    run()


def main(arguments: Sequence[str]) -> None:
    """What the first argument names."""
    torch.manual_seed(0)
    if arguments[0] in ("cells", "bf16"):
        at = arguments.index("--")
        torch.set_num_threads(int(arguments[1]))
        _scan_cells(arguments[at + 1 :], [int(each) for each in arguments[2:at]], bf16=arguments[0] == "bf16")
    elif arguments[0] == "random":
        _scan_random(int(arguments[1]))
    else:
        numbers = Fences(at_end=arguments[0] == "read behind").empty((5,), torch.float32)
        print(ctypes.c_float.from_address(numbers.data_ptr() + (20 if arguments[0] == "read behind" else -4)).value)


if __name__ == "__main__":
    main(sys.argv[1:])
