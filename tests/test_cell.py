"""The cell protocol: what follows from gates, states and a step."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, sigmoid, tanh
from torch.nn import functional as F

import elman
from elman.cell import _REGISTRY, Cell, Gated, cells, find_cell
from elman.cells import GRU, JANET, LSTM, RNN, SCRN, AntisymmetricRNN, FastGRNN, PeepholeLSTM, ProjectedLSTM
from elman.errors import UserError


@pytest.fixture(autouse=True)
def _registry_as_it_was() -> Iterator[None]:
    before, modules = dict(_REGISTRY), set(sys.modules)
    yield
    _REGISTRY.clear()
    _REGISTRY.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith("elman_user_"):
            del sys.modules[name]


class TwoGateUnit(Cell):
    gates, states = ("f", "n"), ("h",)
    forget_gate = "f"

    def step(self, x: Gated, h: Tensor) -> Tensor:
        f = sigmoid(x.f + self.recur.f(h))
        return (1 - f) * h + f * tanh(x.n + self.recur.n(f * h))


class Clock(Cell):
    """No gates, a second input, a step count as its second state, and an output of its own."""

    states, output, inputs = ("h", "age"), "y", ("x", "dt")

    def __init__(self, input_size: int, hidden_size: int, rate: float = 0.5, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.rate = rate
        self.enter = nn.Linear(input_size, hidden_size)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, 1

    def step(self, x: Gated, dt: Tensor, h: Tensor, age: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = h + self.rate * dt * (self.enter(x.raw) - h)
        return torch.cat([h, age], -1), h, age + dt


def test_a_cell_of_five_lines_is_its_formula() -> None:
    cell = TwoGateUnit(3, 4)
    assert {name: tuple(p.shape) for name, p in cell.named_parameters()} == {
        "weight_ih": (8, 3),
        "weight_hh": (8, 4),
        "bias_ih": (8,),
        "bias_hh": (8,),
    }
    x, h = torch.randn(2, 3), torch.randn(2, 4)
    w_f, w_n = cell.weight_ih.chunk(2)
    u_f, u_n = cell.weight_hh.chunk(2)
    b_f, b_n = (cell.bias_ih + cell.bias_hh).chunk(2)  # type: ignore[operator]
    f = sigmoid(x @ w_f.T + h @ u_f.T + b_f)
    expected = (1 - f) * h + f * tanh(x @ w_n.T + (f * h) @ u_n.T + b_n)
    y, state = cell(x, h)
    torch.testing.assert_close(y, expected)
    assert y is state


def test_a_cell_without_gates_with_an_output_and_inputs_of_its_own() -> None:
    cell = Clock(3, 2, rate=0.25)
    assert not {"weight_ih", "bias_hh"} & set(dict(cell.named_parameters()))
    x, dt = torch.randn(4, 5, 3), torch.rand(4, 5, 1)
    y, (h, age) = elman.scan(cell, (x, dt))
    torch.testing.assert_close(age, dt.sum(0))
    torch.testing.assert_close(y[-1], torch.cat([h, dt[:-1].sum(0)], -1))
    expected = torch.zeros(5, 2)
    for t in range(4):
        expected = expected + 0.25 * dt[t] * (cell.enter(x[t]) - expected)
    torch.testing.assert_close(h, expected)
    stepped, _ = cell((x[0], dt[0]))
    torch.testing.assert_close(stepped, y[0])


def test_recurrence_of_all_gates_and_of_one_agree() -> None:
    cell, v = LSTM(3, 4), torch.randn(2, 4)
    u = cell.recur(v)
    for gate in cell.gates:
        torch.testing.assert_close(getattr(cell.recur, gate)(v), getattr(u, gate))
    torch.testing.assert_close(
        torch.cat([getattr(u, gate) for gate in cell.gates], -1), F.linear(v, cell.weight_hh, cell.bias_hh)
    )
    without = LSTM(3, 4, bias=False)
    torch.testing.assert_close(without.recur.o(v), v @ without.weight_hh[12:].T)


def test_unknown_gates_are_named() -> None:
    cell = GRU(3, 4)
    for access in (lambda: cell.recur.f, lambda: cell.recur(torch.zeros(1, 4)).f):
        with pytest.raises(AttributeError, match="no gate 'f'; this cell has r, z, n"):
            access()
    assert Cell.recur is GRU.recur
    with pytest.raises(TypeError, match="only the step's x has a raw input"):
        cell.recur(torch.zeros(1, 4)).raw  # noqa: B018


def test_options_are_found_wherever_they_are_named() -> None:
    assert TwoGateUnit(1, 1, forget_bias=2.0).options == {"bias": True, "init": "torch", "forget_bias": 2.0}
    assert Clock.option_names() == ("rate", "bias", "init", "forget_bias", "device", "dtype")
    assert Clock(1, 1, 0.1).options["rate"] == 0.1

    class Softer(LSTM):
        def __init__(self, input_size: int, hidden_size: int, *, slope: float = 2.0, **options: Any) -> None:
            super().__init__(input_size, hidden_size, **options)
            self.slope = slope

    assert Softer.option_names()[:3] == ("slope", "activation", "bias")
    assert Softer(1, 1, activation="relu").options["activation"] == "relu"

    class Closed(LSTM):
        def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
            super().__init__(input_size, hidden_size, bias=bias, activation="relu")

    assert Closed.option_names() == ("bias",)
    assert Closed(1, 1, **Closed(1, 1, bias=False).options).bias_ih is None
    assert repr(GRU(2, 3)) == "GRU(2, 3, activation='tanh', bias=True, init='torch', forget_bias=None)"


def test_names_are_found_loosely_and_refused_helpfully() -> None:
    assert find_cell("coupled_lstm") is find_cell("Coupled-LSTM") is find_cell("COUPLEDLSTM")
    assert find_cell("two-gate-unit") is TwoGateUnit
    with pytest.raises(UserError, match="unknown cell 'gruu'; did you mean 'gru'"):
        find_cell("gruu")
    with pytest.raises(UserError, match=r"unknown cell 'xyzzy'; valid: .*lstm"):
        find_cell("xyzzy")
    assert list(cells()) == sorted(cells())
    assert "cell" not in cells()


def test_a_class_defined_again_replaces_the_old_one_but_not_one_of_another_module() -> None:
    def define() -> type[Cell]:
        class Again(Cell):
            def step(self, x: Gated, h: Tensor) -> Tensor:
                return h

        return Again

    define()
    assert define() is find_cell("again")
    with pytest.raises(UserError, match=r"a cell named .again. exists in .* already; rename the class Again in"):
        type("Again", (TwoGateUnit,), {"__module__": "elsewhere"})
    with pytest.warns(UserWarning, match=r"Elman has a cell named .lstm..*hand your own LSTM over as the class"):
        own = type("LSTM", (TwoGateUnit,), {"__module__": __name__})
    assert find_cell("lstm") is elman.cells.LSTM
    assert isinstance(elman.Recurrent(own, 2, 3).layers[0][0], own)

    class Unfinished(Cell):
        """Has no step yet."""

    assert "unfinished" not in cells()
    with pytest.raises(NotImplementedError, match=r"Unfinished has no step; write step\(self, x, h\)"):
        Unfinished(1, 1)(torch.zeros(1, 1))


def test_parametrised_cells_do_not_enter_the_registry() -> None:
    cell = GRU(2, 3)
    nn.utils.parametrizations.spectral_norm(cell, "weight_hh")
    assert "parametrizedgru" not in cells()
    assert cell(torch.zeros(1, 2))[0].shape == (1, 3)


SOURCE = """
from elman.cell import Cell

class Mine(Cell):
    gates = ("h",)
    def __init__(self, input_size, hidden_size, *, gain=1.0, **options):
        super().__init__(input_size, hidden_size, **options)
        self.gain = gain
    def step(self, x, h):
        return self.gain * (x.h + self.recur.h(h))
"""


def test_a_cell_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "my_cells.py"
    path.write_text(SOURCE)
    cls = find_cell(f"{path}:Mine")
    assert cls(2, 3, gain=2.0).options["gain"] == 2.0
    assert find_cell("mine") is cls
    assert pickle.loads(pickle.dumps(cls(2, 3))).gain == 1.0
    path.write_text(SOURCE.replace("gain=1.0", "gain=3.0"))
    assert find_cell(f"{path}:Mine")(2, 3).gain == 3.0, "the file as it stands, at once"
    assert [each.name for each in tmp_path.iterdir()] == ["my_cells.py"]
    layer = elman.Recurrent(f"{path}:Mine", 2, 3, gain=0.0)
    assert not layer(torch.ones(2, 1, 2))[0].any()


def test_a_cell_of_a_file_may_have_the_name_of_a_built_in_one(tmp_path: Path) -> None:
    path = tmp_path / "own_lstm.py"
    path.write_text(SOURCE.replace("Mine", "LSTM"))
    assert find_cell(f"{path}:LSTM").gates != find_cell("lstm").gates


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (None, "Mine", r"no such file: .*a cell of your own is named file.py:ClassName"),
        (SOURCE, "Mien", r"has no cell 'Mien'; did you mean 'Mine'"),
        ("x = 1", "Mine", r"has no cell 'Mine'; it defines none"),
        ("def broken(:", "Mine", r"could not be run: SyntaxError"),
        ("import no_such_module_here", "Mine", r"could not be run: ModuleNotFoundError: No module named"),
    ],
)
def test_a_file_without_the_cell(tmp_path: Path, source: str | None, name: str, message: str) -> None:
    path = tmp_path / "their_cells.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(UserError, match=message):
        find_cell(f"{path}:{name}")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GRU(0, 3), "GRU got input_size=0; give a whole number of at least 1"),
        (lambda: GRU(2, -1), "GRU got hidden_size=-1"),
        (lambda: GRU(2, 1.5), "GRU got hidden_size=1.5"),
        (lambda: GRU(2, 3, init="Xavier"), "unknown init 'Xavier'; did you mean 'xavier'"),
        (lambda: GRU(2, 3, forget_bias=1.0), "GRU has no forget gate, so forget_bias=1.0 has nothing to set"),
        (lambda: LSTM(2, 3, forget_bias=1.0, bias=False), r"LSTM has no biases \(bias=False\)"),
        (lambda: LSTM(2, 3, activation="tahn"), "unknown activation 'tahn'; did you mean 'tanh'"),
        (lambda: RNN(2, 3, nonlinearity="sine"), "unknown activation 'sine'"),
        (lambda: SCRN(2, 3, alpha=1.5), "SCRN got alpha=1.5; give a number between 0 and 1$"),
        (lambda: SCRN(2, 3, alpha=1.0, learn_alpha=True), r"SCRN got alpha=1.0; .*\(ends excluded\)"),
        (lambda: SCRN(2, 3, context_size=0), "SCRN got context_size=0"),
        (lambda: SCRN(2, 3, context="newer"), "SCRN got context='newer'; did you mean 'new'"),
        (lambda: ProjectedLSTM(2, 3, projection_size=0), "ProjectedLSTM got projection_size=0; give a whole number"),
        (lambda: ProjectedLSTM(2, 3, projection_size=1.5), "ProjectedLSTM got projection_size=1.5"),
        (lambda: ProjectedLSTM(2, 3, cell_clip=0.0), "ProjectedLSTM got cell_clip=0.0; give a number above 0"),
        (lambda: ProjectedLSTM(2, 3, projection_clip=-1.0), "ProjectedLSTM got projection_clip=-1.0"),
        (lambda: JANET(2, 3, chrono=1), "JANET got chrono=1; give the longest dependence in steps, at least 2"),
        (lambda: JANET(2, 3, chrono=9, forget_bias=1.0), "JANET got chrono=9 and forget_bias=1.0; .*leave one out"),
        (lambda: JANET(2, 3, chrono=9, bias=False), "JANET got chrono=9 and bias=False"),
        (lambda: FastGRNN(2, 3, recurrent_rank=0), "FastGRNN got recurrent_rank=0; give a whole number"),
        (lambda: FastGRNN(2, 3, input_rank=0.5), "FastGRNN got input_rank=0.5"),
        (lambda: FastGRNN(2, 3, forget_bias=1.0, bias=False), r"FastGRNN has no biases \(bias=False\)"),
        (lambda: AntisymmetricRNN(2, 3, epsilon=0), "AntisymmetricRNN got epsilon=0; give the length of a step"),
        (lambda: AntisymmetricRNN(2, 3, gamma=-1), "AntisymmetricRNN got gamma=-1; give the damping"),
    ],
)
def test_bad_options_are_named(build: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()


def test_parameters_start_after_the_subclass_has_built_its_own() -> None:
    torch.manual_seed(1)
    cell = PeepholeLSTM(3, 4, init="normal")
    assert not cell.weight_ci.any()
    assert 0 < cell.weight_hh.abs().max() <= 0.04
    cell.reset_parameters()
    torch.manual_seed(1)
    again = PeepholeLSTM(3, 4, init="normal")
    assert not torch.equal(cell.weight_hh, again.weight_hh)


def test_cells_module_lists_its_cells() -> None:
    assert {"RNN", "LSTM", "GRU", "SCRN"} <= set(dir(elman.cells))
    assert "TwoGateUnit" not in dir(elman.cells)
    with pytest.raises(AttributeError, match=r"has no cell 'LSTN'; it has .*CoupledLSTM"):
        elman.cells.LSTN  # noqa: B018
