"""Weights to and from the Flax that is installed: outputs of both sides on random input."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman import Recurrent
from elman.bridge import from_flax, to_flax
from elman.bridge.flax import ACTIVATIONS
from elman.cells import GRU, LSTM, RNN
from elman.errors import UserError

if importlib.util.find_spec("flax") is None:
    pytest.skip("Flax is not installed: pip install elman[bridge]", allow_module_level=True)

Run = Callable[[nn.Module, Tensor], Tensor]
N, H = 3, 4
CELLS = {"SimpleCell": RNN, "LSTMCell": LSTM, "OptimizedLSTMCell": LSTM, "GRUCell": GRU}


@pytest.fixture(scope="module")
def nnx() -> Any:
    return importlib.import_module("flax.nnx")


def drawn(nnx: Any, module: Any) -> Any:
    """The module, every weight drawn anew."""
    for _, variable in nnx.iter_graph(module):
        if isinstance(variable, nnx.Param):
            variable[...] = np.random.normal(size=variable.shape).astype(variable[...].dtype)
    return module


def a_cell(nnx: Any, name: str, inputs: int = N, **options: Any) -> Any:
    zeros = nnx.initializers.zeros_init()  # what is drawn takes JAX seconds
    options |= {"kernel_init": zeros, "recurrent_kernel_init": zeros}
    return drawn(nnx, getattr(nnx, name)(inputs, H, rngs=nnx.Rngs(0), **options))


def zero_hidden_bias_of_n(module: nn.Module) -> nn.Module:
    """nnx's GRU has no such bias."""
    with torch.no_grad():
        for cell in module.modules():
            if isinstance(cell, GRU):
                cell.bias_hh.chunk(3)[2].zero_()
    return module


def agree(ours: Tensor, theirs: Any) -> None:
    assert tuple(ours.shape) == theirs.shape
    assert (ours.detach() - torch.from_numpy(np.array(theirs))).abs().max() <= 1e-5


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_there_and_back(nnx: Any, name: str) -> None:
    theirs = a_cell(nnx, name)
    ours = from_flax(theirs)
    assert type(ours) is CELLS[name]
    x = torch.randn(2, N)
    state = [torch.randn(2, H) for _ in ours.states]
    carry = tuple(each.numpy() for each in reversed(state)) if len(state) == 2 else state[0].numpy()  # (c, h) there
    y, new = ours(x, ours.pack(state))
    expected_carry, expected = theirs(carry, x.numpy())
    agree(y, expected)
    if len(state) == 2:
        for a, b in zip(reversed(new), expected_carry, strict=True):
            agree(a, b)

    source = zero_hidden_bias_of_n(CELLS[name](N, H))  # both of our biases
    target = a_cell(nnx, name)
    assert to_flax(source, target) is target
    agree(source(x, source.pack(state))[0], target(carry, x.numpy())[1])

    params = nnx.to_pure_dict(nnx.state(theirs, nnx.Param))
    again = from_flax(params, type(ours))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters(), strict=True))
    back = to_flax(ours, nnx.state(target, nnx.Param))
    assert back.keys() == params.keys()
    for module, arrays in params.items():
        for array, value in arrays.items():
            np.testing.assert_array_equal(back[module][array], value)


def test_a_layer_there_and_back(nnx: Any, run: Run) -> None:
    def make() -> Any:
        return nnx.RNN(a_cell(nnx, "OptimizedLSTMCell"))

    layer, fresh = make(), make()
    ours = from_flax(layer)
    x = torch.randn(2, 5, N)
    assert isinstance(ours, Recurrent) and ours.batch_first
    agree(run(ours, x), layer(x.numpy()))
    assert to_flax(ours, fresh) is fresh
    agree(run(ours, x), fresh(x.numpy()))


def test_a_stack_there_and_back(nnx: Any, run: Run) -> None:
    def make() -> list[Any]:
        pair = (nnx.RNN(a_cell(nnx, "GRUCell")) for _ in range(2))
        return [
            nnx.Bidirectional(*pair, time_major=True),
            nnx.RNN(a_cell(nnx, "SimpleCell", 2 * H), time_major=True),
        ]

    layers, fresh = make(), make()
    ours = from_flax(layers)
    assert not ours.batch_first
    x = torch.randn(5, 2, N)
    agree(run(ours, x), layers[1](layers[0](x.numpy())))
    to_flax(ours, fresh)
    for old, new in zip(layers, fresh, strict=True):
        for (_, a), (_, b) in zip(nnx.iter_graph(old), nnx.iter_graph(new), strict=True):
            assert not isinstance(a, nnx.Param) or np.array_equal(a[...], b[...])


@pytest.mark.parametrize("name", CELLS)
def test_parameters_of_linen(name: str) -> None:
    jax, linen = importlib.import_module("jax"), importlib.import_module("flax.linen")
    theirs = getattr(linen, name)(H)
    x = torch.randn(2, N)
    carry = theirs.initialize_carry(jax.random.key(0), x.shape)
    shapes = theirs.init(jax.random.key(1), carry, x.numpy())["params"]
    params = jax.tree.map(lambda array: np.random.normal(size=array.shape).astype("float32"), shapes)
    ours = from_flax(params, CELLS[name])
    agree(ours(x)[0], theirs.apply({"params": params}, carry, x.numpy())[1])
    source = CELLS[name](N, H)  # its GRU has a place for the hidden bias of n
    new = to_flax(source, params)
    agree(source(x)[0], theirs.apply({"params": new}, carry, x.numpy())[1])
    for module, arrays in to_flax(ours, new).items():
        for array, value in arrays.items():
            np.testing.assert_array_equal(value, params[module][array])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_same_function(nnx: Any, name: str) -> None:
    function = getattr(importlib.import_module("jax").nn, name)
    cell = from_flax(a_cell(nnx, "SimpleCell", activation_fn=function))
    x = torch.linspace(-6, 6, 121)
    agree(elman.activations.ACTIVATIONS[cell.nonlinearity](x), function(x.numpy()))


def test_the_dtype_goes_along(nnx: Any) -> None:
    bfloat16 = importlib.import_module("jax.numpy").bfloat16
    theirs = a_cell(nnx, "SimpleCell", param_dtype=bfloat16, dtype=None)
    ours = from_flax(theirs)
    assert ours.weight_ih.dtype == torch.bfloat16
    to_flax(RNN(N, H, dtype=torch.float64), theirs)
    assert theirs.dense_i.kernel[...].dtype == bfloat16


Make = Callable[[Any], Any]
REFUSED: dict[str, tuple[Make, str]] = {
    "residual": (lambda nnx: a_cell(nnx, "SimpleCell", residual=True), "Flax SimpleCell has residual=True"),
    "gates": (lambda nnx: a_cell(nnx, "LSTMCell", gate_fn=nnx.hard_sigmoid), "gate_fn='hard_sigmoid'; ours has"),
    "gelu": (lambda nnx: a_cell(nnx, "LSTMCell", activation_fn=nnx.gelu), "activation_fn='gelu'; valid: tanh"),
    "own": (
        lambda nnx: a_cell(nnx, "LSTMCell", activation_fn=np.tanh),
        "Flax LSTMCell has activation_fn='tanh'; valid",
    ),
    "mixed": (lambda nnx: a_cell(nnx, "GRUCell", dtype=np.float16), "Flax GRUCell keeps .*float32.* computes in .*16"),
    "reverse": (lambda nnx: nnx.RNN(a_cell(nnx, "GRUCell"), reverse=True), "Flax RNN has reverse=True.*Bidirectional"),
    "merge": (
        lambda nnx: nnx.Bidirectional(*[nnx.RNN(a_cell(nnx, "GRUCell")) for _ in "ab"], merge_fn=np.add),
        "merge_fn='add'; only its default",
    ),
    "a subclass": (lambda nnx: object.__new__(type("GRUCell", (nnx.GRUCell,), {})), "expected a module of Flax"),
    "a layer in a layer": (lambda nnx: nnx.RNN(nnx.RNN(a_cell(nnx, "GRUCell"))), "got an nnx.RNN inside a layer"),
    "two ways": (
        lambda nnx: [nnx.RNN(a_cell(nnx, "GRUCell")), nnx.RNN(a_cell(nnx, "GRUCell", H), time_major=True)],
        "some layers are time first and some batch first",
    ),
    "an empty list": (lambda nnx: [], "got an empty one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_refused(nnx: Any, name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        from_flax(make(nnx))


def test_a_target_that_does_not_fit_stays_as_it_was(nnx: Any) -> None:
    target = a_cell(nnx, "GRUCell")
    before = nnx.to_pure_dict(nnx.state(target, nnx.Param))
    for source, message in (
        (GRU(N, H), "Flax GRUCell has no place for bias_hh of gate 'n', which is not zero"),
        (GRU(5, H, bias=False), r"dense_i.kernel would get shape \(5, 12\); expected \(3, 12\)"),
        (LSTM(N, H), "Flax GRUCell holds the weights of a GRU, got a LSTM"),
        (Recurrent("gru", N, H, bidirectional=True), "both directions"),
    ):
        with pytest.raises(UserError, match=message):
            to_flax(source, target)
    after = nnx.to_pure_dict(nnx.state(target, nnx.Param))
    np.testing.assert_array_equal(after["dense_i"]["kernel"], before["dense_i"]["kernel"])
    to_flax(GRU(N, H, bias=False), target)
    assert not np.any(target.dense_i.bias[...])
