"""A test mode of the kernel: every buffer it is given ends (or begins) at a page that nobody may touch."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.engine.cpu import kernel

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Fences:
    """Memory between two forbidden pages; ``at_end`` puts it right before the second, else right behind the first.

    ``places`` counts what was handed out, until ``clear`` gives it back.
    """

    def __init__(self, *, at_end: bool) -> None:
        self.at_end = at_end
        self.maps: list[tuple[int, int]] = []

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Numbers are NaN and truths are true, so that what is read before it is written shows."""
        count = int(torch.Size(shape).numel())
        size = count * dtype.itemsize
        if not size:
            return torch.zeros(shape, dtype=dtype)
        page = mmap.PAGESIZE
        room = -(-size // page) * page
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        begin = _LIBC.mmap(None, room + 2 * page, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        assert begin not in (None, ctypes.c_void_p(-1).value)
        self.maps.append((begin, room + 2 * page))
        for forbidden in (begin, begin + page + room):
            assert _LIBC.mprotect(forbidden, page, 0) == 0
        at = begin + page + (room - size if self.at_end else 0)
        made = torch.frombuffer((ctypes.c_char * size).from_address(at), dtype=dtype, count=count).view(tuple(shape))
        return made.fill_(float("nan") if made.is_floating_point() else 1)

    def clear(self) -> None:
        """Gives the memory back; its tensors must not be used any more."""
        for begin, size in self.maps:
            assert _LIBC.munmap(begin, size) == 0
        self.maps.clear()


@contextlib.contextmanager
def fenced(*, at_end: bool = True) -> Iterator[Fences]:
    """Runs every kernel between fences. What it is given is copied there, storage by storage, and copied back.

    A forbidden read or write ends the process. Raises ``AssertionError`` where a kernel wrote beside its outputs.
    """
    fences = Fences(at_end=at_end)

    def new_empty(like: Tensor, *size: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
        if torch._C._len_torch_dispatch_stack() or like.device.type != "cpu":  # a trace is under way
            return plain(like, *size, dtype=dtype, **options)
        shape = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        return fences.empty(shape, dtype or like.dtype)

    def by_length(lengths: Tensor, time: int) -> list[Tensor]:
        return [_moved(each, fences) for each in sort(lengths, time)]

    run, sort, plain = kernel.run_on_cpu, kernel._by_length, Tensor.new_empty
    with pytest.MonkeyPatch.context() as patch:
        # By its full name: the package has the function of that name.
        patch.setattr(sys.modules["elman.engine.scan"], "run_on_cpu", _between(fences, run))
        patch.setattr(kernel, "_by_length", by_length)
        patch.setattr(Tensor, "new_empty", new_empty)
        yield fences


def _between(fences: Fences, run: Callable[..., None]) -> Callable[..., None]:
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
        moved: dict[int, tuple[Tensor, Tensor]] = {}

        def move(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in moved:
                plain = torch.empty(0, dtype=tensor.dtype).set_(storage)
                moved[storage.data_ptr()] = plain, _moved(plain, fences)
            return moved[storage.data_ptr()][1].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

        written = [*map(move, stacks), *map(move, outputs)]
        run(
            plan,
            time,
            {value: move(each) for value, each in whole.items()},
            {value: move(each) for value, each in stepped.items()},
            written[: len(stacks)],
            written[len(stacks) :],
            resets=None if resets is None else _moved(resets, fences),
            reset_states=None if reset_states is None else [_moved(each, fences) for each in reset_states],
            **options,
        )
        for plain, twin in moved.values():
            outside = torch.ones(plain.shape, dtype=torch.bool)
            for each in written:
                if each.untyped_storage().data_ptr() == twin.untyped_storage().data_ptr():
                    outside.as_strided(each.shape, each.stride(), each.storage_offset()).fill_(False)
            kind = {1: torch.uint8, 4: torch.int32, 8: torch.int64}[plain.element_size()]
            assert torch.equal(plain.view(kind)[outside], twin.view(kind)[outside]), "written beside an output"
            plain.copy_(twin)

    return run_between


def _moved(tensor: Tensor, fences: Fences) -> Tensor:
    return fences.empty(tensor.shape, tensor.dtype).copy_(tensor)
