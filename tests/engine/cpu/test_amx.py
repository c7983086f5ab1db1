"""Tiles: what stands in for them does what the manual says, and code for a processor that has them uses them well."""

from __future__ import annotations

import ctypes
import platform
import re
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
import pytest
import torch
from torch import Tensor

from elman.cell import Cell
from elman.cells import GRU, LSTM, RNN
from elman.engine.cpu import amx, jit
from elman.engine.cpu.emit import Variant, emit
from elman.engine.cpu.jit import compile_module, host
from elman.engine.cpu.simd import I64, POINTER, Simd, index, loop
from elman.engine.cpu.ways import Way
from elman.engine.prepare import prepare

needs_wide_vectors = pytest.mark.skipif(host().vector_bytes != 64, reason="a row of a tile is one vector of 64 bytes")
needs_intel = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="LLVM knows the host's kind only"
)


def run(emit_body: Any, *tensors: Tensor) -> None:
    """Runs code that is emitted for pointers to the tensors."""
    module = ir.Module("test")
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * len(tensors))
    function = ir.Function(module, kind, "run")
    builder = ir.IRBuilder(function.append_basic_block())
    emit_body(Simd(module, builder, torch.float32, 16), *function.args)
    builder.ret_void()
    compiled = compile_module(module, "test").function("run", *[ctypes.c_void_p] * len(tensors))
    compiled(*(each.data_ptr() for each in tensors))


def tile_product(left: Tensor, weights: Tensor, sums: Tensor) -> Tensor:
    """TDPBF16PS of the manual: first and second terms are added up apart. (16, 32) bfloat16, (16, 16, 2), (16, 16)."""
    firsts, seconds = torch.zeros(2, 16, 16)
    for k in range(16):
        for half, total in ((0, firsts), (1, seconds)):
            total += left[:, 2 * k + half].float().unsqueeze(1) * weights[k, :, half].float()
    return sums + (firsts + seconds)


@needs_wide_vectors
def test_a_product_of_tiles_is_the_manuals() -> None:
    left, weights = torch.randn(16, 40).bfloat16(), torch.randn(16, 3, 16, 2).bfloat16()
    sums, zero = torch.randn(16, 16), torch.full((20, 16), 7.0)
    expected = tile_product(left[:, :32], weights[:, 1], sums)

    def body(simd: Simd, left: Any, weights: Any, sums: Any, zero: Any) -> None:
        tiles = amx.Tiles(simd, native=False)
        tiles.load(5, left, index(80))
        tiles.load(6, simd.builder.gep(weights, [index(64)], source_etype=ir.IntType(8)), index(3 * 64))
        tiles.load(1, sums, index(64))
        tiles.multiply(1, 5, 6)
        tiles.store(1, sums, index(64))
        tiles.zero(1)
        tiles.store(1, zero, index(64))

    run(body, left, weights, sums, zero)
    torch.testing.assert_close(sums, expected, rtol=1e-6, atol=1e-6)
    assert not zero[:16].any() and (zero[16:] == 7).all()


@needs_wide_vectors
@pytest.mark.parametrize("tall", [1, 2])
@pytest.mark.parametrize("sums", [1, 2, 3, 4, 5, 6, 7])
def test_products_of_any_number_of_tiles(tall: int, sums: int) -> None:
    groups, stride = 3, sums + 2
    left, weights = torch.randn(16 * tall, 32 * groups).bfloat16(), torch.randn(32 * groups, 16 * sums).bfloat16()
    in_tiles = left.view(tall, 16, groups, 32).transpose(1, 2).contiguous()
    pairs = weights.view(16 * groups, 2, 16 * sums).transpose(1, 2).contiguous()
    found = torch.full((16 * tall, stride, 16), 7.0)

    def body(simd: Simd, left: Any, weights: Any, found: Any) -> None:
        apart, across = index(groups * amx.TILE_BYTES), index(stride * 64)
        function = amx.tile_function(simd, tall, sums, native=False)
        assert amx.tile_function(simd, tall, sums, native=False) is function
        simd.builder.call(function, [left, apart, weights, index(groups), found, across])

    run(body, in_tiles, pairs, found)
    torch.testing.assert_close(found[:, :sums].flatten(1), left.float() @ weights.float(), rtol=1e-5, atol=1e-5)
    assert (found[:, sums:] == 7).all()


def test_places_in_tiles() -> None:
    out, terms = torch.empty(40, 96, dtype=torch.int64), 96

    def body(simd: Simd, out: Any) -> None:
        b = simd.builder
        with loop(b, 0, 40) as row, loop(b, 0, terms) as term:
            place = amx.place(b, row, term, terms)
            b.store(place, b.gep(out, [b.add(b.mul(row, index(terms)), term)], source_etype=I64))

    run(body, out)
    rows, columns = torch.arange(40).view(-1, 1), torch.arange(terms)
    expected = ((rows // 16) * 3 + columns // 32) * 512 + rows % 16 * 32 + columns % 32
    assert torch.equal(out, expected)


def test_permission_is_asked_for_once() -> None:
    assert amx.permitted() is amx.permitted()
    assert isinstance(amx.permitted(), bool)


def assembly(cell: Cell, way: Way, *, backward: bool = False) -> str:
    """The loop's code for a processor that has the instructions."""
    state = cell.initial_state(8)
    program = prepare(cell, [torch.zeros(2, 8, 64)], state, is_tuple=False, all_states=False).program
    plan = program.backward if backward else program.training
    rings = (False,) * len(plan.states)
    text = str(emit(plan, Variant(torch.float32, 16, rings=rings, backward=backward, way=way)))
    jit._initialise()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="sapphirerapids", opt=3, jit=True)
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    code: str = machine.emit_assembly(module)
    return code


def blocks_with(instruction: str, code: str) -> list[str]:
    blocks = re.split(r"^(?:[.\w]+:|\tj).*$", code, flags=re.MULTILINE)  # at labels and jumps
    return [block for block in blocks if instruction in block]


@needs_intel
@pytest.mark.parametrize("maker", [LSTM, GRU, RNN])
@pytest.mark.parametrize("backward", [False, True])
def test_code_for_tiles(maker: type[Cell], backward: bool) -> None:
    code = assembly(maker(64, 64), Way("amx", native=True), backward=backward)
    inner = blocks_with("tdpbf16ps", code)
    assert inner and "vdpbf16ps" not in code and "vcvtneps2bf16" in code
    for block in inner:
        assert "rsp" not in block, block
        assert block.count("tileloadd") <= block.count("tdpbf16ps") + 3
    assert code.count("ldtilecfg") == 1 and code.index("ldtilecfg") < code.index("tilezero")
    assert code.count("tilerelease") == 1


@needs_intel
@pytest.mark.parametrize("maker", [LSTM, GRU, RNN])
def test_code_for_dot_products(maker: type[Cell]) -> None:
    code = assembly(maker(64, 64), Way("dot", native=True))
    inner = [block for block in blocks_with("vdpbf16ps", code) if block.count("vdpbf16ps") > 8]
    assert inner and "tdpbf16ps" not in code and "vcvtneps2bf16" in code and "tilecfg" not in code
    for block in inner:
        assert not re.search(r"rsp.*zmm|zmm.*rsp", block), block
