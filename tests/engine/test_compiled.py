"""Backend "cpu" against "eager", the definition of correct."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from some_cells import some_quick
from torch import Tensor, nn

import elman
from elman.cell import Cell
from elman.cells import GRU, LSTM, RNN, SCRN, CoupledLSTM, GRUResetBefore, PeepholeLSTM
from elman.engine import prepare as programs
from elman.errors import UserError
from elman.structure import leaves

Same = Callable[..., None]
F64 = torch.float64


class Own(Cell):
    """A user's cell with operators that no built-in one has."""

    gates = ("a", "b")
    states = ("h", "c")

    def step(self, x: Any, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        a = F.softplus(x.a + self.recur.a(h)).clamp(max=1.5)
        c = torch.where(c > 0, 0.5 * c, torch.exp(-c.abs())) + a * 0.1
        return torch.tanh(x.b + self.recur.b(c)) - a * h, c


class Decaying(Cell):
    """Reads the time since the last step beside x."""

    gates = ("n",)
    inputs = ("x", "dt")

    def step(self, x: Any, dt: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(x.n + self.recur.n(h * torch.exp(-dt.unsqueeze(1))))


class Sizes(nn.Module):
    """Two states of different sizes, and an output of a third made of the new states."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = nn.Linear(9, 2), nn.Linear(5, 6)
        self.out = nn.Linear(8, 4)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        a, b = state
        a = torch.tanh(self.small(torch.cat([x, b], -1)))
        b = b * 0.5 + torch.sigmoid(self.large(torch.cat([x, a], -1)))
        return self.out(torch.cat([a, b], -1)).relu(), (a, b)


class Step(nn.Module):
    """A step given as a function of (module, x, h), with a matrix, a vector and a number to use."""

    def __init__(self, fn: Callable[..., Any], size: int = 5, dtype: torch.dtype = F64) -> None:
        super().__init__()
        self.fn = fn
        self.w = nn.Parameter(0.4 * torch.randn(size, size, dtype=dtype))
        self.b = nn.Parameter(torch.randn(size, dtype=dtype))
        self.alpha = 0.5
        self.scales = [1.0]

    def forward(self, x: Tensor, h: Tensor) -> Any:
        return self.fn(self, x, h)


def random_case(time: int, batch: int) -> dict[str, Any]:
    return {
        "lengths": torch.randint(0, time + 1, (batch,)),
        "resets": torch.rand(time, batch) < 0.3,
    }


CELLS: dict[str, Callable[..., Cell]] = {
    "rnn": lambda n, **k: RNN(3, n, **k),
    "rnn relu": lambda n, **k: RNN(3, n, nonlinearity="relu", bias=False, **k),
    "lstm": lambda n, **k: LSTM(3, n, forget_bias=1.0, **k),
    "lstm softsign": lambda n, **k: LSTM(3, n, activation="softsign", **k),
    "gru": lambda n, **k: GRU(3, n, **k),
    "gru without bias": lambda n, **k: GRU(3, n, bias=False, **k),
    "gru reset before": lambda n, **k: GRUResetBefore(3, n, **k),
    "peephole": lambda n, **k: PeepholeLSTM(3, n, **k),
    "coupled": lambda n, **k: CoupledLSTM(3, n, **k),
    "scrn": lambda n, **k: SCRN(3, n, context_size=4, **k),
    "own": lambda n, **k: Own(3, n, **k),
}


@pytest.mark.parametrize("name", some_quick(CELLS, ["gru reset before", "own"]))
def test_every_cell(name: str, same: Same) -> None:
    cell = CELLS[name](7, dtype=F64)
    x = torch.randn(5, 3, 3, dtype=F64)
    same(cell, x)
    same(cell, x, return_states=True, **random_case(5, 3))
    same(cell, x, reverse=True, resets=torch.rand(5, 3) < 0.4)


QUICK_SIZES = [(LSTM, 1), (GRUResetBefore, 65)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("hidden", [1, 63, 65])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_every_cell_at_odd_sizes(name: str, hidden: int, dtype: torch.dtype, same: Same) -> None:
    cell = CELLS[name](hidden, dtype=dtype)
    for time, batch in ((1, 1), (2, 17), (33, 3)):
        for reverse in (False, True):
            x = torch.randn(time, batch, 3, dtype=dtype)
            same(cell, x, reverse=reverse, return_states=reverse, **random_case(time, batch))


@pytest.mark.parametrize(
    ("maker", "hidden"),
    [
        pytest.param(maker, size, marks=() if (maker, size) in QUICK_SIZES else pytest.mark.slow)
        for maker in (LSTM, GRUResetBefore)
        for size in (1, 7, 63, 65)
    ],
)
def test_sizes_in_float32(maker: type[Cell], hidden: int, same: Same) -> None:
    cell = maker(3, hidden)
    for time, batch in ((1, 1), (2, 17), (33, 3)):
        same(cell, torch.randn(time, batch, 3))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_nothing_to_do(shape: tuple[int, int]) -> None:
    cell, x = GRU(3, 5), torch.randn(*shape, 3)
    y, h = elman.scan(cell, x)
    expected, last = elman.scan(cell, x, backend="eager")
    assert y.shape == expected.shape == (*shape, 5)
    torch.testing.assert_close(h, last)


def test_resets_to_a_state_of_the_callers(same: Same) -> None:
    anew = (torch.randn(3, 4, dtype=F64), torch.randn(3, 4, dtype=F64))
    same(LSTM(3, 4, dtype=F64), torch.randn(5, 3, 3, dtype=F64), reset_state=anew, **random_case(5, 3))


def test_a_reset_state_of_another_dtype_is_eagers() -> None:
    cell, x = RNN(3, 4), torch.randn(5, 3, 3)
    with pytest.raises(UserError, match="another dtype"):
        elman.scan(
            cell, x, resets=torch.ones(5, 3, dtype=torch.bool), reset_state=torch.randn(3, 4, dtype=F64), backend="cpu"
        )


def test_states_of_different_sizes(same: Same) -> None:
    state = (torch.randn(3, 2, dtype=F64), torch.randn(3, 6, dtype=F64))
    same(Sizes().double(), torch.randn(5, 3, 3, dtype=F64), state, return_states=True, **random_case(5, 3))


def test_further_inputs(same: Same) -> None:
    x = (torch.randn(5, 3, 3, dtype=F64), torch.rand(5, 3, dtype=F64))
    same(Decaying(3, 4, dtype=F64), x, **random_case(5, 3))


@pytest.mark.parametrize("maker", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_pytorchs_cells(maker: Any, same: Same) -> None:
    same(maker(3, 7, dtype=F64), torch.randn(5, 3, 3, dtype=F64), **random_case(5, 3))


def test_ids_stand_for_one_hot_vectors(same: Same) -> None:
    ids = torch.randint(0, 6, (5, 3))
    same(LSTM(6, 4, dtype=F64), ids)
    same(SCRN(6, 4, context_size=2, dtype=F64), ids, **random_case(5, 3))


STEPS: dict[str, Callable[..., Any]] = {
    "gradient of the input is the carried gradient": lambda m, x, h: 0.9 * h + x + m.b,
    "new carried gradient is the gradient of the input": lambda m, x, h: h + x + m.b,
    "no input is read": lambda m, x, h: torch.tanh(h @ m.w),
    "no state is read": lambda m, x, h: torch.tanh(x @ m.w),
    "one matrix for input and state": lambda m, x, h: torch.tanh(h @ m.w + x @ m.w),
    "a mask of the input": lambda m, x, h: torch.where(x > 0, torch.tanh(h @ m.w), h),
    "a column of the state": lambda m, x, h: torch.tanh(h[:, :1] * h + x),
    "a column of a product": lambda m, x, h: torch.tanh((h @ m.w)[:, 1:2] * h + x),
    "a product of one column": lambda m, x, h: torch.tanh((h @ m.w[:, :1]) * h + x),
    "an expanded column": lambda m, x, h: torch.tanh(h[:, :1].expand(-1, 5) + x),
    "sum of a row": lambda m, x, h: torch.tanh(0.1 * h.sum(-1, keepdim=True) + x),
    "mean and variance of a row": lambda m, x, h: torch.tanh(h.mean(-1, True) + h.var(-1, keepdim=True)) + 0.1 * x,
    "largest of a row": lambda m, x, h: torch.tanh(h @ m.w + x) - 0.1 * (h @ m.w).amax(-1, keepdim=True),
    "layer norm": lambda m, x, h: torch.tanh(F.layer_norm(h @ m.w + x, (5,), m.b)),
    "softmax": lambda m, x, h: torch.softmax(h @ m.w + x, -1),
    "a parameter divided by what is saved": lambda m, x, h: m.b / (2 + torch.tanh(h @ m.w)) + 0.1 * (x + h),
    "in place": lambda m, x, h: (h @ m.w).add_(x).tanh_(),
    "a matrix of matrices": lambda m, x, h: torch.tanh(h @ (m.w @ m.w.t()) + x * m.b.norm()),
    "two products in a row": lambda m, x, h: torch.tanh(torch.sigmoid(h @ m.w + x) @ m.w.t()),
    "gelu and elu": lambda m, x, h: 0.5 * F.gelu(h @ m.w) + F.elu(x - h),
    "a truth as a number": lambda m, x, h: torch.tanh(h @ m.w + (x > 0).to(x.dtype)),
    "a truth of parameters": lambda m, x, h: torch.where(m.b > 0, torch.tanh(h @ m.w + x), h),
    "one truth of parameters": lambda m, x, h: torch.where(m.b[0] > 0, torch.tanh(h @ m.w + x), h),
    "a truth of the new state": lambda m, x, h: (
        n := torch.tanh(h @ m.w + x),
        torch.where(n > 0, n, h),
    ),
    "a count of parameters": lambda m, x, h: torch.tanh(h @ m.w + x) * (m.b > 0).sum(),
    "a count of the input": lambda m, x, h: torch.tanh(h @ m.w + x) * (x > 0).sum(-1, keepdim=True),
    "output is the old state": lambda m, x, h: (h, torch.tanh(h @ m.w + x)),
    "output of the old state": lambda m, x, h: (h.abs() @ m.w + m.b, torch.tanh(h @ m.w + x)),
    "output of the old state that no step reads": lambda m, x, h: (torch.exp(h), x),
    "state stays": lambda m, x, h: (x @ m.w + h, h),
    "columns counted from the end": lambda m, x, h: torch.tanh(torch.cat([h[:, -2:], h[:, :-2]], -1) + x),
    "columns past the end": lambda m, x, h: torch.tanh(torch.cat([h[:, 2:9], h[:, 0:2], h[:, 7:9]], -1) + x),
    "columns set": lambda m, x, h: torch.tanh(torch.slice_scatter(h @ m.w, x[:, :2], 1, -3, -1) + x),
    "largest of what is computed": lambda m, x, h: (
        (t := torch.tanh(h) * m.b) - 0.3 * t.amax(-1, keepdim=True) + 0.1 * x
    ),
    "smallest of equal ones": lambda m, x, h: 0.5 * h + x * (0 * h).amin(-1, keepdim=True),
    "norm and deviation": lambda m, x, h: F.normalize(h @ m.w + x, dim=-1) + 0.1 * h.std(-1, keepdim=True),
    "mean and variance at once": lambda m, x, h: sum(torch.var_mean(torch.tanh(h + x), -1, keepdim=True)) * m.b,
    "a function with NaN in it": lambda m, x, h: torch.tanh(torch.xlogy(x * x, 1 + h * h) @ m.w),
    "output of the new state": lambda m, x, h: (lambda n: (torch.log(2 + n) * m.b, n))(torch.tanh(h @ m.w + x)),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_all_kinds(name: str, same: Same) -> None:
    step, x, h = Step(STEPS[name]), torch.randn(4, 3, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    same(step, x, h, return_states=True, reverse=True, lengths=[1, 4, 0], resets=torch.rand(4, 3) < 0.4)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_steps_of_all_kinds_without_masks(name: str, same: Same) -> None:
    step, x, h = Step(STEPS[name]), torch.randn(4, 3, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    same(step, x, h, return_states=True)


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "mixes rows": (lambda m, x, h: torch.tanh(h @ m.w + x - x.mean(0)), "mean may mix the rows"),
    "batch size": (lambda m, x, h: torch.tanh(h @ m.w + x / len(x)), "batch size"),
    "random": (lambda m, x, h: torch.tanh(h @ m.w + x) * torch.rand_like(h), "random"),
    "branches": (lambda m, x, h: h if h.sum() > 0 else x, "cannot be traced"),
    "another dtype": (lambda m, x, h: torch.tanh(h @ m.w + x).float().double(), "float32"),
    "changes its input": (lambda m, x, h: torch.tanh(h.mul_(0.5) @ m.w + x), "changes a tensor"),
    "remembers": (lambda m, x, h: (setattr(m, "last", x), torch.tanh(h @ m.w + x))[1], "sets attributes"),
    "sorts": (lambda m, x, h: torch.sort(h @ m.w + x, -1)[0], "test_compiled.py"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compiled_says_why_and_runs_eagerly(name: str) -> None:
    fn, reason = REFUSED[name]
    step, x, h = Step(fn), torch.randn(4, 3, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    with pytest.raises(UserError, match=reason):
        elman.scan(step, x, h, backend="cpu")
    assert "last" not in vars(step)
    torch.manual_seed(1)
    y, _ = elman.scan(step, x, h.clone())
    torch.manual_seed(1)
    expected, _ = elman.scan(step, x, h.clone(), backend="eager")
    assert torch.equal(y, expected)


def test_a_program_serves_every_batch_size_but_one_dtype_of_the_state() -> None:
    step = Step(lambda m, x, h: torch.tanh(h + x.unsqueeze(1)))
    step.w = step.b = None
    programs._programs.clear()  # a full store drops one program for every one it takes
    for batch in (1, 2, 5):
        elman.scan(step, torch.ones(3, batch, dtype=torch.int64), torch.zeros(batch, 5), backend="cpu")
    assert len(programs._programs) == 1
    x, h = torch.ones(3, 2, dtype=torch.int64), torch.zeros(2, 5, dtype=F64)
    ours, theirs = (elman.scan(step, x, h, backend=each)[0] for each in ("cpu", "eager"))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_parameters_of_another_dtype_are_promoted(same: Same) -> None:
    step = Step(lambda m, x, h: torch.tanh(m.scale * h @ m.w + (1 - m.scale) * x))
    step.scale = nn.Parameter(torch.tensor(0.3))
    same(step, torch.randn(4, 3, 5, dtype=F64), torch.randn(3, 5, dtype=F64))


def test_any_layout_of_the_inputs(same: Same) -> None:
    cell = LSTM(4, 5, dtype=F64)
    start = (torch.randn(5, dtype=F64).expand(3, 5), torch.randn(5, 3, dtype=F64).t())
    for x in (
        torch.randn(3, 5, 4, dtype=F64).transpose(0, 1),
        torch.randn(4, 5, 3, dtype=F64).permute(1, 2, 0),
        torch.randn(4, dtype=F64).expand(5, 3, 4),
        torch.randn(10, 6, 8, dtype=F64)[::2, ::2, ::2],
    ):
        ours, theirs = (elman.scan(cell, x, start, backend=each)[0] for each in ("cpu", "eager"))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    folded = Step(lambda m, x, h: torch.tanh(h @ m.w + x.view(len(x), 5, 2).sum(-1)))
    h = torch.randn(3, 5, dtype=F64)
    for x in (torch.randn(10, 4, 3, dtype=F64).permute(1, 2, 0), torch.randn(4, 3, 20, dtype=F64)[..., ::2]):
        ours, theirs = (elman.scan(folded, x, h, backend=each)[0] for each in ("cpu", "eager"))
        torch.testing.assert_close(ours, theirs)


def test_frozen_parameters_and_inputs() -> None:
    cell = GRU(3, 4)
    cell.weight_hh.requires_grad_(False)
    cell.bias_ih.requires_grad_(False)
    x = torch.randn(5, 2, 3)
    found = []
    for backend in ("cpu", "eager"):
        cell.zero_grad()
        elman.scan(cell, x, backend=backend)[0].square().sum().backward()
        assert cell.weight_hh.grad is None and cell.bias_ih.grad is None
        found.append([cell.weight_ih.grad.clone(), cell.bias_hh.grad.clone()])
    torch.testing.assert_close(*found)
    for parameter in cell.parameters():
        parameter.requires_grad_(False)
    assert not elman.scan(cell, x, backend="cpu")[0].requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode: Any) -> None:
    cell, x = LSTM(3, 4), torch.randn(5, 2, 3)
    expected, (_, c) = elman.scan(cell, x, backend="eager")
    with mode():
        y, (_, final) = elman.scan(cell, x, backend="cpu")
    assert not y.requires_grad
    torch.testing.assert_close((y, final), (expected.detach(), c.detach()))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["lstm", "rnn relu", "own"])
def test_nan_and_inf_flow_as_in_eager(name: str, bad: float) -> None:
    cell = CELLS[name](7)
    x = torch.randn(6, 4, 3)
    x[2, 1, 0] = bad
    results = []
    for backend in ("cpu", "eager"):
        each = x.clone().requires_grad_()
        y, final = elman.scan(cell, each, backend=backend)
        (gradient,) = torch.autograd.grad(y.sum(), each)
        results.append([y.detach(), *(leaf.detach() for leaf in leaves(final)), gradient])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, rtol=1e-4, atol=1e-5)
    assert not results[0][0][:, [0, 2, 3]].isnan().any()


def test_large_values_have_the_gradient_of_eager(same: Same) -> None:
    step = Step(lambda m, x, h: F.softplus(h * m.b) * 0.1 + F.elu(x) + F.gelu(h), dtype=torch.float32)
    same(step, torch.randn(3, 2, 5), torch.full((2, 5), 300.0))


def test_denormals_stay() -> None:
    step = Step(lambda m, x, h: h * 0.5 + x)
    tiny = torch.full((1, 5), 2.0**-1060, dtype=F64)
    ours, theirs = (elman.scan(step, torch.zeros(5, 1, 5, dtype=F64), tiny, backend=b)[0] for b in ("cpu", "eager"))
    assert torch.equal(ours, theirs) and ours[-1, 0, 0] == 2.0**-1065


@pytest.mark.parametrize("time", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_long_sequences(time: int, same: Same) -> None:
    same(GRU(2, 3, dtype=F64), torch.randn(time, 1, 2, dtype=F64))


@pytest.mark.parametrize("maker", [LSTM, GRUResetBefore])
def test_the_number_of_threads_changes_nothing(maker: type[Cell]) -> None:
    cell, x, before = maker(5, 37), torch.randn(9, 13, 5), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.no_grad():
                found.append(elman.scan(cell, x, backend="cpu", lengths=list(range(1, 10)) + [9] * 4)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


MASKED: dict[str, Any] = {
    "lengths": [3, 1],
    "resets": torch.tensor([[0, 0], [1, 0], [0, 1]]).bool(),
    "reverse": True,
}


@pytest.mark.parametrize("options", [MASKED, pytest.param({}, marks=pytest.mark.slow)], ids=["masked", "plain"])
@pytest.mark.parametrize("name", ["lstm", "gru", "own"])
def test_second_derivatives(name: str, options: dict[str, Any]) -> None:
    cell = CELLS[name](2, dtype=F64)
    x = torch.randn(3, 2, 3, dtype=F64, requires_grad=True)
    parameters = [each.detach().clone().requires_grad_() for each in cell.parameters()]
    names = [each for each, _ in cell.named_parameters()]

    def run(x: Tensor, *tensors: Tensor) -> Tensor:
        moved = cell.with_parameters(dict(zip(names, tensors, strict=True)))
        y, final = elman.scan(moved, x, backend="cpu", **options)
        return y.sum() + sum(leaf.square().sum() for leaf in leaves(final))

    assert torch.autograd.gradcheck(run, (x, *parameters))
    assert torch.autograd.gradgradcheck(run, (x, *parameters))


def test_second_derivatives_count_a_shared_matrix_once() -> None:
    step = Step(lambda m, x, h: torch.tanh(h @ m.w + x @ m.w), size=2)
    x, h = (torch.randn(*shape, 2, dtype=F64, requires_grad=True) for shape in ((3, 2), (2,)))

    def run(x: Tensor, h: Tensor, w: Tensor) -> Tensor:
        step._parameters["w"] = w  # type: ignore[assignment]
        return elman.scan(step, x, h, backend="cpu")[0]

    assert torch.autograd.gradgradcheck(run, (x, h, step.w.detach().clone().requires_grad_()))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_transforms_go_through_eager() -> None:
    cell, x = GRU(3, 4, dtype=F64), torch.randn(5, 2, 3, dtype=F64)
    named = {name: each.detach() for name, each in cell.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor, backend: str = "auto") -> Tensor:
        return elman.scan(cell.with_parameters(parameters), x, backend=backend)[0].square().sum()

    found = torch.func.grad(loss)(named, x)
    expected = torch.autograd.grad(elman.scan(cell, x)[0].square().sum(), list(cell.parameters()))
    for name, each in zip(named, expected, strict=True):
        torch.testing.assert_close(found[name], each)
    many = torch.stack([x, 2 * x])
    torch.testing.assert_close(
        torch.func.vmap(lambda each: loss(named, each))(many), torch.stack([loss(named, each) for each in many])
    )
    tangent = {name: torch.randn_like(each) for name, each in named.items()}
    _, moved = torch.func.jvp(lambda p: loss(p, x), (named,), (tangent,))
    torch.testing.assert_close(moved, sum((found[name] * tangent[name]).sum() for name in named))
    with pytest.raises(UserError, match=r"torch\.func"):
        torch.func.grad(lambda p: loss(p, x, "cpu"))(named)


def test_autocast_to_float16_falls_back() -> None:
    cell, x = GRU(3, 4), torch.randn(5, 2, 3)
    with torch.autocast("cpu", torch.float16):
        y, _ = elman.scan(cell, x)
        expected, _ = elman.scan(cell, x, backend="eager")
        with pytest.raises(UserError, match="autocast"):
            elman.scan(cell, x, backend="cpu")
    assert torch.equal(y, expected)


def test_torch_compile_falls_back() -> None:
    cell, x = nn.GRUCell(3, 4), torch.randn(3, 2, 3)
    compiled = torch.compile(lambda x: elman.scan(cell, x)[0], backend="eager")
    torch.testing.assert_close(compiled(x), elman.scan(cell, x)[0])


def test_checkpointing_recomputes() -> None:
    cell, x = LSTM(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    y = torch.utils.checkpoint.checkpoint(lambda x: elman.scan(cell, x, backend="cpu")[0], x, use_reentrant=False)
    (found,) = torch.autograd.grad(y.square().sum(), x)
    (expected,) = torch.autograd.grad(elman.scan(cell, x, backend="eager")[0].square().sum(), x)
    torch.testing.assert_close(found, expected)


def test_a_cell_that_ran_can_be_copied_and_pickled() -> None:
    cell, x = LSTM(3, 4), torch.randn(5, 2, 3)
    y, _ = elman.scan(cell, x, backend="cpu")
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert torch.equal(elman.scan(twin, x, backend="cpu")[0], y)
        with torch.no_grad():
            twin.weight_ih.mul_(2)
        assert not torch.equal(elman.scan(twin, x, backend="cpu")[0], y)
    assert torch.equal(elman.scan(cell, x, backend="cpu")[0], y)


def test_what_changes_between_calls_is_seen(same: Same) -> None:
    step = Step(lambda m, x, h: torch.tanh(m.alpha * (h @ m.w) + m.scales[0] * x))
    x, h = torch.randn(4, 3, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    same(step, x, h)
    step.alpha = -1.0
    same(step, x, h)
    step.scales[0] = 3.0
    same(step, x, h)
    with torch.no_grad():
        step.w.mul_(2)
    same(step, x, h)
    step.w.data = torch.randn(5, 5, dtype=F64)
    same(step, x, h)
    step.fn = lambda m, x, h: h + x
    same(step, x, h)
    step.b = nn.Parameter(torch.randn(5, dtype=F64).expand(5))
    same(step, x, h)


def _in_a_child(cell: Cell, x: Tensor, results: Any) -> None:
    results.put(elman.scan(cell, x, backend="cpu")[0].detach().numpy())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_after_a_fork() -> None:
    cell, x = GRU(3, 5), torch.randn(5, 4, 3)
    expected = elman.scan(cell, x, backend="cpu")[0].detach()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_in_a_child, args=(cell, x, results))
    child.start()
    torch.testing.assert_close(torch.from_numpy(results.get(timeout=60)), expected)
    child.join()


def test_an_output_changed_in_place_is_an_error_or_right() -> None:
    cell, x = LSTM(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    expected = torch.autograd.grad((elman.scan(cell, x, backend="eager")[0] * 2).sum(), x)
    y, _ = elman.scan(cell, x, backend="cpu")
    try:
        y.mul_(2)
        found = torch.autograd.grad(y.sum(), x)
    except RuntimeError as error:
        assert "modified" in str(error)
    else:
        torch.testing.assert_close(found, expected)


UNARY = [
    torch.detach,
    torch.tanh,
    torch.sigmoid,
    F.silu,
    torch.relu,
    torch.abs,
    torch.sin,
    F.softplus,
    F.elu,
    F.gelu,
    torch.neg,
    torch.cos,
]
BINARY = [torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum]


def _expression(depth: int) -> st.SearchStrategy[Any]:
    leaf = st.sampled_from(["x", "h", "c", "b", "xw", "hw"]).map(lambda name: (name,))
    if not depth:
        return leaf
    inner = _expression(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(st.sampled_from(UNARY), inner),
        st.tuples(st.sampled_from(BINARY), inner, inner),
        st.tuples(st.just("where"), inner, inner, inner),
        st.tuples(st.just("mm"), inner),
        st.tuples(st.sampled_from(["sum", "amax", "mean"]), inner),
        st.tuples(st.just("roll"), inner),
    )


def _value(expression: Any, known: dict[str, Tensor]) -> Tensor:
    kind, *rest = expression
    if not rest:
        return known[kind]
    a, *others = [_value(each, known) for each in rest]
    if kind == "where":
        return torch.where(a > 0, *others)
    if kind == "mm":
        return torch.tanh(a) @ known["w"]
    if kind in ("sum", "amax", "mean"):
        return a - 0.3 * getattr(a.expand(known["h"].shape), kind)(-1, keepdim=True)
    if kind == "roll":
        wide = a.expand(known["h"].shape)
        return torch.cat([wide[:, 2:], wide[:, :2]], -1)
    return kind(a, *others)


class Random(nn.Module):
    def __init__(self, size: int, expressions: Any) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(size, size, dtype=F64) / size**0.5)
        self.b = nn.Parameter(torch.randn(size, dtype=F64))
        self.expressions = expressions

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = state
        known = {"x": x, "h": h, "c": c, "b": self.b, "w": self.w, "xw": x @ self.w, "hw": h @ self.w}
        h, c = (torch.tanh(_value(each, known).expand_as(h)) for each in self.expressions[:2])
        return _value(self.expressions[2], {**known, "h": h, "c": c, "hw": h @ self.w}), (h, c)


@st.composite
def random_cells(draw: st.DrawFn, depth: int = 3) -> dict[str, Any]:
    return {
        "expressions": tuple(draw(_expression(depth)) for _ in range(3)),
        "size": draw(st.sampled_from([1, 3, 7, 17, 63, 65])),
        "time": draw(st.sampled_from([0, 1, 2, 33])),
        "batch": draw(st.sampled_from([1, 3, 17])),
        "seed": draw(st.integers(0, 99)),
        "mask": draw(st.booleans()),
        "reverse": draw(st.booleans()),
    }


def check_random(case: dict[str, Any], same: Same) -> None:
    torch.manual_seed(case["seed"])
    size, time, batch = case["size"], case["time"], case["batch"]
    cell = Random(size, case["expressions"])
    state = (torch.randn(batch, size, dtype=F64), torch.randn(batch, size, dtype=F64))
    options = random_case(time, batch) if case["mask"] else {}
    try:
        same(cell, torch.randn(time, batch, size, dtype=F64), state, reverse=case["reverse"], **options)
    except UserError as error:
        assert "same for all rows" in str(error)


@given(case=random_cells(depth=2))
@settings(max_examples=8)
def test_random_cells(case: dict[str, Any], same: Same) -> None:
    check_random(case, same)


@pytest.mark.slow
@given(case=random_cells())
@settings(max_examples=200)
def test_many_random_cells(case: dict[str, Any], same: Same) -> None:
    check_random(case, same)
