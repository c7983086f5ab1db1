"""Kernel: packs the weights, gathers the addresses and runs the compiled loop on the threads there are."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..kinds import width
from ..plan import Plan
from ..trace import Value
from . import amx
from .emit import Signature, Variant, emit, signature
from .jit import Compiled, compile_module, host
from .pack import pack_panels
from .threads import parallel
from .ways import Way, way_for

CACHE_BYTES = 5 << 18  # of weights that stay in one core's second-level cache
FEW_ROWS = 6  # a thread: with fewer, products wait for the weights
LITTLE_WORK = 1 << 16  # operations a step, for which threads that must wait for each other do not pay


@dataclass
class Loop:
    """A plan compiled for one variant."""

    variant: Variant
    takes: Signature
    code: Compiled
    address: int


def run_on_cpu(
    plan: Plan,
    time: int,
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
    bf16: bool = False,
) -> None:
    """The kernel of backend "cpu": see ``engine.loop.Kernel``."""
    dtype, batch = stacks[0].dtype, stacks[0].shape[1]
    rings = [len(stack) == 2 for stack in stacks]
    variant, threads = variant_for(
        plan,
        batch,
        dtype,
        rings,
        reverse=reverse,
        ragged=lengths is not None,
        resets=resets is not None,
        backward=backward,
        bf16=bf16,
    )
    loop = compiled(plan, variant)
    sorted_rows = [] if lengths is None else _by_length(lengths, time)
    flags = [] if resets is None else [resets.contiguous()]
    again = [state.contiguous() for state in reset_states or ()]
    read = [stepped[value] for value in loop.takes.stepped]
    weights = weights_of(plan, loop, whole)
    others = [*scratch_of(plan, loop, stacks[0], threads), *sorted_rows, *flags, *again]
    counter = array("q", [0] * 16)
    table = address_table(time, batch, counter, read, weights, stacks, outputs, others)
    parallel(loop.address, table.buffer_info()[0], threads)


def weights_of(plan: Plan, loop: Loop, whole: dict[Value, Tensor]) -> list[Tensor]:
    """What is the same at every step as the loop reads it: vectors, then packed matrices."""
    variant, takes = loop.variant, loop.takes
    vectors = [whole[value].contiguous() for value in takes.vectors]
    cuts = [variant.tiling(stage) for stage in plan.stages]
    return [*vectors, *pack_panels(plan, takes.panels, whole, cuts, variant.way)]


def scratch_of(plan: Plan, loop: Loop, stack: Tensor, threads: int) -> list[Tensor]:
    """The memory a loop works in, for states like ``stack`` (places, B, N)."""
    batch, variant = stack.shape[1], loop.variant
    scratch = [
        stack.new_empty(batch, width(value), dtype=torch.bool if value.dtype == torch.bool else stack.dtype)
        for value in plan.scratch
    ]
    if variant.way is not None:
        scratch.append(torch.empty(threads * variant.rounded_room(plan), dtype=torch.bfloat16))
    return scratch


def address_table(
    time: int,
    batch: int,
    counter: array[int],
    stepped: Sequence[Tensor],
    weights: Sequence[Tensor],
    stacks: Sequence[Tensor],
    outputs: Sequence[Tensor],
    others: Sequence[Tensor],
) -> array[int]:
    """What a loop is told, in the order of `Signature`; the tensors must outlive it, ``counter`` holds 16 zeros."""
    return array(
        "q",
        [
            0,
            time,
            batch,
            counter.buffer_info()[0] + 63 & -64,  # a cache line of its own
            *(each.data_ptr() for each in stepped),
            *(_row_stride(each) for each in stepped),
            *(each.data_ptr() for each in (*weights, *stacks, *outputs)),
            *(_row_stride(each) for each in outputs),
            *(each.data_ptr() for each in others),
        ],
    )


def variant_for(
    plan: Plan,
    batch: int,
    dtype: torch.dtype,
    rings: Sequence[bool],
    *,
    reverse: bool,
    ragged: bool,
    resets: bool,
    backward: bool,
    bf16: bool = False,
) -> tuple[Variant, int]:
    """What to compile a plan for at this batch size, and the number of threads to run it on.

    ``bf16``: factors of products are rounded to bfloat16; `Variant.way` says how these are multiplied.
    """
    way = way_for(batch) if bf16 else None
    shared, near, threads = schedule(plan, batch, torch.get_num_threads(), ragged=ragged, way=way)
    rows = batch if 0 < batch < 4 else 8
    lanes = host().lanes(dtype)
    made = Variant(dtype, lanes, reverse, ragged, resets, backward, tuple(rings), shared, near, rows, way)
    return made, threads


def schedule(plan: Plan, batch: int, threads: int, *, ragged: bool, way: Way | None = None) -> tuple[bool, bool, int]:
    """Whether threads share tiles of columns (else the rows), whether a thread's weights are near, how many threads."""
    weights, work = plan.weights, batch * plan.work
    size = weights * (plan.states[0].dtype.itemsize if way is None else 2)
    few_rows = 2 * amx.ROWS if way is not None and way.kind == "amx" else FEW_ROWS
    if threads == 1 or work < LITTLE_WORK // 8:
        return False, size <= CACHE_BYTES, 1
    if not ragged and batch >= (few_rows if weights else 1) * threads and size <= CACHE_BYTES:
        return False, True, threads
    if work < LITTLE_WORK:
        return False, True, 1
    return True, size <= CACHE_BYTES * threads, threads


def compiled(plan: Plan, variant: Variant) -> Loop:
    """The plan's machine code for a variant, made once."""
    if variant not in plan.compiled:
        code = compile_module(lambda: emit(plan, variant), "loop", key=f"{variant} {plan.fingerprint()}")
        plan.compiled[variant] = Loop(variant, signature(plan), code, code.address("run"))
    found: Loop = plan.compiled[variant]
    return found


def _row_stride(rows: Tensor) -> int:
    """Elements from one row of (T, B, N) to the next; the stride of an axis of size 1 may be anything."""
    return rows.stride(1) if rows.shape[1] > 1 else rows.stride(0)


def _by_length(lengths: Tensor, time: int) -> list[Tensor]:
    """Rows in falling order of length, and how many of them take part in each step."""
    order = torch.argsort(lengths, descending=True, stable=True)
    ended = torch.bincount(lengths, minlength=time + 1)[: time + 1].cumsum(0)[:time]
    return [order, len(lengths) - ended]
