"""Names and scopes of TensorFlow 1 checkpoints, and the forget bias that none of them holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman import Recurrent
from elman.bridge import from_tf1, to_tf1
from elman.cells import LSTM, RNN, GRUResetBefore, PeepholeLSTM, ProjectedLSTM

Run = Callable[[nn.Module, Tensor], Tensor]
Arrays = dict[str, np.ndarray]


def lstm(inputs: int, units: int) -> Arrays:
    return {"kernel": np.random.randn(inputs + units, 4 * units), "bias": np.random.randn(4 * units)}


def under(scope: str, arrays: Arrays) -> Arrays:
    return {f"{scope}/{name}": array for name, array in arrays.items()}


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize(
    ("scope", "arrays", "cell"),
    [
        ("rnn/basic_lstm_cell", ["kernel", "bias"], LSTM),
        ("rnn/lstm_cell", ["kernel", "bias"], LSTM),
        ("rnn/lstm_cell", ["kernel", "bias", "w_i_diag", "w_f_diag", "w_o_diag"], PeepholeLSTM),
        ("rnn/lstm_cell", ["kernel", "bias", "projection/kernel"], ProjectedLSTM),
        ("model/rnn/basic_rnn_cell", ["kernel", "bias"], RNN),
        ("rnn/gru_cell", ["gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias"], GRUResetBefore),
        ("", ["gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias"], GRUResetBefore),
        ("", ["kernel", "bias", "w_i_diag", "w_f_diag", "w_o_diag"], PeepholeLSTM),
    ],
)
@pytest.mark.parametrize("end", ["", ":0"])
def test_names_say_the_cell(scope: str, arrays: list[str], cell: type[elman.Cell], end: str) -> None:
    source = cell(3, 2)
    written = to_tf1(source)
    assert written.keys() == {*arrays}
    prefix = f"{scope}/" if scope else ""
    ours = from_tf1({f"{prefix}{name}{end}": array for name, array in written.items()})
    assert type(ours) is cell
    assert same(ours, from_tf1(written, cell))


def test_the_forget_bias_of_the_run_is_folded_in(run: Run) -> None:
    arrays = lstm(3, 2)
    i, j, f, o = np.split(arrays["bias"], 4)
    for given, added in ((None, 1.0), (0.0, 0.0), (2.5, 2.5)):
        cell = from_tf1(arrays, "lstm", forget_bias=given)
        np.testing.assert_array_equal(cell.bias_ih.detach(), np.concatenate([i, f + added, j, o]))
        assert not cell.bias_hh.any()
        np.testing.assert_allclose(to_tf1(cell, forget_bias=given)["bias"], arrays["bias"], rtol=0, atol=1e-15)
    before = cell.bias_ih.detach().clone()
    to_tf1(cell)
    assert torch.equal(cell.bias_ih, before)  # the source stays as it is


def test_a_stack_and_two_directions(run: Run) -> None:
    cells = [lstm(3, 2), lstm(2, 4)]
    stack = from_tf1(
        {k: v for n in (1, 0) for k, v in under(f"rnn/multi_rnn_cell/cell_{n}/lstm_cell", cells[n]).items()}
    )
    assert isinstance(stack, Recurrent)
    assert all(same(layer[0], from_tf1(arrays, "lstm")) for layer, arrays in zip(stack.layers, cells, strict=True))

    both = {"fw": lstm(3, 2), "bw": lstm(3, 2)}
    scoped = {k: v for way in both for k, v in under(f"bidirectional_rnn/{way}/basic_lstm_cell", both[way]).items()}
    pair = from_tf1(scoped)
    expected = Recurrent.from_cells([tuple(from_tf1(both[way], "lstm") for way in ("fw", "bw"))])
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert torch.equal(run(pair, x), run(expected, x))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gruresetbefore"])
def test_a_layer_there_and_back(run: Run, cell: str, layers: int, bidirectional: bool) -> None:
    ours = Recurrent(cell, 3, 2, layers, bidirectional=bidirectional, dtype=torch.float64)
    again = from_tf1(to_tf1(ours), cell)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert torch.allclose(run(again, x), run(ours, x), rtol=0, atol=1e-12)


def test_layers_may_be_of_different_cells() -> None:
    arrays = under("cell_0/basic_rnn_cell", to_tf1(RNN(3, 2))) | under("cell_1/gru_cell", to_tf1(GRUResetBefore(2, 4)))
    assert [type(layer[0]) for layer in from_tf1(arrays).layers] == [RNN, GRUResetBefore]
