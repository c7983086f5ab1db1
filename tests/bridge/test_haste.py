"""Haste's modules, which need CUDA: here stand-ins with their names, attributes and arrays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from elman import Recurrent
from elman.bridge import from_haste, to_haste
from elman.cells import GRU, LSTM, IndRNN
from elman.errors import UserError


def haste(name: str, inputs: int, units: int, **options: Any) -> Any:
    gates = {"LSTM": 4, "GRU": 3, "IndRNN": 1}[name]
    shapes = {"kernel": (inputs, gates * units), "recurrent_kernel": (units, gates * units), "bias": (gates * units,)}
    if name == "GRU":
        shapes["recurrent_bias"] = shapes["bias"]
    if name == "IndRNN":
        shapes["recurrent_scale"] = (units,)
        del shapes["recurrent_kernel"]
    module = type(name, (nn.Module,), {"__module__": f"haste_pytorch.{name.lower()}"})()
    for array, shape in shapes.items():
        module.register_parameter(array, nn.Parameter(torch.randn(shape)))
    vars(module).update({"batch_first": False, "zoneout": 0.0, "dropout": 0.0, **options})
    return module


@pytest.mark.parametrize(("name", "cell"), [("LSTM", LSTM), ("GRU", GRU), ("IndRNN", IndRNN)])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_layer_there_and_back(name: str, cell: type, batch_first: bool) -> None:
    theirs = haste(name, 3, 4, batch_first=batch_first)
    ours = from_haste(theirs)
    assert isinstance(ours, Recurrent) and ours.batch_first == batch_first
    (ours_cell,) = ours.layers[0]
    plain = from_haste(theirs.state_dict())  # whose equation test_layout holds against Haste's
    assert type(ours_cell) is type(plain) is cell and ours_cell.options == plain.options
    for a, b in zip(ours_cell.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)
    fresh = haste(name, 3, 4)
    assert to_haste(ours, fresh) is fresh
    for array, value in theirs.state_dict().items():
        assert torch.equal(fresh.state_dict()[array], value)
        assert torch.equal(to_haste(plain)[array], value)


def test_a_stack() -> None:
    layers = [haste("GRU", 3, 4), haste("GRU", 4, 2)]
    ours = from_haste(layers)
    assert ours.output_size == 2
    arrays = to_haste(ours)
    assert [torch.equal(new["kernel"], layer.kernel) for new, layer in zip(arrays, layers, strict=True)] == [True, True]


def test_what_has_no_counterpart_is_refused() -> None:
    for name in ("zoneout", "dropout"):
        with pytest.raises(UserError, match=f"Haste LSTM has {name}=0.1, which has no counterpart here; to take"):
            from_haste(haste("LSTM", 3, 4, **{name: 0.1}))
    with pytest.raises(UserError, match="Haste IndRNN has nonlinearity='tanh', our IndRNN 'relu'"):
        to_haste(IndRNN(3, 4), haste("IndRNN", 3, 4))
    with pytest.raises(UserError, match=r"got a elman.cells.lstm.LSTM; expected haste_pytorch"):
        from_haste(LSTM(3, 4))
    with pytest.raises(UserError, match=r"no array 'recurrent_kernel'"):
        from_haste({"kernel": torch.randn(3, 16), "bias": torch.randn(16)})
