"""The cells of linear and of diagonal recurrences: all steps at once, and what the contract does not see."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from oracles import ORACLES
from torch import Tensor

import elman
from elman import Recurrent, UserError
from elman.cell import Cell
from elman.cells import IRNN, LRU, LSTM, QRNN, SCRN, SRU, IndRNN, MinGRU, MinLSTM
from elman.structure import leaves

LINEAR: list[tuple[type[Cell], dict[str, Any]]] = [
    (MinGRU, {}),
    (MinGRU, {"positive": True}),
    (MinLSTM, {}),
    (MinLSTM, {"positive": True}),
    (SRU, {"peephole": False}),
    (QRNN, {}),
    (QRNN, {"window": 4}),
    (LRU, {}),
    (LRU, {"bias": True}),
]
every_linear = pytest.mark.parametrize(("cls", "options"), LINEAR, ids=str)


def build(cls: type[Cell], options: dict[str, Any], *, input_size: int = 3) -> Cell:
    return cls(input_size, 4, dtype=torch.float64, **options)


def a_state(cell: Cell, batch: int) -> Any:
    return cell.pack(torch.randn_like(leaf).requires_grad_() for leaf in leaves(cell.initial_state(batch)))


def assert_equal(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10 * (b.abs().max().item() if b.numel() else 0))


@every_linear
@pytest.mark.parametrize("steps", [1, 2, 7, 64])
def test_all_steps_at_once_are_the_steps(cls: type[Cell], options: dict[str, Any], steps: int) -> None:
    cell = build(cls, options)
    x, state = torch.randn(steps, 2, 3, dtype=torch.float64, requires_grad=True), a_state(cell, 2)
    values, gradients = [], []
    for y, final in (cell.parallel(x, state), elman.scan(cell, x, state, backend="eager")):
        values.append([y, *leaves(final)])
        assert type(final) is type(state)
        scale = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        loss = (scale * y).sum() + sum(leaf.square().sum() for leaf in leaves(final))
        wanted = [x, *leaves(state), *cell.parameters()]
        gradients.append(list(torch.autograd.grad(loss, wanted)))
    assert_equal(*values)
    assert_equal(*gradients)


@pytest.mark.parametrize(
    ("cls", "options"), [(cls, options) for cls, options in LINEAR if not (options and cls is not SRU)], ids=str
)
def test_long_sequences(cls: type[Cell], options: dict[str, Any]) -> None:
    cell = build(cls, options).float()
    x = torch.randn(4096, 1, 3, requires_grad=True)
    with torch.no_grad():
        expected, _ = elman.scan(cell.double(), x.double(), backend="eager")
    y, _ = cell.float().parallel(x)
    assert (y - expected).abs().max() <= 2e-5 * expected.abs().max()
    assert torch.autograd.grad(y.square().sum(), x)[0].isfinite().all()


@every_linear
def test_what_it_takes_beside_the_plain_sequence(cls: type[Cell], options: dict[str, Any]) -> None:
    cell = build(cls, options)
    ids = torch.randint(3, (5, 2))
    with torch.no_grad():
        y, final = cell.parallel(ids)
        expected, ended = elman.scan(cell, ids, backend="eager")
    assert_equal([y, *leaves(final)], [expected, *leaves(ended)])
    state = a_state(cell, 2)
    nothing, same = cell.parallel(torch.empty(0, 2, 3, dtype=torch.float64), state)
    assert nothing.shape == (0, 2, 4)
    assert all(a is b for a, b in zip(leaves(same), leaves(state), strict=True))
    half, again = cell.to(torch.bfloat16).parallel(torch.randn(5, 2, 3, dtype=torch.bfloat16))
    assert {each.dtype for each in (half, *leaves(again))} == {torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = cell.float().parallel(torch.randn(5, 2, 3))
    assert y.isfinite().all()


def test_cells_without_a_parallel_form_say_so() -> None:
    x = torch.zeros(2, 1, 3)
    with pytest.raises(UserError, match=r"LSTM has no parallel form over time; use elman\.scan"):
        LSTM(3, 4).parallel(x)
    with pytest.raises(UserError, match="peephole=True"):
        SRU(3, 4).parallel(x)
    with pytest.raises(UserError, match=r"got x of shape \(3,\)"):
        MinGRU(3, 4).parallel(x[0, 0])
    with pytest.raises(UserError, match=r"expected steps of x \(B, 3\)"):
        MinGRU(3, 4).parallel(torch.zeros(2, 1, 5))
    with pytest.raises(UserError, match="MinGRU got the state"):
        MinGRU(3, 4).parallel(x, torch.zeros(2, 4))


@pytest.mark.parametrize("options", [{"context_size": 2}, {"learn_alpha": True, "alpha": 0.7}], ids=str)
def test_scrns_contexts_at_once(options: dict[str, Any]) -> None:
    cell = build(SCRN, options)
    assert isinstance(cell, SCRN)
    x, (h, s) = torch.randn(7, 2, 3, dtype=torch.float64, requires_grad=True), a_state(cell, 2)
    _, _, states = elman.scan(cell, x, (h, s), return_states=True, backend="eager")
    wanted = [x, s, cell.context_in.weight, *([] if cell.alpha_logit is None else [cell.alpha_logit])]
    values = cell.all_contexts(x, s), states[1]
    assert_equal([values[0]], [values[1]])
    ours, theirs = ([*torch.autograd.grad(each.pow(3).sum(), wanted)] for each in values)
    assert_equal(ours, theirs)
    assert torch.equal(cell.all_contexts(x), cell.all_contexts(x, torch.zeros_like(s)))


@pytest.mark.parametrize("options", ORACLES["sru"].VARIANTS, ids=str)
def test_the_highway_of_sru_carries_x_itself_where_the_sizes_are_equal(options: dict[str, Any], close: Any) -> None:
    cell = build(SRU, options, input_size=4)
    assert "highway.weight" not in cell.state_dict()
    weights = {key: value.numpy() for key, value in cell.state_dict().items()}
    x, c = torch.randn(6, 2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    expected, (final,) = ORACLES["sru"].run(weights, x.numpy(), (c.numpy(),), **options)
    y, after = elman.scan(cell, x, c, backend="eager")
    close(y, expected)
    close(after, final)


def test_gates_far_from_zero_divide_nothing_by_nothing() -> None:
    cell = MinLSTM(1, 1, bias=False)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[1.0], [1.0], [0.0]]))
    h = torch.ones(1, 1)
    for x in (-1000.0, 1000.0):  # f = i, both 0 or both 1
        torch.testing.assert_close(cell(torch.tensor([[x]]), h)[0], torch.tensor([[0.5]]))


def test_a_cell_without_a_recurrent_matrix_has_none() -> None:
    names = {name for name, _ in MinGRU(3, 4).named_parameters()}
    assert names == {"weight_ih", "bias_ih"}
    biases = MinLSTM(3, 4, forget_bias=2.5).bias_ih.view(3, 4)
    assert (biases[0] == 2.5).all()
    assert not (biases[1] == 2.5).any()
    with pytest.raises(UserError, match="no biases"):
        QRNN(3, 4, bias=False, forget_bias=1.0)


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
def test_own_starts_hold_under_every_scheme(init: str) -> None:
    cell = IndRNN(3, 500, init=init)
    assert cell.weight_hh.min() >= 0
    assert cell.weight_hh.mean().item() == pytest.approx(1.0 if init == "identity" else 0.5, abs=0.05)

    sru = SRU(3, 5, init=init, highway_bias=-2.0)
    assert (sru.bias_ih[5:] == -2.0).all()

    lru = LRU(3, 500, r_min=0.6, r_max=0.8, max_phase=0.5, init=init)
    size, phase = torch.exp(-torch.exp(lru.nu_log)), torch.exp(lru.theta_log)
    assert 0.6 <= size.min() < 0.61
    assert 0.79 < size.max() <= 0.8
    assert size.square().mean().item() == pytest.approx((0.36 + 0.64) / 2, abs=0.01)  # uniform on the ring's area
    assert phase.min() < 0.02
    assert 0.48 < phase.max() <= 0.5
    torch.testing.assert_close(torch.exp(lru.gamma_log), torch.sqrt(1 - size**2))


def test_the_widest_ring_starts_finite_in_every_dtype() -> None:
    for dtype in (torch.bfloat16, torch.float32):
        cell = LRU(2, 1000, dtype=dtype)
        assert all(parameter.isfinite().all() for parameter in cell.parameters())


def test_an_irnn_starts_from_the_identity_in_a_stack_too() -> None:
    for cell in (IRNN(3, 4), *(layer[0] for layer in Recurrent("irnn", 3, 4, num_layers=2).layers)):
        assert torch.equal(cell.weight_hh, torch.eye(4))
        assert not cell.bias_ih.any()
        assert cell.weight_ih.abs().max() < 0.01


def test_parts_that_the_papers_fix() -> None:
    x = torch.randn(1, 3)
    z = torch.sigmoid((x @ (cell := MinGRU(3, 2)).weight_ih.T + cell.bias_ih)[:, :2])
    h = torch.full((1, 2), 1e6)  # so far off that what is kept shows
    torch.testing.assert_close(cell(x, h)[0] / 1e6, 1 - z, atol=1e-4, rtol=0)
    assert SRU(4, 4)._alpha == pytest.approx(math.sqrt(3))
    zeros, past = torch.zeros(1, 2), torch.tensor([[1.0, 2.0]])
    _, (_, window) = QRNN(1, 2, window=3)(torch.tensor([[9.0]]), (zeros, past))
    assert window.tolist() == [[9.0, 1.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QRNN(3, 4, window=1), "window=1"),
        (lambda: LRU(3, 4, r_min=0.9, r_max=0.5), r"r_min=0\.9 and r_max=0\.5"),
        (lambda: LRU(3, 4, r_max=1.1), r"r_max=1\.1"),
        (lambda: LRU(3, 4, max_phase=7.0), r"max_phase=7\.0"),
        (lambda: SRU(3, 4, bias=False, highway_bias=-1.0), "highway_bias=-1.0 with bias=False"),
        (lambda: IndRNN(3, 4, nonlinearity="rely"), "did you mean 'relu'"),
    ],
)
def test_bad_options(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
