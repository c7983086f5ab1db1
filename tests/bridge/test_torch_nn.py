"""Weights to and from ``torch.nn``: outputs of both sides, names, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman import Recurrent
from elman.bridge import from_torch, to_keras, to_torch
from elman.errors import UserError

Run = Callable[[nn.Module, Tensor], Tensor]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"bias": False}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "bias": False}),
    ("GRU", {}),
]
ids = [f"{kind}-{'-'.join(options)}" for kind, options in KINDS]


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=ids)
@pytest.mark.parametrize("module", [nn, elman.nn], ids=["torch", "elman"])
def test_a_layer_there_and_back(module: Any, kind: str, options: dict[str, Any], run: Run) -> None:
    theirs = getattr(nn, kind)(3, 4, dtype=torch.float64, **options)
    source = getattr(module, kind)(3, 4, dtype=torch.float64, **options)
    source.load_state_dict(theirs.state_dict())
    ours = from_torch(source)
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    assert isinstance(ours, Recurrent) and ours.batch_first == theirs.batch_first
    assert torch.allclose(run(ours, x), theirs(x)[0], rtol=0, atol=1e-12)

    fresh = getattr(module, kind)(3, 4, dtype=torch.float64, **options)
    assert to_torch(ours, fresh) is fresh
    arrays = to_torch(ours)
    assert arrays.keys() == theirs.state_dict().keys()
    for name, array in theirs.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], array) and torch.equal(arrays[name], array)

    cell = "projectedlstm" if "proj_size" in options else kind.lower()
    cell_options = {"nonlinearity": "relu"} if "nonlinearity" in options else {}
    again = from_torch(theirs.state_dict(), cell, **cell_options)
    again.batch_first = ours.batch_first
    assert torch.equal(run(again, x), run(ours, x))


@pytest.mark.parametrize(
    "theirs", [nn.RNNCell(3, 4, nonlinearity="relu"), nn.LSTMCell(3, 4), nn.GRUCell(3, 4, bias=False)], ids=repr
)
def test_a_cell_there_and_back(theirs: nn.Module) -> None:
    ours = from_torch(theirs)
    x = torch.randn(6, 3)
    expected = theirs(x)
    y, state = ours(x)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for a, b in zip(state if isinstance(state, tuple) else (state,), expected, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-6)
    assert torch.equal(y, state[0] if isinstance(state, tuple) else state)
    assert to_torch(ours).keys() == theirs.state_dict().keys()
    fresh = copy.deepcopy(theirs)
    fresh.reset_parameters()
    to_torch(ours, fresh)
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), theirs.parameters(), strict=True))


def test_weights_are_copied_and_stay_trainable() -> None:
    theirs = nn.GRU(3, 4)
    before = theirs.weight_ih_l0.detach().clone()
    ours = from_torch(theirs)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    assert torch.equal(theirs.weight_ih_l0, before)
    assert all(parameter.requires_grad for parameter in ours.parameters())
    assert all(parameter.requires_grad for parameter in to_torch(ours, theirs).parameters())


def test_dropout_between_layers_is_kept() -> None:
    assert from_torch(nn.GRU(3, 4, num_layers=2, dropout=0.25)).dropout == 0.25


def test_a_module_of_torch_goes_on_to_other_frameworks() -> None:
    theirs = nn.LSTM(3, 4, bidirectional=True)
    arrays = to_keras(theirs)
    assert [array.shape for array in arrays] == [(3, 16), (4, 16), (16,)] * 2
    assert torch.equal(torch.from_numpy(arrays[3]), theirs.weight_ih_l0_reverse.detach().t())  # i, f, g, o in both


class Another(nn.LSTM):
    """Might compute anything."""


STATE = nn.GRU(3, 4, num_layers=2).state_dict()
BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: from_torch(nn.Linear(3, 4)), r"got a torch.*Linear; expected an RNN, LSTM or GRU of torch.nn"),
    (lambda: from_torch(Another(3, 4)), r"Another; expected an RNN, LSTM or GRU of torch.nn or elman.nn"),
    (lambda: from_torch(STATE), "a state_dict does not say its cell"),
    (lambda: from_torch(STATE, "gruu"), "did you mean 'gru'"),
    (lambda: from_torch(nn.GRU(3, 4), "gru"), "a GRU says its cell and options itself"),
    (lambda: from_torch({}, "gru"), "torch.nn.GRU: got no arrays; expected weight_ih"),
    (lambda: from_torch({"encoder.weight_ih_l0": torch.ones(2)}, "gru"), "has no array 'encoder.weight_ih_l0'"),
    (lambda: from_torch({k: v for k, v in STATE.items() if "l0" not in k}, "gru"), "no arrays that end in '_l0'"),
    (lambda: from_torch({k: v for k, v in STATE.items() if k != "bias_hh_l1"}, "gru"), "torch.nn.GRU: no array 'bias_"),
    (lambda: from_torch(STATE, "lstm"), r"torch.nn.LSTM: weight_hh has shape \(12, 4\); expected \(12, 3\)"),
    (lambda: to_torch(Recurrent("gru", 3, 4), nn.LSTM(3, 4)), "torch.nn.LSTM holds the weights of a LSTM, got a GRU"),
    (lambda: to_torch(Recurrent("gru", 3, 4), nn.GRU(3, 5)), r"would get shape \(12, 3\); expected \(15, 3\); our GRU"),
    (
        lambda: to_torch(Recurrent("gru", 3, 4), nn.GRU(3, 4, num_layers=2, bidirectional=True)),
        r"source has 1 layer \(one direction\), the target 2 layers \(both directions, both directions\)",
    ),
    (
        lambda: to_torch(Recurrent("gru", 3, 4, 2, dropout=0.1), nn.GRU(3, 4, 2)),
        "source has dropout=0.1 between its layers, the target 0.0",
    ),
    (
        lambda: to_torch(Recurrent("gru", 3, 4, bidirectional=True, merge="sum"), nn.GRU(3, 4, bidirectional=True)),
        "source merges its directions by 'sum', the target by 'concat'",
    ),
    (lambda: to_torch(Recurrent("gru", 3, 4, bidirectional=True, merge="sum")), "merge='sum'; torch.nn's layers only"),
    (lambda: to_torch(elman.cells.LSTM(3, 4, activation="relu"), nn.LSTM(3, 4)), "has activation='tanh', our LSTM 're"),
    (lambda: to_torch(elman.cells.RNN(3, 4), nn.RNN(3, 4, nonlinearity="relu")), "has nonlinearity='relu', our RNN"),
    (
        lambda: to_torch(elman.cells.ProjectedLSTM(3, 4, projection_size=2, cell_clip=1.0), nn.LSTM(3, 4, proj_size=2)),
        "has cell_clip=None, our ProjectedLSTM 1.0",
    ),
    (lambda: to_torch(elman.cells.LSTM(3, 4), nn.LSTM(3, 4, bias=False)), "no place for bias_ih of gate 'i'"),
    (lambda: to_torch(elman.cells.GRUResetBefore(3, 4)), "torch.nn has no counterpart of GRUResetBefore"),
    (lambda: to_torch(elman.layers.Zoneout(elman.cells.GRU(3, 4), 0.1)), "got a Zoneout; expected a Cell, a Recurrent"),
    (lambda: to_torch(Recurrent(lambda i, h: elman.layers.Zoneout(elman.cells.GRU(i, h), 0.1), 3, 4)), "of Zoneout"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_what_does_not_fit_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_a_target_that_does_not_fit_stays_as_it_was() -> None:
    target = nn.RNN(3, 4, num_layers=2)
    before = copy.deepcopy(target.state_dict())
    with pytest.raises(UserError, match="our RNN 'relu'"):
        source = [elman.cells.RNN(3, 4), elman.cells.RNN(4, 4, nonlinearity="relu")]
        to_torch(Recurrent.from_cells(source), target)
    assert all(torch.equal(target.state_dict()[name], array) for name, array in before.items())
