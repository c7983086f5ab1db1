"""What the tests of the code generator share: one emitted function over arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import llvmlite.ir as ir
import pytest
import torch
from torch import Tensor

from elman.engine.cpu.jit import compile_module, host
from elman.engine.cpu.simd import I64, POINTER, Simd, Value, index, loop

OverArrays = Callable[..., Tensor]
"""``over_arrays(emit, *tensors, lanes=None)``: ``emit(simd, *vectors)`` for every element of tensors of one size."""


@pytest.fixture
def over_arrays() -> OverArrays:
    return run_over_arrays


def run_over_arrays(emit: Callable[..., Value], *tensors: Tensor, lanes: int | None = None) -> Tensor:
    """Bool tensors come as masks, and a mask that ``emit`` returns becomes a bool tensor."""
    dtype = next(tensor.dtype for tensor in tensors if tensor.dtype != torch.bool)
    lanes = lanes or host().lanes(dtype)
    module = ir.Module("test")
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * (1 + len(tensors)) + [I64])
    function = ir.Function(module, kind, "run")
    out, *pointers, size = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    simd = Simd(module, builder, dtype, lanes)
    is_mask = False

    def step(i: Value, count: Value | None) -> None:
        nonlocal is_mask
        result = emit(
            simd,
            *(
                (simd.load_mask if tensor.dtype == torch.bool else simd.load)(pointer, i, count)
                for pointer, tensor in zip(pointers, tensors, strict=True)
            ),
        )
        is_mask = result.type == simd.mask
        (simd.store_mask if is_mask else simd.store)(result, out, i, count)

    whole = builder.mul(builder.sdiv(size, index(lanes)), index(lanes))
    with loop(builder, 0, whole, lanes) as i:
        step(i, None)
    with loop(builder, whole, size, lanes) as i:
        step(i, builder.sub(size, i))
    builder.ret_void()

    run = compile_module(module, "test").function("run", *[ctypes.c_void_p] * (1 + len(tensors)), ctypes.c_int64)
    result = torch.empty(tensors[0].shape, dtype=torch.bool if is_mask else dtype)
    run(result.data_ptr(), *(tensor.data_ptr() for tensor in tensors), result.numel())
    return result
