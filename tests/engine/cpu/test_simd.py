from __future__ import annotations

import ctypes
import math
import mmap
import sys
from collections.abc import Callable

import llvmlite.ir as ir
import pytest
import torch
from torch import Tensor

from elman.engine.cpu.jit import compile_module, host
from elman.engine.cpu.simd import I64, POINTER, Simd, Value, carried_loop, index, loop

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def call(
    emit: Callable[[Simd, list[Value], Value], None], dtype: torch.dtype, lanes: int, *tensors: Tensor, n: int = 0
) -> None:
    """Runs ``emit(simd, pointers, n)`` once."""
    module = ir.Module("test")
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * len(tensors) + [I64])
    function = ir.Function(module, kind, "run")
    *pointers, size = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    emit(Simd(module, builder, dtype, lanes), pointers, size)
    builder.ret_void()
    run = compile_module(module, "test").function("run", *[ctypes.c_void_p] * len(tensors), ctypes.c_int64)
    run(*(tensor.data_ptr() for tensor in tensors), n)


@DTYPES
@pytest.mark.parametrize("count", [None, 0, 1, 3, 7, 8])
@pytest.mark.parametrize("known", [True, False], ids=["constant", "value"])
def test_only_the_first_count_lanes_are_moved(dtype: torch.dtype, count: int | None, known: bool) -> None:
    x, y = torch.arange(1.0, 21, dtype=dtype), torch.full((20,), -1.0, dtype=dtype)

    def emit(simd: Simd, pointers: list[Value], n: Value) -> None:
        lanes = None if count is None else count if known else n
        vector = simd.load(pointers[0], 3, lanes)
        simd.store(simd.add(vector, simd.const(100)), pointers[1], 0, 8)
        simd.store(vector, pointers[1], index(10), lanes)

    call(emit, dtype, 8, x, y, n=count or 0)
    moved = 8 if count is None else count
    expected = torch.full((20,), -1.0, dtype=dtype)
    expected[:8] = 100
    expected[:moved] += x[3 : 3 + moved]
    expected[10 : 10 + moved] = x[3 : 3 + moved]
    assert torch.equal(y, expected)


def test_masks_are_bool_tensors_in_memory() -> None:
    x, y = torch.rand(16) < 0.5, torch.ones(16, dtype=torch.bool)

    def emit(simd: Simd, pointers: list[Value], n: Value) -> None:
        simd.store_mask(simd.load_mask(pointers[0], 1, 5), pointers[1], 2, n)

    call(emit, torch.float32, 8, x, y, n=7)
    assert torch.equal(y[2:7], x[1:6])
    assert not y[7:9].any()
    assert y[:2].all() and y[9:].all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects a page through libc")
@pytest.mark.parametrize("target", ["", "avx2", "baseline"])
def test_nothing_behind_the_count_is_touched(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last elements of a page are moved whose next page may not even be read."""
    monkeypatch.setenv("ELMAN_CPU", target)
    size = mmap.PAGESIZE
    pages = mmap.mmap(-1, 2 * size)
    x = torch.frombuffer(pages, dtype=torch.float32)
    x[:] = 7
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(x.data_ptr() + size), size, 0) == 0
    last = size // 4 - 3

    def emit(simd: Simd, pointers: list[Value], n: Value) -> None:
        doubled = simd.add(simd.load(pointers[0], last, 3), simd.load(pointers[0], last, n))
        simd.store(doubled, pointers[0], last, n)
        simd.store(doubled, pointers[0], last, 3)

    call(emit, torch.float32, host().lanes(torch.float32), x, n=3)
    assert libc.mprotect(ctypes.c_void_p(x.data_ptr() + size), size, mmap.PROT_READ | mmap.PROT_WRITE) == 0
    assert torch.equal(x[: last + 3], torch.cat([torch.full((last,), 7.0), torch.full((3,), 14.0)]))
    assert (x[last + 3 :] == 7).all()


@DTYPES
def test_arithmetic(dtype: torch.dtype, over_arrays: Callable[..., Tensor]) -> None:
    a, b, c = torch.randn(3, 37, dtype=dtype)
    close = torch.testing.assert_close
    close(over_arrays(Simd.add, a, b), a + b)
    close(over_arrays(Simd.sub, a, b), a - b)
    close(over_arrays(Simd.mul, a, b), a * b)
    close(over_arrays(Simd.div, a, b), a / b)
    close(over_arrays(Simd.neg, a), -a)
    close(over_arrays(Simd.abs, a), a.abs())
    close(over_arrays(Simd.sqrt, a.abs()), a.abs().sqrt())
    close(over_arrays(Simd.fma, a, b, c), a * b + c)
    close(over_arrays(lambda simd, x: simd.intrinsic("floor", x), a), a.floor())
    assert torch.equal(over_arrays(lambda simd, x, y: simd.select(simd.compare("<", x, y), x, y), a, b), a.minimum(b))
    assert torch.equal(over_arrays(lambda simd, x: simd.from_bits(simd.bits(x)), a), a)


def test_min_and_max_give_the_second_operand_where_either_is_nan(over_arrays: Callable[..., Tensor]) -> None:
    a = torch.tensor([1.0, math.nan, 1.0, math.nan, -math.inf])
    b = torch.tensor([2.0, 2.0, math.nan, math.nan, math.inf])
    for function, first, last in ((Simd.min, 1.0, -math.inf), (Simd.max, 2.0, math.inf)):
        result = over_arrays(function, a, b)
        assert result[[0, 1, 4]].tolist() == [first, 2.0, last]
        assert result[2:4].isnan().all()


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_comparisons_treat_nan_as_python_does(operator: str, over_arrays: Callable[..., Tensor]) -> None:
    values = [0.0, -0.0, 1.0, -2.0, math.inf, math.nan]
    a, b = torch.cartesian_prod(torch.tensor(values), torch.tensor(values)).T.contiguous()
    result = over_arrays(lambda simd, x, y: simd.compare(operator, x, y), a, b)
    assert result.tolist() == [
        eval(f"x {operator} y", {"x": x, "y": y}) for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]


def test_constants_are_rounded_to_the_type(over_arrays: Callable[..., Tensor]) -> None:
    for number in (0.1, 1e300, -1e-300, 3, True, math.inf, -math.inf, math.nan):
        result = over_arrays(lambda simd, x, number=number: simd.const(number), torch.zeros(3))
        torch.testing.assert_close(result, torch.full((3,), float(number), dtype=torch.float64).float(), equal_nan=True)


@pytest.mark.parametrize("lanes", [1, 2, 8, 16])
def test_reduce_and_scalars(lanes: int) -> None:
    x, y = torch.randn(16), torch.zeros(3)

    def emit(simd: Simd, pointers: list[Value], n: Value) -> None:
        vector = simd.load(pointers[0], 0)
        simd.store_scalar(simd.reduce(simd.add, vector), pointers[1], 0)
        simd.store_scalar(simd.reduce(simd.max, vector), pointers[1], 1)
        spread = simd.splat(simd.load_scalar(pointers[0], n))
        simd.store_scalar(simd.reduce(simd.min, spread), pointers[1], 2)

    call(emit, torch.float32, lanes, x, y, n=5)
    torch.testing.assert_close(y, torch.stack([x[:lanes].sum(), x[:lanes].max(), x[5]]))


@pytest.mark.parametrize(("start", "stop", "step"), [(0, 5, 1), (2, 11, 4), (3, 3, 1), (5, 2, 1), (-3, 4, 7)])
def test_loops_are_ranges(start: int, stop: int, step: int) -> None:
    visits = torch.zeros(32, dtype=torch.float64)

    def emit(simd: Simd, pointers: list[Value], n: Value) -> None:
        with loop(simd.builder, start, n, step) as i:
            at = simd.builder.add(i, index(8))
            simd.store_scalar(simd.builder.fadd(simd.load_scalar(pointers[0], at), simd.scalar(1.0)), pointers[0], at)

    call(emit, torch.float64, 1, visits, n=stop)
    assert (visits.nonzero().flatten() - 8).tolist() == list(range(start, stop, step))
    assert visits.max() <= 1


@pytest.mark.parametrize("n", [0, 1, 10])
def test_carried_values(n: int) -> None:
    """Sum and count over nested loops, one accumulator a vector and one an integer."""
    x, total, rounds = torch.randn(10, 4), torch.zeros(4), torch.zeros(1, dtype=torch.int64)

    def emit(simd: Simd, pointers: list[Value], size: Value) -> None:
        build = simd.builder

        def outer(i: Value, values: list[Value]) -> list[Value]:
            def inner(_: Value, counts: list[Value]) -> list[Value]:
                return [build.add(counts[0], index(1))]

            (count,) = carried_loop(build, 0, 3, 1, [values[1]], inner)
            return [simd.add(values[0], simd.load(pointers[0], build.mul(i, index(4)))), count]

        final, count = carried_loop(build, 0, size, 1, [simd.const(1), index(0)], outer)
        simd.store(final, pointers[1], 0)
        build.store(count, pointers[2])

    call(emit, torch.float32, 4, x, total, rounds, n=n)
    torch.testing.assert_close(total, 1 + x[:n].sum(0))
    assert rounds.item() == 3 * n
