"""Every built-in cell's step against NumPy written from its paper; test_contract compares the compiled loop with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from oracles import ORACLES
from torch.nn import functional as F

import elman
from elman.cell import cells
from elman.structure import leaves

BUILT_IN = {name: cls for name, cls in cells().items() if cls.__module__.startswith("elman.cells.")}
CASES = [(name, options) for name in sorted(ORACLES) for options in ORACLES[name].VARIANTS]


def test_every_built_in_cell_has_an_oracle() -> None:
    assert sorted(ORACLES) == sorted(BUILT_IN)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@pytest.mark.parametrize("from_zeros", [True, False])
def test_the_cell_is_its_paper(name: str, options: dict[str, Any], from_zeros: bool, close: Any) -> None:
    cell = BUILT_IN[name](3, 4, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    weights = {key: value.numpy() for key, value in cell.state_dict().items()}
    x = cell.example_inputs(6, 3)
    state = cell.initial_state(3)
    if not from_zeros:
        state = cell.pack(torch.randn_like(leaf) for leaf in leaves(state))

    seen = tuple(each.numpy() for each in x) if isinstance(x, tuple) else x.numpy()
    expected, final = ORACLES[name].run(weights, seen, tuple(s.numpy() for s in leaves(state)), **options)

    y, after = elman.scan(cell, x, None if from_zeros else state, backend="eager")
    close(y, expected)
    close(after, final)


def test_the_two_grus_differ_only_through_the_reset_gate() -> None:
    after, before = BUILT_IN["gru"](3, 4), BUILT_IN["gruresetbefore"](3, 4)
    before.load_state_dict(after.state_dict())
    x, h = torch.randn(5, 2, 3), torch.randn(2, 4)
    assert not torch.allclose(elman.scan(after, x, h)[0], elman.scan(before, x, h)[0], atol=1e-4)
    with torch.no_grad():  # r = 1 everywhere: both forms say the same
        for cell in (after, before):
            cell.bias_ih[:4] = 100.0
    torch.testing.assert_close(elman.scan(after, x, h)[0], elman.scan(before, x, h)[0])


def test_coupled_lstm_is_the_lstm_whose_input_gate_mirrors_the_forget_gate() -> None:
    coupled, plain = BUILT_IN["coupledlstm"](3, 4), BUILT_IN["lstm"](3, 4)
    with torch.no_grad():  # sigmoid(-v) = 1 - sigmoid(v)
        for name, parameter in plain.named_parameters():
            f, g, o = getattr(coupled, name).chunk(3)
            parameter.copy_(torch.cat([-f, f, g, o]))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(elman.scan(coupled, x)[0], elman.scan(plain, x)[0])


def test_a_linear_layer_on_scrn_is_the_papers_output() -> None:
    cell = BUILT_IN["scrn"](3, 4, context_size=2)
    y, (h, s) = elman.scan(cell, torch.randn(5, 1, 3))
    u, v = torch.randn(7, 4), torch.randn(7, 2)
    torch.testing.assert_close(F.linear(y[-1], torch.cat([u, v], 1)), h @ u.T + s @ v.T)
