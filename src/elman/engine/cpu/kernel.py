"""Kernel: packs the weights, gathers the pointers and runs the compiled loop on the threads there are."""

from __future__ import annotations

from array import array

import torch
import torch.nn.functional as F
from torch import Tensor

from ..operators import weight, width
from ..plan import Plan
from ..trace import Value
from .emit import Panel, Signature, emit, signature, tiling
from .jit import Compiled, compile_module, host
from .threads import parallel


def run_on_cpu(
    plan: Plan,
    whole: dict[Value, Tensor],
    stepped: dict[Value, Tensor],
    stacks: list[Tensor],
    outputs: list[Tensor],
    *,
    reverse: bool,
    lengths: Tensor | None,
    resets: Tensor | None,
    reset_states: list[Tensor] | None,
    backward: bool = False,
) -> None:
    """The kernel of backend "cpu": see ``engine.operator.Kernel``."""
    dtype = stacks[0].dtype
    time, batch = stacks[0].shape[0] - 1, stacks[0].shape[1]
    code, takes = _compiled(plan, dtype, reverse, lengths is not None, resets is not None, backward)
    scratch = [
        stacks[0].new_empty(batch, width(value), dtype=torch.bool if value.dtype == torch.bool else dtype)
        for value in plan.scratch
    ]
    lanes = host().lanes(dtype)
    tensors = [
        *(stepped[value] for value in takes.stepped),
        *(whole[value].contiguous() for value in takes.vectors),
        *(pack(plan, panel, whole, lanes) for panel in takes.panels),
        *stacks,
        *outputs,
        *scratch,
        *([] if lengths is None else [lengths.to(torch.int64).contiguous()]),
        *([] if resets is None else [resets.contiguous()]),
        *(state.contiguous() for state in reset_states or ()),
    ]
    table = array("q", [time, batch, *(tensor.data_ptr() for tensor in tensors)])
    # Two rows a thread at least: with fewer, the threads only wait for each other's caches.
    parallel(code.address("run"), table.buffer_info()[0], max(1, batch // 2))


def pack(plan: Plan, panel: Panel, whole: dict[Value, Tensor], lanes: int) -> Tensor:
    """A panel's weights as its inner loop reads them: [column tile][k][product][vector][lane], zeros past the end."""
    stage = plan.stages[panel.stage]
    vectors = tiling(stage, lanes).vectors
    tile = vectors * lanes
    columns = torch.stack([whole[weight(value)][:, at : at + stage.width] for value, at in panel.products])  # (P, K, W)
    products, terms, size = columns.shape
    full = size // tile * tile
    parts = [columns[:, :, :full].reshape(products, terms, -1, tile).permute(2, 1, 0, 3).flatten()]
    if size > full:
        padded = F.pad(columns[:, :, full:], (0, -(size - full) % lanes))
        parts.append(padded.permute(1, 0, 2).flatten())
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _compiled(
    plan: Plan, dtype: torch.dtype, reverse: bool, lengths: bool, resets: bool, backward: bool
) -> tuple[Compiled, Signature]:
    key = (dtype, reverse, lengths, resets, backward)
    if key not in plan.compiled:
        module = emit(
            plan, dtype, host().lanes(dtype), reverse=reverse, lengths=lengths, resets=resets, backward=backward
        )
        plan.compiled[key] = compile_module(module, "loop"), signature(plan, lengths, resets)
    found: tuple[Compiled, Signature] = plan.compiled[key]
    return found
