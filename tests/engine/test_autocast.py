"""The compiled loop under autocast: products round their factors to bfloat16, sums and everything else are float32."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from some_cells import BUILT_IN, some_quick
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import elman
from elman.cell import cells
from elman.engine.cpu.jit import host
from elman.engine.cpu.kernel import variant_for
from elman.engine.steps import default_state
from elman.errors import UserError
from elman.structure import State, leaves, map_leaves, rebuild

aten = torch.ops.aten
WAYS = ["emulate", *(["dot"] if host().has("avx512bf16") else []), *(["amx"] if host().vector_bytes == 64 else [])]
INPUT = 3
# A state that differs in the last bit may be rounded to the other neighbour, in a few places of thousands; else the
# difference is 1e-7. A factor that is not rounded at all shows several times as much.
FLIPS = 1e-4
# Gradients that products outside of the loop give, of weights and inputs, are rounded once more, as autocast's are.
ROUNDED = 3e-3


class RoundedProducts(TorchDispatchMode):
    """Products of factors rounded to bfloat16, summed in float64; outside the loop rounded again."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (aten.mm.default, aten.addmm.default):
            return func(*args, **(kwargs or {}))
        *bias, a, b = args
        product = a.bfloat16().double() @ b.bfloat16().double()
        if INPUT in (a.shape[1], b.shape[1]):
            product = product.bfloat16().double()
        return sum([each.double() for each in bias], product).float()


def outcome(cell: nn.Module, x: Tensor, state: State, run: Callable[..., Any]) -> list[list[Tensor]]:
    """What a scan returns, and the gradients of a fixed loss by the states, and by input and parameters."""
    x = x.detach().clone().requires_grad_()
    starts = [leaf.detach().clone().requires_grad_() for leaf in leaves(state)]
    results = [leaf for each in run(x, rebuild(state, starts)) for leaf in leaves(each)]
    generator = torch.Generator().manual_seed(1)
    loss = sum((each * torch.randn(each.shape, generator=generator)).sum() for each in results)
    wanted = [*starts, x, *cell.parameters()]
    found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    assert all(each.dtype == torch.float32 for each in (*results, *found))
    return [[each.detach() for each in results], list(found[: len(starts)]), list(found[len(starts) :])]


def compiled(cell: nn.Module, **options: Any) -> Callable[..., Any]:
    def run(x: Tensor, state: State) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return elman.scan(cell, x, state, backend="cpu", **options)

    return run


def by_definition(cell: nn.Module, x: Tensor, state: State, **options: Any) -> list[list[Tensor]]:
    with RoundedProducts():
        return outcome(cell, x, state, lambda x, state: elman.scan(cell, x, state, backend="eager", **options))


def distance(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(
        ((a - b).norm() / b.norm().clamp_min(1e-3)).item() for a, b in zip(found, expected, strict=True) if b.numel()
    )


def check(cell: nn.Module, x: Tensor, *, slack: float = 1, **options: Any) -> None:
    state = map_leaves(torch.randn_like, default_state(cell, x.shape[1]))
    found = outcome(cell, x, state, compiled(cell, **options))
    expected = by_definition(cell, x, state, **options)
    for a, b, tolerance in zip(found, expected, (FLIPS, FLIPS, ROUNDED), strict=True):
        assert distance(a, b) <= slack * tolerance


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ELMAN_BF16", request.param)
    return request.param


class Linear(nn.Module):
    """One product and nothing else."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(size, size) / size**0.5)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return h @ self.w


@pytest.mark.parametrize("size", [1, 65])
def test_one_product_and_its_gradient(size: int, way: str) -> None:
    cell = Linear(size)
    w = cell.w.detach().bfloat16().double()
    for batch in (1, 17, 35):
        h, g = torch.randn(batch, size, requires_grad=True), torch.randn(batch, size)
        with torch.autocast("cpu", torch.bfloat16):
            y, _ = elman.scan(cell, torch.zeros(1, batch, 1), h, backend="cpu")
        torch.testing.assert_close(y[0].double(), h.detach().bfloat16().double() @ w, rtol=1e-5, atol=1e-6)
        dh, dw = torch.autograd.grad(y, (h, cell.w), g.unsqueeze(0))
        torch.testing.assert_close(dh.double(), g.bfloat16().double() @ w.t(), rtol=1e-5, atol=1e-6)
        expected = h.detach().bfloat16().double().t() @ g.bfloat16().double()
        torch.testing.assert_close(dw.double(), expected, rtol=2**-8, atol=1e-5)


# Here `RoundedProducts` does not see which products are in the loop: LRU reads its state out after it, QRNN multiplies
# old inputs in it.
TOLD_APART = [name for name in BUILT_IN if name not in ("lru", "qrnn")]


@pytest.mark.parametrize("name", some_quick(TOLD_APART))
def test_every_cell(name: str) -> None:
    cell, x = cells()[name](INPUT, 23), torch.randn(5, 3, INPUT)
    options = {"lengths": torch.tensor([5, 2, 0]), "resets": torch.rand(5, 3) < 0.3}
    check(cell, x, slack=2 if name == "minimalrnn" else 1, reverse=True, return_states=True, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn", "lstm", "peepholelstm", "coupledlstm", "gru", "gruresetbefore", "scrn"])
@pytest.mark.parametrize("hidden", [1, 7, 63, 65])
def test_every_cell_at_odd_sizes(name: str, hidden: int, way: str) -> None:
    for time, batch in ((1, 1), (2, 17), (9, 5)):  # one flip of few numbers counts for much
        check(cells()[name](INPUT, hidden), torch.randn(time, batch, INPUT), slack=40 if hidden == 1 else 15)


@pytest.mark.parametrize("hidden", [7, 65])
def test_odd_sizes(hidden: int, way: str) -> None:
    check(elman.cells.GRUResetBefore(INPUT, hidden), torch.randn(4, 17, INPUT), lengths=torch.randint(0, 5, (17,)))


@pytest.mark.parametrize("name", some_quick())
def test_eager_computes_the_same_to_the_accuracy_of_bfloat16(name: str) -> None:
    cell, x = cells()[name](INPUT, 23), torch.randn(5, 3, INPUT)
    expected = by_definition(cell, x, default_state(cell, 3))[0][0]
    plain, _ = elman.scan(cell, x, backend="eager")
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = elman.scan(cell, x, backend="eager")
    assert distance([rounded.float()], [expected]) < 0.02
    assert distance([plain], [expected]) > 3 * FLIPS, "the comparison would not see whether factors are rounded"


@pytest.mark.slow
@pytest.mark.skipif("amx" not in WAYS, reason="tiles have vectors of 64 bytes")
def test_tiles_do_what_vectors_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, x = elman.cells.LSTM(3, 65), torch.randn(3, 37, 3)
    found = []
    for way in ("amx", "emulate"):
        monkeypatch.setenv("ELMAN_BF16", way)
        found.append(outcome(cell, x, default_state(cell, 37), compiled(cell)))
    for a, b, tolerance in zip(*found, (FLIPS, FLIPS, ROUNDED), strict=True):
        assert distance(a, b) <= tolerance


@pytest.mark.parametrize(("hidden", "batch"), [(37, 70), (130, 5)])  # threads share rows, and columns
def test_the_number_of_threads_changes_nothing(hidden: int, batch: int, way: str) -> None:
    cell, x, before = elman.cells.RNN(5, hidden), torch.randn(4, batch, 5), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.no_grad():
                found.append(compiled(cell, return_states=True)(x, cell.initial_state(batch)))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, leaves(found[0]), leaves(found[1])))


def test_nan_and_infinity_stay_in_their_rows(way: str) -> None:
    cell, x = elman.cells.GRU(3, 33), torch.randn(4, 19, 3)
    expected, _ = compiled(cell)(x, cell.initial_state(19))
    x[1, 2], x[2, 18] = float("nan"), float("inf")
    y, _ = compiled(cell)(x, cell.initial_state(19))
    assert y[1:, 2].isnan().all()
    others = [row for row in range(19) if row not in (2, 18)]
    assert torch.equal(y[:, others], expected[:, others])


def test_only_autocast_changes_a_result() -> None:
    cell, x = elman.cells.LSTM(3, 5), torch.randn(4, 2, 3)
    before, _ = elman.scan(cell, x, backend="cpu")
    with torch.autocast("cpu", torch.bfloat16):
        inside, _ = elman.scan(cell, x, backend="cpu")
        with torch.autocast("cpu", enabled=False):
            off, _ = elman.scan(cell, x, backend="cpu")
    after, _ = elman.scan(cell, x, backend="cpu")
    assert torch.equal(before, after) and torch.equal(before, off)
    assert not torch.equal(before, inside)
    torch.testing.assert_close(inside, before, rtol=0.02, atol=0.02)


def test_backward_does_as_forward_did_wherever_it_is_called() -> None:
    cell, x = elman.cells.GRU(3, 7), torch.randn(4, 2, 3)
    plain, rounded = elman.scan(cell, x, backend="cpu")[0], compiled(cell)(x, None)[0]
    parameters = [cell.weight_hh, cell.bias_hh]  # those of the input PyTorch derives, by its own rules
    outside = [torch.autograd.grad(y.sum(), parameters, retain_graph=True) for y in (plain, rounded)]
    with torch.autocast("cpu", torch.bfloat16):
        inside = [torch.autograd.grad(y.sum(), parameters) for y in (plain, rounded)]
    for a, b in zip(outside, inside, strict=True):
        assert all(map(torch.equal, a, b))
    assert not torch.equal(outside[0][0], outside[1][0])


def test_a_cell_first_seen_under_autocast_is_itself_without() -> None:
    class Fresh(elman.cells.GRU):
        pass

    cell, x = Fresh(3, 4), torch.randn(5, 2, 3)
    compiled(cell)(x, None)
    torch.testing.assert_close(elman.scan(cell, x, backend="cpu"), elman.scan(cell, x, backend="eager"))


def test_what_came_in_bfloat16_is_widened() -> None:
    cell, x = elman.cells.LSTM(3, 4), torch.randn(5, 2, 3).bfloat16()
    state = tuple(torch.randn(2, 4).bfloat16() for _ in range(2))
    y, after = compiled(cell)(x, state)
    expected, _ = compiled(cell)(x.float(), tuple(each.float() for each in state))
    assert torch.equal(y, expected)
    assert {each.dtype for each in (y, *after)} == {torch.float32}


def test_float64_is_left_alone_as_by_autocast() -> None:
    cell, x = elman.cells.GRU(3, 4, dtype=torch.float64), torch.randn(5, 2, 3, dtype=torch.float64)
    y, _ = compiled(cell)(x, None)
    assert torch.equal(y, elman.scan(cell, x, backend="cpu")[0])


def test_autocast_to_float16_is_eagers() -> None:
    cell, x = elman.cells.GRU(3, 4), torch.randn(5, 2, 3)
    with torch.autocast("cpu", torch.float16):
        with pytest.raises(UserError, match="float16"):
            elman.scan(cell, x, backend="cpu")
        assert elman.scan(cell, x)[0].isfinite().all()


def test_checkpointing_and_second_derivatives() -> None:
    cell, x = elman.cells.LSTM(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = elman.scan(cell, x, backend="cpu")
        again = torch.utils.checkpoint.checkpoint(lambda x: elman.scan(cell, x)[0], x, use_reentrant=False)
    (expected,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    (found,) = torch.autograd.grad(again.square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
    (second,) = torch.autograd.grad(expected.square().sum(), x)
    z, _ = elman.scan(cell, x)
    (plain,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    assert distance([second], [torch.autograd.grad(plain.square().sum(), x)[0]]) < 0.03


def test_a_batch_of_few_rows_is_left_to_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.engine.cpu.ways._has_tiles", lambda _: True)
    monkeypatch.delenv("ELMAN_BF16", raising=False)
    prepared = elman.engine.prepare.prepare(
        elman.cells.RNN(3, 4), [torch.zeros(1, 1, 3)], torch.zeros(1, 4), is_tuple=False, all_states=False
    )
    kinds = []
    for batch in (1, 64):
        variant, _ = variant_for(
            prepared.program.inference,
            batch,
            torch.float32,
            [False],
            reverse=False,
            ragged=False,
            resets=False,
            backward=False,
            bf16=True,
        )
        assert variant.way is not None
        kinds.append(variant.way.kind)
    assert kinds == ["dot", "amx"]


FENCED = """
import importlib.util, os, sys, torch, elman
spec = importlib.util.spec_from_file_location("fences", sys.argv[1])
spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
torch.manual_seed(0)
for at_end, way in enumerate(sys.argv[2:]):
    os.environ["ELMAN_BF16"] = way
    cell, x = elman.cells.GRUResetBefore(3, 33), torch.randn(3, 17, 3)
    with module.fenced(at_end=bool(at_end)) as fences:
        with torch.autocast("cpu", torch.bfloat16):
            y, _ = elman.scan(cell, x, backend="cpu", lengths=torch.randint(1, 4, (17,)))
        found = torch.autograd.grad(y.square().sum(), list(cell.parameters()))
        assert all(each.isfinite().all() for each in found)
        del y, found
    fences.clear()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by mprotect")
def test_nothing_outside_of_the_buffers_is_touched() -> None:
    command = [sys.executable, "-c", FENCED, str(Path(__file__).with_name("fences.py")), *WAYS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr[-3000:]}"
