"""Weights to and from the Keras that is installed: outputs of both sides on random input."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman import Recurrent
from elman.bridge import from_keras, to_keras
from elman.bridge.keras import ACTIVATIONS
from elman.cells import GRU, LSTM, RNN, GRUResetBefore
from elman.errors import UserError

if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras is not installed: pip install elman[bridge]", allow_module_level=True)

# Keras's own reading of its variables on the torch backend.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Run = Callable[[nn.Module, Tensor], Tensor]
N, H = 3, 4


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Keras on PyTorch, imported once; it reads its backend and its home from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield importlib.import_module("keras")


def drawn(layer: Any, inputs: int = N) -> Any:
    """The layer, built, every weight drawn anew."""
    if not layer.built:
        layer.build((None, inputs) if type(layer).__name__.endswith("Cell") else (2, None, inputs))
    for weight in layer.weights:
        weight.assign(np.random.normal(size=weight.shape).astype("float32"))
    return layer


def theirs(layers: Any, x: Tensor) -> Tensor:
    for layer in layers if isinstance(layers, list) else [layers]:
        x = layer(x)
    return x.detach()


def agree(a: Tensor, b: Tensor) -> None:
    assert a.shape == b.shape
    assert (a - b).abs().max() <= 1e-5


Make = Callable[[Any], Any]
LAYERS: dict[str, Make] = {
    "SimpleRNN": lambda k: k.SimpleRNN(H, return_sequences=True),
    "SimpleRNN without bias": lambda k: k.SimpleRNN(H, use_bias=False, activation="relu", return_sequences=True),
    "LSTM": lambda k: k.LSTM(H, return_sequences=True),
    "LSTM unrolled": lambda k: k.LSTM(H, return_sequences=True, unroll=True, implementation=1),
    "LSTM without bias": lambda k: k.LSTM(H, use_bias=False, activation="softsign", return_sequences=True),
    "GRU reset after": lambda k: k.GRU(H, return_sequences=True),
    "GRU reset after without bias": lambda k: k.GRU(H, use_bias=False, activation="relu", return_sequences=True),
    "GRU reset before": lambda k: k.GRU(H, reset_after=False, return_sequences=True),
    "GRU reset before without bias": lambda k: k.GRU(
        H, reset_after=False, use_bias=False, activation="elu", return_sequences=True
    ),
    "RNN of a cell": lambda k: k.RNN(k.LSTMCell(H), return_sequences=True),
    "RNN of cells": lambda k: k.RNN([k.LSTMCell(5), k.GRUCell(H), k.SimpleRNNCell(2)], return_sequences=True),
    **{
        f"Bidirectional {mode}": lambda k, mode=mode: k.Bidirectional(k.GRU(H, return_sequences=True), merge_mode=mode)
        for mode in ("concat", "sum", "mul", "ave")
    },
    "Bidirectional of two layers": lambda k: k.Bidirectional(
        k.LSTM(H, return_sequences=True), backward_layer=k.GRU(2, return_sequences=True, go_backwards=True)
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_there_and_back(keras: Any, name: str, run: Run) -> None:
    layer = drawn(LAYERS[name](keras.layers))
    ours = from_keras(layer)
    x = torch.randn(2, 5, N)
    expected = theirs(layer, x)
    assert isinstance(ours, Recurrent) and ours.batch_first
    agree(run(ours, x), expected)

    fresh = drawn(LAYERS[name](keras.layers))
    assert (theirs(fresh, x) - expected).abs().max() > 1e-2
    assert to_keras(ours, fresh) is fresh
    agree(theirs(fresh, x), expected)
    for array, weight in zip(to_keras(ours), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(array, weight)

    with torch.no_grad():  # both of our biases, as a trained layer of ours has them
        for parameter in ours.parameters():
            nn.init.normal_(parameter)
    agree(theirs(to_keras(ours, fresh), x), run(ours, x))


def test_a_stack_there_and_back(keras: Any, run: Run) -> None:
    def make() -> list[Any]:
        k = keras.layers
        return [
            drawn(k.Bidirectional(k.LSTM(H, return_sequences=True))),
            drawn(k.GRU(5, return_sequences=True), 2 * H),
            drawn(k.Bidirectional(k.GRU(2, return_sequences=True, reset_after=False)), 5),
        ]

    layers = make()
    ours = from_keras(layers)
    x = torch.randn(2, 5, N)
    agree(run(ours, x), theirs(layers, x))
    fresh = make()
    assert to_keras(ours, fresh) is fresh
    agree(theirs(fresh, x), theirs(layers, x))


@pytest.mark.parametrize(
    ("name", "cell"), [("SimpleRNNCell", RNN), ("LSTMCell", LSTM), ("GRUCell", GRU), ("GRUCell", GRUResetBefore)]
)
def test_a_cell_there_and_back(keras: Any, name: str, cell: type[elman.Cell]) -> None:
    options = {"reset_after": False} if cell is GRUResetBefore else {}
    layer = drawn(getattr(keras.layers, name)(H, **options))
    ours = from_keras(layer)
    assert type(ours) is cell
    x, state = torch.randn(2, N), [torch.randn(2, H) for _ in cell.states]
    y, new = ours(x, ours.pack(state))
    expected, expected_state = layer(x, state)
    agree(y.detach(), expected.detach())
    for a, b in zip(new if len(cell.states) > 1 else (new,), expected_state, strict=True):  # h, c on both sides
        agree(a.detach(), b.detach())
    source = cell(N, H)
    agree(source(x, source.pack(state))[0].detach(), to_keras(source, layer)(x, state)[0].detach())


def test_plain_arrays_of_get_weights(keras: Any, run: Run) -> None:
    layer = drawn(keras.layers.Bidirectional(keras.layers.LSTM(H, return_sequences=True)))
    weights = layer.get_weights()
    pair = from_keras(weights[:3], "lstm"), from_keras(weights[3:], "lstm")
    x = torch.randn(2, 5, N)
    agree(run(Recurrent.from_cells([pair], batch_first=True), x), theirs(layer, x))
    fresh = drawn(keras.layers.Bidirectional(keras.layers.LSTM(H, return_sequences=True)))
    fresh.set_weights(to_keras(from_keras(layer)))
    agree(theirs(fresh, x), theirs(layer, x))


def test_a_forget_bias_of_keras_is_in_its_bias(keras: Any) -> None:
    layer = keras.layers.LSTM(H)
    layer.build((None, None, N))
    (cell,) = from_keras(layer).layers[0]
    assert torch.equal(cell.bias_ih.detach(), torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(H))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_same_function(keras: Any, name: str) -> None:
    layer = drawn(keras.layers.SimpleRNN(H, activation=name))
    (cell,) = from_keras(layer).layers[0]
    x = torch.linspace(-6, 6, 121)
    agree(elman.activations.ACTIVATIONS[cell.nonlinearity](x), layer.activation(x))


def lstm(k: Any, **options: Any) -> Any:
    return drawn(k.layers.LSTM(H, **options))


def tanh(x: Tensor) -> Tensor:
    return 2 * x.tanh()


REFUSED: dict[str, tuple[Make, str]] = {
    "dropout": (
        lambda k: lstm(k, dropout=0.2),
        "dropout=0.2, which has no counterpart here; to take the weights alone",
    ),
    "recurrent dropout": (lambda k: lstm(k, recurrent_dropout=0.2), "Keras LSTM has recurrent_dropout=0.2"),
    "stateful": (lambda k: lstm(k, stateful=True), "Keras LSTM has stateful=True"),
    "backwards": (lambda k: lstm(k, go_backwards=True), "Keras LSTM has go_backwards=True"),
    "regularizer": (lambda k: lstm(k, kernel_regularizer="l2"), "Keras LSTM has kernel_regularizer="),
    "activity": (lambda k: lstm(k, activity_regularizer="l2"), "Keras LSTM has activity_regularizer="),
    "constraint": (lambda k: lstm(k, bias_constraint="non_neg"), "Keras LSTM has bias_constraint="),
    "gates": (lambda k: lstm(k, recurrent_activation="hard_sigmoid"), "recurrent_activation='hard_sigmoid'; ours has"),
    "activation": (lambda k: lstm(k, activation="mish"), "Keras LSTM has activation='mish'; valid: tanh, sigmoid"),
    "own activation": (lambda k: lstm(k, activation=tanh), "Keras LSTM has activation='tanh'; valid"),
    "mixed": (lambda k: lstm(k, dtype="mixed_float16"), "keeps float32 and computes in float16"),
    "not built": (lambda k: k.layers.LSTM(H), r"Keras LSTM has no weights yet; build it first: layer.build"),
    "two outputs": (
        lambda k: drawn(k.layers.Bidirectional(k.layers.GRU(H), merge_mode=None)),
        "merge_mode=None; valid: concat, sum, mul, ave",
    ),
    "stack in a direction": (
        lambda k: drawn(k.layers.Bidirectional(k.layers.RNN([k.layers.GRUCell(H), k.layers.GRUCell(H)]))),
        "wrap each layer in a Bidirectional of its own",
    ),
    "two merges": (
        lambda k: [
            drawn(k.layers.Bidirectional(k.layers.GRU(H))),
            drawn(k.layers.Bidirectional(k.layers.GRU(H), merge_mode="sum"), 2 * H),
        ],
        "merge their directions by concat and sum",
    ),
    "cells in a list": (
        lambda k: [drawn(k.layers.GRUCell(H))],
        "a list of Keras layers is a stack of layers; got cells",
    ),
    "a subclass": (lambda k: drawn(type("LSTM", (k.layers.LSTM,), {})(H)), "expected a layer of Keras 3"),
    "another layer": (lambda k: k.layers.Dense(H), r"core.dense.Dense; expected a layer of Keras 3: SimpleRNN"),
    "another cell": (lambda k: k.layers.RNN(type("Own", (k.layers.GRUCell,), {})(H)), "Own; expected a layer of Keras"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_refused(keras: Any, name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        from_keras(make(keras))


def test_a_target_that_does_not_fit_stays_as_it_was(keras: Any) -> None:
    layers = [drawn(keras.layers.SimpleRNN(H)), drawn(keras.layers.SimpleRNN(H, activation="relu"), H)]
    before = [weight for layer in layers for weight in layer.get_weights()]
    for source, message in (
        (Recurrent("rnn", N, H, 2), "has nonlinearity='relu', our RNN 'tanh'"),
        (Recurrent("rnn", N, [H, 5], nonlinearity="tanh"), "Keras SimpleRNN"),
        (Recurrent("rnn", N, H, 2, dropout=0.5), "dropout=0.5 between its layers, the target 0.0"),
        (Recurrent("gru", N, H, 2), "Keras SimpleRNN holds the weights of a RNN, got a GRU"),
        (RNN(N, H), r"source has 1 layer \(one direction\), the target 2 layers"),
    ):
        with pytest.raises(UserError, match=message):
            to_keras(source, layers)
    after = [weight for layer in layers for weight in layer.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))
    with pytest.raises(
        UserError, match=r"would get shape \(5, 4\); expected \(3, 4\); our RNN has 5 inputs and 4 units"
    ):
        to_keras(RNN(5, H), layers[0])
    with pytest.raises(UserError, match="Keras SimpleRNN has no place for bias_ih of gate 'h'"):
        to_keras(RNN(N, H), drawn(keras.layers.SimpleRNN(H, use_bias=False)))
