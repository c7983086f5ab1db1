"""How stages are cut into tiles, and how weights are packed for them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.cells import GRUResetBefore
from elman.engine.cpu.emit import Variant
from elman.engine.cpu.gemm import REGISTERS, panels, tiling
from elman.engine.cpu.jit import host
from elman.engine.cpu.pack import pack_panels
from elman.engine.kinds import weight, width
from elman.engine.plan import Stage
from elman.engine.prepare import prepare
from elman.engine.steps import default_state


@given(
    products=st.integers(1, 10),
    size=st.integers(1, 300),
    rows=st.integers(1, 8),
    shared=st.booleans(),
    near=st.booleans(),
)
def test_sums_fit_the_registers_and_blocks_hold_whole_tiles(
    products: int, size: int, rows: int, shared: bool, near: bool
) -> None:
    cut = tiling(Stage(size, [], [(None, 0)] * products), lanes=16, rows=rows, shared=shared, near=near)  # type: ignore[list-item]
    assert cut.rows >= 1 and cut.vectors >= 1 and cut.block >= cut.rows and cut.terms % 4 == 0
    assert products * cut.vectors * cut.rows <= max(REGISTERS, products)
    assert (cut.vectors - 1) * 16 < size


@settings(deadline=None)
@given(size=st.sampled_from([1, 7, 16, 33, 65]), transposed=st.booleans(), shared=st.booleans())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_packed_weights_lie_in_the_order_of_the_tiles(
    dtype: torch.dtype, size: int, transposed: bool, shared: bool
) -> None:
    cell = GRUResetBefore(3, size).to(dtype)
    plan = prepare(
        cell, [torch.zeros(2, 2, 3, dtype=dtype)], default_state(cell, 2), is_tuple=False, all_states=False
    ).program.training
    lanes = host().lanes(dtype)
    variant = Variant(dtype, lanes, shared=shared)
    cuts = [variant.tiling(stage) for stage in plan.stages]
    whole = {value: torch.randn(*value.shape, dtype=dtype) for value in plan.whole}
    if transposed:
        whole = {value: each.t().contiguous().t() if each.dim() == 2 else each for value, each in whole.items()}
    for panel, packed in zip(panels(plan), pack_panels(plan, panels(plan), whole, cuts), strict=True):
        stage, cut = plan.stages[panel.stage], cuts[panel.stage]
        at = 0
        for first in range(0, stage.width, cut.vectors * lanes):
            wide = min(cut.vectors, -(-(stage.width - first) // lanes))
            for k in range(width(panel.left)):
                for value, offset in panel.products:
                    columns = whole[weight(value)][k, offset + first : offset + min(first + wide * lanes, stage.width)]
                    assert torch.equal(packed[at : at + len(columns)], columns)
                    at += wide * lanes
        assert at == len(packed)
