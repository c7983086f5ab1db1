"""Inputs that a loop of one's own gets wrong: extremes, odd layouts, partial gradients, threads, forks."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import elman
from elman.cells import GRU, LSTM, CoupledLSTM, GRUResetBefore, PeepholeLSTM
from elman.errors import UserError
from elman.structure import leaves

F32, F64 = torch.float32, torch.float64
SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-310, -1e-310, 1e-40, 1e38, -1e38, 1.0, -1.0, 3.0, -3.0, 88.0]
CELLS = [LSTM, GRUResetBefore, PeepholeLSTM]


class Step(nn.Module):
    """A step given as a function of (module, x, h), with a matrix and a vector to use."""

    def __init__(self, fn: Callable[..., Any], size: int = 5, dtype: torch.dtype = F64) -> None:
        super().__init__()
        self.fn = fn
        self.w = nn.Parameter(0.4 * torch.randn(size, size, dtype=dtype))
        self.b = nn.Parameter(torch.randn(size, dtype=dtype))

    def forward(self, x: Tensor, h: Tensor) -> Any:
        return self.fn(self, x, h)


def both(run: Callable[[str], Any]) -> None:
    """Runs on both backends; every tensor of the results must agree, NaN for NaN and infinity for infinity."""
    ours, theirs = (leaves(run(backend)) for backend in ("cpu", "eager"))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        tolerance = 1e-10 if b.dtype == F64 else 1e-5
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def gradients(y: Tensor, *wanted: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
    given = torch.ones_like(y) if given is None else given
    return torch.autograd.grad(y, wanted, given, allow_unused=True, materialize_grads=True)


# NaN, infinities, denormals

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu6": F.relu6,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "leaky relu": F.leaky_relu,
    "log sigmoid": F.logsigmoid,
    "softshrink": F.softshrink,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "abs": torch.abs,
    "exp": torch.exp,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "reciprocal": torch.reciprocal,
    "sign": torch.sign,
    "sinc": torch.sinc,
    "clamp": lambda x: x.clamp(-1, 1),
    "cube": lambda x: x**3,
    "maximum": lambda x: torch.maximum(x, 0.5 * x),
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "deviation of nothing": lambda x: x + (0 * x).std(-1, keepdim=True),
    "norm": lambda x: x + (0 * x).norm(dim=-1, keepdim=True),
    "largest": lambda x: x - x.amax(-1, keepdim=True),
    "softmax": lambda x: torch.softmax(x, -1),
    "xlogy": lambda x: torch.xlogy(x, x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_extremes_of_functions_in_values_and_derivatives(name: str) -> None:
    """One step from zero, so that nothing but the function decides; each extreme beside ordinary numbers."""
    step = Step(lambda m, x, h: FUNCTIONS[name](x + h))
    x = torch.randn(1, len(SPECIAL), 5, dtype=F64)
    x[0, :, 2] = torch.tensor(SPECIAL, dtype=F64)
    x.requires_grad_()

    def run(backend: str) -> tuple[Tensor, ...]:
        h = torch.zeros(len(SPECIAL), 5, dtype=F64, requires_grad=True)
        y, _ = elman.scan(step, x, h, backend=backend)
        return (y.detach(), *gradients(y, x, h))

    both(run)


@pytest.mark.parametrize("extreme", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("maker", CELLS)
def test_a_bad_number_spoils_what_it_does_in_eager_and_no_more(maker: Any, extreme: float) -> None:
    cell = maker(3, 5, dtype=F64)
    x = torch.randn(4, 3, 3, dtype=F64)
    x[1, 1, 0] = extreme
    x.requires_grad_()

    def run(backend: str) -> tuple[Tensor, ...]:
        y, _ = elman.scan(cell, x, backend=backend)
        assert not y[:, [0, 2]].isnan().any()
        return (y.detach(), *gradients(y, x, *cell.parameters()))

    both(run)


@pytest.mark.parametrize("maker", CELLS)
def test_a_bad_number_in_padding_or_before_a_reset_does_no_harm(maker: Any) -> None:
    cell = maker(3, 5, dtype=F64)
    x = torch.randn(4, 3, 3, dtype=F64)
    x[2:, 0] = math.nan
    x[0, 1] = math.nan
    resets = torch.zeros(4, 3, dtype=torch.bool)
    resets[1, 1] = True
    x.requires_grad_()

    def run(backend: str) -> tuple[Tensor, ...]:
        y, final = elman.scan(cell, x, lengths=[2, 4, 4], resets=resets, backend=backend)
        assert not y[1:].isnan().any()
        return (y.detach(), *leaves(final), *gradients(y[1:], x))

    both(run)


def test_denormal_numbers_are_not_flushed() -> None:
    step = Step(lambda m, x, h: 0.5 * h + x)
    x = torch.full((3, 2, 5), 1e-310, dtype=F64)
    y, _ = elman.scan(step, x, torch.zeros(2, 5, dtype=F64), backend="cpu")
    assert (y[2] > y[0]).all() and (y[0] == 1e-310).all()
    cell = LSTM(3, 7, dtype=F64)
    tiny = 1e-308 * torch.randn(4, 2, 3, dtype=F64)
    both(lambda backend: elman.scan(cell, tiny, backend=backend))


# Shapes and layouts


@pytest.mark.parametrize("maker", CELLS)
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_nothing_to_do_runs_compiled_and_derives(maker: Any, shape: tuple[int, int]) -> None:
    cell = maker(3, 5, dtype=F64)
    x = torch.randn(*shape, 3, dtype=F64, requires_grad=True)

    def run(backend: str) -> tuple[Tensor, ...]:
        y, final, states = elman.scan(cell, x, return_states=True, backend=backend)
        total = sum(each.sum() for each in (y, *leaves(final), *leaves(states)))
        found: Any = [torch.zeros_like(each) for each in (x, *cell.parameters())]
        if total.requires_grad:  # eagerly nothing was computed that could be derived
            found = torch.autograd.grad(total, (x, *cell.parameters()), allow_unused=True, materialize_grads=True)
        return (y.detach(), *(each.detach() for each in (*leaves(final), *leaves(states))), *found)

    both(run)


def test_parameters_in_any_layout() -> None:
    cell = GRU(3, 4, dtype=F64)
    x = torch.randn(5, 2, 3, dtype=F64)
    wide = torch.randn(12, 9, dtype=F64)
    layouts = {
        "weight_hh": [wide[:, 1:5], wide[:, ::2][:, :4], torch.randn(4, 12, dtype=F64).t()],
        "weight_ih": [torch.randn(12, 1, dtype=F64).expand(12, 3), wide[:, 3:6]],
        "bias_hh": [wide[:, 0], torch.randn(1, dtype=F64).expand(12), torch.randn(13, dtype=F64)[1:]],
    }
    for name, values in layouts.items():
        for value in values:
            moved = cell.with_parameters({name: value.requires_grad_(value.is_leaf)})

            def run(backend: str, moved: Any = moved) -> tuple[Tensor, ...]:
                y, _ = elman.scan(moved, x, backend=backend)
                return (y.detach(), *gradients(y, *(p for p in moved.parameters() if p.requires_grad)))

            both(run)


def test_inputs_states_and_gradients_in_any_layout() -> None:
    """Views with steps, expanded ones, and ones whose sign is turned only when they are read."""
    adding, cell = Step(lambda m, x, h: 0.5 * h * m.b + x), PeepholeLSTM(5, 4, dtype=F64)
    inputs = [
        torch.randn(5, 4, 3, dtype=F64).permute(1, 2, 0),
        torch.randn(5, dtype=F64).expand(4, 3, 5),
        torch.randn(8, 6, 10, dtype=F64)[::2, ::2, ::2],
        torch._neg_view(torch.randn(4, 3, 5, dtype=F64)),
        torch.randn(1, 1, 5, dtype=F64).expand(4, 3, 5).flip(0),
    ]
    states = [
        torch.randn(5, dtype=F64).expand(3, 5),
        torch.randn(5, 3, dtype=F64).t(),
        torch._neg_view(torch.randn(3, 5, dtype=F64)),
    ]
    given = [torch.ones((), dtype=F64).expand(4, 3, 5), torch._neg_view(torch.randn(4, 3, 5, dtype=F64))]
    given.append(torch.randn(5, 3, 4, dtype=F64).permute(2, 1, 0))
    resets = torch.rand(3, 4).t() < 0.4
    for x in inputs:
        both(lambda backend, x=x: elman.scan(cell, x, backend=backend, reverse=True)[0].detach())
        for h in states:
            for g in given:

                def run(backend: str, x: Tensor = x, h: Tensor = h, g: Tensor = g) -> tuple[Tensor, ...]:
                    a, b = x.detach().requires_grad_(), h.detach().requires_grad_()
                    y, _ = elman.scan(adding, a, b, backend=backend, resets=resets, reset_state=h)
                    return (y.detach(), *gradients(y, a, b, adding.b, given=g))

                both(run)


def test_one_tensor_as_everything() -> None:
    """Input, state and matrix are one piece of memory, read and never written."""
    step = Step(lambda m, x, h: torch.tanh(h @ m.w + x))
    step.w.data = (shared := torch.randn(4, 5, 5, dtype=F64))[1]
    before = shared.clone()
    both(lambda backend: elman.scan(step, shared, shared[0], backend=backend))
    assert torch.equal(shared, before)


def test_lengths_of_any_kind() -> None:
    cell, x = LSTM(3, 4, dtype=F64), torch.randn(5, 3, 3, dtype=F64)
    for lengths in ([5, 0, 2], torch.tensor([5, 0, 2], dtype=torch.int32), torch.tensor([5, 9, 0, 9, 2])[::2]):
        both(lambda backend, lengths=lengths: elman.scan(cell, x, lengths=lengths, backend=backend))


# Parts of the gradient


@pytest.mark.parametrize("maker", CELLS)
def test_gradients_of_some_and_through_some(maker: Any) -> None:
    cell = maker(3, 5, dtype=F64)
    plain = torch.randn(4, 2, 3, dtype=F64)
    start = elman.scan(cell, plain, backend="eager")[1]

    def run(wanted: str, through: str, frozen: bool, backend: str) -> list[Tensor]:
        for each in cell.parameters():
            each.requires_grad_(not frozen)
        x = plain.clone().requires_grad_(wanted == "x")
        state = [leaf.detach().clone().requires_grad_(wanted == "state") for leaf in leaves(start)]
        y, final = elman.scan(cell, x, state[0] if len(state) == 1 else tuple(state), backend=backend)
        result = {"final": leaves(final)[-1], "one step": y[1], "one element": y[2, 1, :1], "all": y}[through]
        leaf_list = [each for each in (x, *state, *cell.parameters()) if each.requires_grad]
        assert result.requires_grad == bool(leaf_list)
        return [] if not leaf_list else list(gradients(result, *leaf_list))

    for wanted in ("x", "state", "neither"):
        for through in ("final", "one step", "one element", "all"):
            for frozen in (True, False):
                both(lambda backend, given=(wanted, through, frozen): run(*given, backend))


def test_backward_twice() -> None:
    cell, x = GRUResetBefore(3, 5, dtype=F64), torch.randn(4, 2, 3, dtype=F64, requires_grad=True)
    for options in ({}, {"lengths": [4, 2]}):
        y, _ = elman.scan(cell, x, backend="cpu", **options)
        first = torch.autograd.grad(y.sum(), (x, *cell.parameters()), retain_graph=True)
        second = torch.autograd.grad(y.sum(), (x, *cell.parameters()), retain_graph=True)
        halves = [torch.autograd.grad(part.sum(), x, retain_graph=True)[0] for part in (y[:2], y[2:])]
        for a, b in zip(first, second, strict=True):
            assert torch.equal(a, b)
        torch.testing.assert_close(halves[0] + halves[1], first[0])
        torch.autograd.grad(y.sum(), x)
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(y.sum(), x)


@pytest.mark.parametrize("change", ["weight_hh", "weight_ih", "x"])
def test_a_change_between_forward_and_backward_is_an_error(change: str) -> None:
    for backend in ("cpu", "eager"):
        cell, x = LSTM(3, 5), torch.randn(4, 2, 3, requires_grad=True)
        y, _ = elman.scan(cell, x, backend=backend)
        with torch.no_grad():
            (x if change == "x" else getattr(cell, change)).mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_a_change_of_the_state_between_forward_and_backward_is_an_error_or_harmless() -> None:
    cell, x = GRU(3, 5, dtype=F64), torch.randn(4, 2, 3, dtype=F64)
    start = torch.randn(2, 5, dtype=F64)
    y, _ = elman.scan(cell, x, start.clone(), backend="eager")
    expected = gradients(y, *cell.parameters())
    y, _ = elman.scan(cell, x, start, backend="cpu")
    start.zero_()
    try:
        found = gradients(y, *cell.parameters())
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
    else:
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


def test_gradients_that_stop() -> None:
    """A step may detach; what a trace cannot see of a step's derivative is left to eager."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return 2 * gradient

    def without(m: Any, x: Tensor, h: Tensor) -> Tensor:
        with torch.no_grad():
            scale = 1 + h.abs()
        return torch.tanh(h @ m.w + x) / scale

    x, h = torch.randn(4, 3, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    compiled = {
        "state": lambda m, x, h: torch.tanh(h.detach() @ m.w + x) + 0.1 * h,
        "parameter": lambda m, x, h: torch.tanh(h @ m.w.detach() + x @ m.w),
        "straight through": lambda m, x, h: torch.tanh((s := h @ m.w + x) + (s.round() - s).detach()),
    }
    eager = {
        "no_grad": without,
        "data": lambda m, x, h: torch.tanh(h @ m.w + x) / (1 + h.data.abs()),
        "function": lambda m, x, h: torch.tanh(Twice.apply(h @ m.w) + x),
        "grad mode": lambda m, x, h: torch.tanh(h @ m.w + (x if torch.is_grad_enabled() else 2 * x)),
    }
    for name, fn in (*compiled.items(), *eager.items()):
        step = Step(fn)

        def run(backend: str, step: Step = step, may: bool = name in compiled) -> tuple[Tensor, ...]:
            a, b = x.clone().requires_grad_(), h.clone().requires_grad_()
            y, _ = elman.scan(step, a, b, backend="auto" if backend == "cpu" and not may else backend)
            return (y.detach(), *gradients(y, a, b, step.w))

        both(run)
        if name in eager:
            with pytest.raises(UserError, match=r"derivative|gradients are on|autograd\.Function"):
                elman.scan(step, x, h, backend="cpu")


@pytest.mark.filterwarnings("ignore:Anomaly Detection:UserWarning")
def test_hooks_and_anomaly_mode() -> None:
    cell, x = GRU(3, 5, dtype=F64), torch.randn(4, 2, 3, dtype=F64, requires_grad=True)
    seen: dict[str, list[Tensor]] = {"cpu": [], "eager": []}
    for backend, found in seen.items():
        with torch.autograd.detect_anomaly(check_nan=True):
            handle = cell.weight_hh.register_hook(found.append)
            y, final = elman.scan(cell, x, backend=backend)
            y.register_hook(lambda gradient: 3 * gradient)
            x_handle = x.register_hook(found.append)
            found.append(torch.autograd.grad(y.sum() + final.sum(), (x, cell.weight_hh))[0])
            handle.remove()
            x_handle.remove()
    assert len(seen["cpu"]) == len(seen["eager"]) == 3
    by_size = [sorted(found, key=lambda each: each.numel()) for found in seen.values()]
    for a, b in zip(*by_size, strict=True):
        torch.testing.assert_close(a, b)
    step, nothing = Step(lambda m, x, h: (h + x).sqrt()), torch.zeros(2, 3, 5, dtype=F64, requires_grad=True)
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="nan values"):
        (0 * elman.scan(step, nothing, torch.zeros(3, 5, dtype=F64), backend="cpu")[0]).sum().backward()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_without_gradients_first(mode: Any) -> None:
    """What is traced there serves training later, and the other way round."""
    cell, x = CoupledLSTM(3, 6, dtype=F64), torch.randn(4, 2, 3, dtype=F64)
    with mode():
        y, (_, c) = elman.scan(cell, x, backend="cpu")
        again, _ = elman.scan(cell, x.clone(), (y[-1], c), backend="cpu")
    assert not y.requires_grad and not again.requires_grad
    y, _ = elman.scan(cell, x, backend="cpu")
    expected, _ = elman.scan(cell, x, backend="eager")
    for a, b in zip(gradients(y, *cell.parameters()), gradients(expected, *cell.parameters()), strict=True):
        torch.testing.assert_close(a, b)


def test_memory_is_given_back() -> None:
    cell, x = LSTM(3, 5), torch.randn(4, 2, 3, requires_grad=True)

    def tensors() -> int:
        gc.collect()
        return sum(1 for each in gc.get_objects() if type(each) in (Tensor, nn.Parameter))

    elman.scan(cell, x, backend="cpu")[0].sum().backward()
    before = tensors()
    for _ in range(3):
        elman.scan(cell, x, backend="cpu")[0].sum().backward()
        elman.scan(cell, x, backend="cpu")
    assert tensors() == before


# Threads and processes


def test_many_threads_trace_and_run_at_once() -> None:
    """New cells of new sizes in every thread, so that tracing and code generation meet too."""
    x = torch.randn(5, 3, 4, dtype=F64)
    cells = [maker(4, size, dtype=F64) for size in (5, 6) for maker in (GRU, LSTM)] * 2
    expected = []
    for cell in cells:
        y, _ = elman.scan(cell, x, backend="eager")
        expected.append((y.detach(), *gradients(y, cell.weight_hh)))
    found: dict[int, Any] = {}
    gate = threading.Barrier(len(cells))

    def work(number: int) -> None:
        gate.wait()
        for _ in range(3):
            y, _ = elman.scan(cells[number], x, backend="cpu")
            found[number] = (y.detach(), *gradients(y, cells[number].weight_hh))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(len(cells))]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    for number, tensors in enumerate(expected):
        for a, b in zip(found[number], tensors, strict=True):
            torch.testing.assert_close(a, b)


class Scanned(torch.utils.data.Dataset[Tensor]):
    """Examples that a cell has to be run for, derivative included."""

    def __init__(self) -> None:
        self.cell = GRU(3, 5)
        self.x = torch.randn(8, 4, 1, 3)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, number: int) -> Tensor:
        x = self.x[number].clone().requires_grad_()
        y, _ = elman.scan(self.cell, x, backend="cpu")
        return torch.cat([y.detach().flatten(), *(each.flatten() for each in gradients(y, x))])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("used_before", [True, False])
def test_in_the_workers_of_a_data_loader(used_before: bool) -> None:
    data = Scanned()
    if used_before:
        assert len(data[0]) == 32
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork")
    found = torch.cat(list(loader))
    torch.testing.assert_close(found, torch.stack([data[number] for number in range(len(data))]))
