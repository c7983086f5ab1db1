"""Rounding to bfloat16 and products of pairs, by ordinary instructions; the choice of instructions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from elman.engine.cpu import amx, bf16, ways
from elman.engine.cpu.jit import Host
from elman.engine.cpu.simd import Simd, Value
from elman.engine.cpu.ways import Way, multiplies_bf16, way_for
from elman.errors import UserError

SPECIAL = [0.0, -0.0, 1.0, 1 / 3, -1 / 3, 3.0e38, 3.4e38, float("inf"), -float("inf"), 1e-40, 2**-133, 2**-134, 1e-45]
# Halfway between two numbers, the even one below or above; a little more and less.
SPECIAL += [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 1 + 2**-8 - 2**-20]


def rounded(simd: Simd, x: Value) -> Value:
    """The vector rounded and widened again."""
    halves = bf16.rounded(simd, x, native=False)
    return bf16.first(simd, simd.builder.zext(halves, simd.integers))


def lanes_of(over_arrays: Any, emit: Any, *tensors: Tensor) -> list[Tensor]:
    return [over_arrays(emit, *tensors, lanes=lanes) for lanes in (4, 8, 16)]


def test_special_numbers_are_rounded_as_by_pytorch(over_arrays: Any) -> None:
    x = torch.tensor(SPECIAL * 3)
    for found in lanes_of(over_arrays, rounded, x):
        assert torch.equal(found.view(torch.int32), x.bfloat16().float().view(torch.int32))


def test_nan_stays_nan(over_arrays: Any) -> None:
    bits = np.array([0x7F800001, 0x7FFFFFFF, 0xFF800001, 0xFFFFFFFF, 0x7FC00000], dtype=np.uint32)
    for found in lanes_of(over_arrays, rounded, torch.from_numpy(bits.view(np.float32))):
        assert found.isnan().all()


@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bits_are_rounded_as_by_pytorch(bits: list[int], over_arrays: Any) -> None:
    x = torch.from_numpy(np.array(bits, dtype=np.uint32).view(np.float32))
    found, expected = over_arrays(rounded, x), x.bfloat16().float()
    numbers = ~x.isnan()
    assert torch.equal(found.isnan(), x.isnan())
    assert torch.equal(found.view(torch.int32)[numbers], expected.view(torch.int32)[numbers])


def test_a_dot_adds_two_products_in_float32(over_arrays: Any) -> None:
    a, b, c, d, sums = torch.randn(5, 37)

    def emit(simd: Simd, a: Value, b: Value, c: Value, d: Value, sums: Value) -> Value:
        left, right = (bf16.paired(simd, *pair, native=False) for pair in ((a, b), (c, d)))
        return bf16.dot(simd, left, right, sums, native=False)

    a16, b16, c16, d16 = (each.bfloat16().double() for each in (a, b, c, d))
    expected = (a16 * c16 + (b16 * d16 + sums.double()).float().double()).float()
    for found in lanes_of(over_arrays, emit, a, b, c, d, sums):
        torch.testing.assert_close(found, expected, rtol=2e-7, atol=1e-7)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``pretend(features, permitted)``: a host with these instructions."""
    monkeypatch.delenv("ELMAN_BF16", raising=False)

    def set_host(features: str, permitted: bool = True, width: int = 64) -> None:
        monkeypatch.setattr(ways, "host", lambda: Host("x", features, width))
        monkeypatch.setattr(amx, "permitted", lambda: permitted)

    return set_host


def test_the_way_follows_the_instructions(pretend: Any) -> None:
    pretend("+amx-tile,+amx-bf16,+avx512bf16")
    assert way_for(64) == way_for(4) == Way("amx", native=True)
    assert way_for(1) == Way("dot", native=True)
    assert multiplies_bf16()
    pretend("+amx-tile,+amx-bf16,+avx512bf16", permitted=False)
    assert way_for(64) == Way("dot", native=True)
    pretend("-amx-tile,-amx-bf16,+avx512bf16")
    assert way_for(64) == Way("dot", native=True)
    pretend("-avx512bf16,+avx512f")
    assert way_for(64) == way_for(1) == Way("dot", native=False)
    assert not multiplies_bf16()


def test_a_way_may_be_asked_for(pretend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend("+amx-tile,+amx-bf16,+avx512bf16")
    for asked, way in (("amx", Way("amx", True)), ("dot", Way("dot", True)), ("emulate", Way("dot", False))):
        monkeypatch.setenv("ELMAN_BF16", asked)
        assert way_for(1) == way_for(64) == way
    pretend("+avx2")
    for asked, way in (("amx", Way("amx", False)), ("dot", Way("dot", False))):
        monkeypatch.setenv("ELMAN_BF16", asked)
        assert way_for(64) == way
    pretend("+avx2", width=32)
    monkeypatch.setenv("ELMAN_BF16", "amx")
    with pytest.raises(UserError, match="64 bytes"):
        way_for(64)
    monkeypatch.setenv("ELMAN_BF16", "amd")
    with pytest.raises(UserError, match="'amx'"):
        way_for(64)
