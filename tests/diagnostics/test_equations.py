"""Equations: the text expected of well-known cells, and that what is printed computes what the step computes."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diagnostics.read import run
from oracles import ORACLES
from torch import Tensor, nn, sigmoid, tanh

import elman
from elman.cell import Cell, Gated, cells
from elman.diagnostics import Equations, equations
from elman.structure import leaves

BUILT_IN = {name: cls for name, cls in cells().items() if cls.__module__.startswith("elman.cells.")}
VARIANTS = [(name, options) for name in sorted(ORACLES) for options in ORACLES[name].VARIANTS if options]

LINES = {
    "rnn": ["h' = tanh(W x + U h + b)"],
    "lstm": [
        "i = sigmoid(W_i x + U_i h + b_i)",
        "f = sigmoid(W_f x + U_f h + b_f)",
        "g = tanh(W_g x + U_g h + b_g)",
        "o = sigmoid(W_o x + U_o h + b_o)",
        "c' = f * c + i * g",
        "h' = o * tanh(c')",
    ],
    "gru": [
        "r = sigmoid(W_r x + U_r h + b_r)",
        "z = sigmoid(W_z x + U_z h + b_z)",
        "n = tanh(W_n x + r * (U_n h + d_n) + b_n)",
        "h' = (1 - z) * n + z * h",
    ],
    "gruresetbefore": [
        "r = sigmoid(W_r x + U_r h + b_r)",
        "z = sigmoid(W_z x + U_z h + b_z)",
        "n = tanh(W_n x + U_n (r * h) + b_n)",
        "h' = (1 - z) * n + z * h",
    ],
    "mgu": [
        "f = sigmoid(W_f x + U_f h + b_f)",
        "n = tanh(W_n x + U_n (f * h) + b_n)",
        "h' = (1 - f) * h + f * n",
    ],
    "scrn": [
        "s' = 0.05 * (W_context_in x) + 0.95 * s",
        "h' = sigmoid(W x + U h + W_context_out s')",
        "y = [h', s']",
    ],
    "peepholelstm": [
        "i = sigmoid(W_i x + U_i h + w_ci * c + b_i)",
        "f = sigmoid(W_f x + U_f h + w_cf * c + b_f)",
        "g = tanh(W_g x + U_g h + b_g)",
        "c' = f * c + i * g",
        "o = sigmoid(W_o x + U_o h + w_co * c' + b_o)",
        "h' = o * tanh(c')",
    ],
    "layernormgru": [
        "a = norm_gates_ih([W_r x, W_z x])",
        "a2 = norm_gates_hh([U_r h, U_z h])",
        "r = sigmoid(a[0:H] + a2[0:H])",
        "z = sigmoid(a[H:2H] + a2[H:2H])",
        "n = tanh(norm_n_ih(W_n x) + r * norm_n_hh(U_n h))",
        "h' = (1 - z) * n + z * h",
    ],
    "qrnn": [
        "z = tanh(W_z x + W_past_z past + b_z)",
        "f = sigmoid(W_f x + W_past_f past + b_f)",
        "o = sigmoid(W_o x + W_past_o past + b_o)",
        "c' = f * c + (1 - f) * z",
        "h = o * c'",
        "past' = x",
    ],
}


@functools.cache
def of(name: str) -> Equations:
    return equations(BUILT_IN[name](3, 4, dtype=torch.float64))


def check(cell: Cell, told: Equations) -> None:
    """What is printed, computed for one row with numbers drawn anew, is what the cell's step gives."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    given = cell.example_inputs(1, 1)
    inputs = given if isinstance(given, tuple) else (given,)
    state = cell.pack(torch.randn_like(leaf) for leaf in leaves(cell.initial_state(1)))
    x = tuple(each[0] for each in inputs)
    assert not told.reason
    rows = [each[0] for each in (*x, *leaves(state))]
    found = run(told, cell, dict(zip([*cell.inputs, *cell.states], rows, strict=True)))
    y, new = cell(x if len(x) > 1 else x[0], state)
    for name, expected in zip(cell.states, leaves(new), strict=True):
        # The numbers in the text have six digits.
        torch.testing.assert_close(found[f"{name}'"].expand(expected.shape[1]), expected[0], rtol=1e-4, atol=1e-5)
    output = found[cell.output or ("y" if "y" in found and "y" not in cell.states else f"{cell.states[0]}'")]
    torch.testing.assert_close(output, y[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LINES)
def test_the_text_is_as_expected(name: str) -> None:
    assert list(of(name).lines) == LINES[name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_printed_is_what_the_cell_computes(name: str) -> None:
    check(BUILT_IN[name](3, 4, dtype=torch.float64), of(name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_so_with_every_option(name: str, options: dict[str, Any]) -> None:
    cell = BUILT_IN[name](3, 4, dtype=torch.float64, **options)
    check(cell, equations(cell))


def test_the_legend_says_what_the_names_stand_for() -> None:
    told = of("gru")
    symbols = {symbol.name: (symbol.source, symbol.rows, symbol.shape) for symbol in told.symbols}
    assert symbols["W_z"] == ("weight_ih", "[H:2H]", "(H, I)")
    assert symbols["b_r"] == ("bias_ih + bias_hh", "[0:H]", "(H)")
    assert symbols["b_n"] == ("bias_ih", "[2H:3H]", "(H)")
    assert symbols["d_n"] == ("bias_hh", "[2H:3H]", "(H)")
    assert str(told).splitlines()[4:] == [
        "",
        "W_r, W_z, W_n  weight_ih, rows of the gate (H, I)",
        "U_r, U_z, U_n  weight_hh, rows of the gate (H, H)",
        "b_n            bias_ih, rows of the gate (H)",
        "b_r, b_z       bias_ih + bias_hh, rows of the gate (H)",
        "d_n            bias_hh, rows of the gate (H)",
    ]
    norms = dict(of("layernormlstm").functions)
    assert norms["norm_c(v)"] == "(v - mean(v)) / sqrt(mean((v - mean(v))^2) + 1e-05) * norm_c.weight + norm_c.bias"


class Brackets(Cell, register=False):
    """Signs, brackets, and names that are taken."""

    gates = ("p", "q")
    states = ("h", "e")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.mixing = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.scale = nn.Parameter(torch.empty(hidden_size))

    def step(self, x: Gated, h: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        h2 = tanh(h @ self.mixing) / (1 + (e / (2 + h**2)) ** 2)
        exp = -(x.p - (self.recur.p(h) - e)) * -0.5
        part = F.layer_norm(torch.cat([h, exp], -1), (2 * self.hidden_size,))[:, 1:-1]
        mean = part[:, : self.hidden_size].mean(-1, keepdim=True)
        e = torch.where(exp > mean, exp - (h2 - mean * (e - 1)), torch.clamp(x.q, -1.5, 2.0))
        return 1 - (1 - self.scale) * e - h2, e * (-self.scale).exp()


def test_signs_brackets_and_names() -> None:
    cell = Brackets(3, 4).double()
    told = equations(cell)
    check(cell, told)
    assert "U_p h" in str(told) and "mixingᵀ h" in str(told) and "layer_norm([h, " in str(told)
    names = [line.partition(" = ")[0] for line in told.lines]
    assert "h2" in names and "mean" not in names and "exp" not in names  # these are functions here


class TwoNorms(Cell, register=False):
    """Gates that the step does not name, one gate used twice, and a state that stays."""

    gates = ("i", "g")
    states = ("h", "k")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.norm = nn.LayerNorm(hidden_size)

    def step(self, x: Gated, h: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        return sigmoid(z.i) * tanh(self.norm(z.g)) + tanh(h) * sigmoid(z.i), k


def test_gates_have_their_names_without_being_named_in_the_step() -> None:
    assert list(equations(TwoNorms(3, 5)).lines) == [
        "i = sigmoid(W_i x + U_i h + b_i)",
        "g = tanh(norm(W_g x + U_g h + b_g))",
        "h' = i * g + tanh(h) * i",
        "k' = k",
    ]


class Padded(Cell, register=False):
    """Numbers in the place of vectors, and a part that goes over the edge of another."""

    gates = ("n",)
    states = ("h", "rest")

    def step(self, x: Gated, h: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        long = torch.cat([torch.zeros_like(h), h * 1, x.n], -1)
        return long[:, self.hidden_size // 2 : -self.hidden_size // 2][:, : self.hidden_size], torch.ones_like(rest)


def test_numbers_in_the_place_of_vectors_keep_their_size() -> None:
    told = equations(Padded(3, 4).double())
    check(Padded(3, 4).double(), told)
    assert told.lines == ("h' = [full(4, 0)[2:4], h[0:2]]", "rest' = full(4, 1)")


class Branches(Cell, register=False):
    """Decides by a value: h_t = x_t where the sum is positive.

    A second paragraph.

    Args:
        none: at all.
    """

    def step(self, x: Gated, h: Tensor) -> Tensor:
        return x.raw if h.sum() > 0 else h


def test_a_step_that_cannot_be_traced_is_told_by_its_docstring() -> None:
    told = equations(Branches(3, 3))
    assert "depends on the value" in told.reason and "test_equations.py" in told.reason
    assert told.lines[0] == "Decides by a value: h_t = x_t where the sum is positive."
    assert told.lines[-1] == "A second paragraph." and not told.symbols
    assert str(told).startswith("Branches: not from its step (the step cannot be traced")


def test_the_cell_is_left_as_it_was() -> None:
    cell = BUILT_IN["lstm"](3, 4)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    state = torch.get_rng_state()
    cell(torch.zeros(2, 3))
    equations(cell)
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in cell.parameters())
    assert torch.equal(state, torch.get_rng_state())
    y, _ = elman.scan(cell, torch.randn(2, 1, 3), backend="eager")
    assert y.requires_grad
