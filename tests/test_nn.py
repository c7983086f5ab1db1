"""The drop-ins against ``torch.nn``: results, gradients, layouts, ``state_dict`` and errors."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import elman
from elman.errors import UserError
from elman.structure import leaves, map_leaves

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("GRU", {}),
]
SHAPES: list[dict[str, Any]] = [
    {},
    {"num_layers": 3},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"bias": False, "num_layers": 2},
]
DTYPES = [torch.float64, torch.float32]
LENGTHS = {"sorted": [7, 7, 4, 2, 1], "any order": [2, 7, 1, 7, 4], "full": [7] * 5}

every_kind = pytest.mark.parametrize(("kind", "extra"), KINDS, ids=["tanh", "relu", "lstm", "gru"])
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float64", "float32"])


def both(kind: str, *args: Any, **options: Any) -> tuple[nn.Module, nn.Module]:
    theirs = getattr(nn, kind)(*args, **options)
    ours = getattr(elman, kind)(*args, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def a_state(layer: nn.Module, batch: int | None, dtype: torch.dtype) -> Any:
    shape = (layer.num_layers * (1 + layer.bidirectional), *(() if batch is None else (batch,)), layer.hidden_size)
    tensors = tuple(torch.randn(shape, dtype=dtype) for _ in range(2 if layer.mode == "LSTM" else 1))
    return tensors if layer.mode == "LSTM" else tensors[0]


def loss_of(y: Any, state: Any) -> Tensor:
    """A loss in which every output and every final state has a weight of its own."""
    total = torch.zeros((), dtype=leaves(state)[0].dtype)
    for leaf in (y.data if isinstance(y, PackedSequence) else y, *leaves(state)):
        total = total + (leaf * torch.linspace(-1, 1, leaf.numel(), dtype=leaf.dtype).view_as(leaf)).sum()
    return total


@every_kind
@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "given"])
def test_results_and_gradients(
    kind: str,
    extra: dict[str, Any],
    dtype: torch.dtype,
    shape: dict[str, Any],
    given: bool,
    close: Any,
    close_gradients: Any,
) -> None:
    results = []
    layers = both(kind, 5, 6, dtype=dtype, **shape, **extra)
    x = torch.randn(4, 7, 5, dtype=dtype)
    hx = a_state(layers[0], 4 if shape.get("batch_first") else 7, dtype) if given else None
    for layer in layers:
        inputs = [each.clone().requires_grad_() for each in (x, *leaves(hx))]
        state = None if hx is None else (tuple(inputs[1:]) if kind == "LSTM" else inputs[1])
        y, final = layer(inputs[0], state)
        gradients = torch.autograd.grad(loss_of(y, final), [*inputs, *layer.parameters()])
        results.append((y, final, gradients))
    (y, final, gradients), (their_y, their_final, their_gradients) = results
    assert type(final) is type(their_final)
    close((y, final), (their_y, their_final))
    close_gradients(gradients, their_gradients)


@every_kind
@every_dtype
@pytest.mark.parametrize("order", LENGTHS)
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_packed_sequences(
    kind: str,
    extra: dict[str, Any],
    dtype: torch.dtype,
    order: str,
    shape: dict[str, Any],
    close: Any,
    close_gradients: Any,
) -> None:
    lengths = LENGTHS[order]
    ours, theirs = both(kind, 5, 6, dtype=dtype, **shape, **extra)
    x = torch.randn(7, 5, 5, dtype=dtype)
    for hx in (None, a_state(ours, 5, dtype)):
        results = []
        for layer in (ours, theirs):
            packed = pack_padded_sequence(x, lengths, enforce_sorted=order != "any order")
            y, final = layer(packed, hx)
            results.append((y, final, torch.autograd.grad(loss_of(y, final), list(layer.parameters()))))
        (y, final, gradients), (expected, ended, their_gradients) = results
        assert isinstance(y, PackedSequence)
        close((y.data, final), (expected.data, ended))
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            a, b = getattr(y, name), getattr(expected, name)
            assert (a is None and b is None) or torch.equal(a, b)
        close(pad_packed_sequence(y)[0], pad_packed_sequence(expected)[0])
        close_gradients(gradients, their_gradients)


@every_kind
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
@pytest.mark.parametrize("given", [False, True])
def test_unbatched_input(kind: str, extra: dict[str, Any], shape: dict[str, Any], given: bool, close: Any) -> None:
    ours, theirs = both(kind, 5, 6, dtype=torch.float64, **shape, **extra)
    x = torch.randn(7, 5, dtype=torch.float64)
    hx = a_state(ours, None, torch.float64) if given else None
    close(ours(x, hx), theirs(x, hx))


@every_kind
def test_weights_go_both_ways(kind: str, extra: dict[str, Any], close: Any) -> None:
    options = {"num_layers": 2, "bidirectional": True, **extra}
    ours, theirs = getattr(elman, kind)(5, 6, **options), getattr(nn, kind)(5, 6, **options)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 2, 5)
    close(ours(x), theirs(x))
    assert isinstance(ours, getattr(nn, kind))
    assert repr(ours) == repr(theirs)


@every_kind
def test_one_seed_starts_both_alike(kind: str, extra: dict[str, Any]) -> None:
    made = []
    for module in (elman, nn):
        torch.manual_seed(3)
        made.append(getattr(module, kind)(5, 6, num_layers=2, **extra))
    assert all(torch.equal(a, b) for a, b in zip(made[0].parameters(), made[1].parameters(), strict=True))


@every_kind
def test_a_call_draws_no_random_numbers_and_copies_work(kind: str, extra: dict[str, Any], close: Any) -> None:
    layer, x = getattr(elman, kind)(5, 6, **extra), torch.randn(3, 2, 5)
    before = torch.get_rng_state()
    y, _ = layer(x)
    assert torch.equal(torch.get_rng_state(), before)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x)[0], y)


def test_dropout_between_layers() -> None:
    ours = elman.GRU(5, 6, num_layers=2, dropout=0.5)
    x = torch.randn(3, 2, 5)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    ours.eval()
    assert torch.equal(ours(x)[0], ours(x)[0])
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        elman.GRU(5, 6, dropout=0.5)


def test_parametrised_weights_are_followed(close: Any) -> None:
    ours, theirs = both("LSTM", 5, 6, dtype=torch.float64)
    for layer in (ours, theirs):
        nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
        with torch.no_grad():
            layer.parametrizations.weight_hh_l0.original0.mul_(3.0)
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    close(ours(x), theirs(x))


def test_an_empty_sequence_is_allowed_where_torch_refuses_it() -> None:
    y, (h, c) = elman.LSTM(5, 6)(torch.randn(0, 2, 5))
    assert y.shape == (0, 2, 6)
    assert not h.any()
    assert not c.any()


BAD_CALLS: list[tuple[str, Callable[[nn.Module], Any]]] = [
    ("4-D input", lambda layer: layer(torch.randn(2, 2, 2, 5))),
    ("1-D input", lambda layer: layer(torch.randn(5))),
    ("features", lambda layer: layer(torch.randn(3, 2, 4))),
    ("dtype", lambda layer: layer(torch.randn(3, 2, 5, dtype=torch.float64))),
    ("unbatched state", lambda layer: layer(torch.randn(3, 2, 5), a_state(layer, None, torch.float32))),
    ("batched state", lambda layer: layer(torch.randn(3, 5), a_state(layer, 1, torch.float32))),
    ("state's batch", lambda layer: layer(torch.randn(3, 2, 5), a_state(layer, 3, torch.float32))),
    (
        "state's layers",
        lambda layer: layer(torch.randn(3, 2, 5), map_leaves(lambda h: h[:1], a_state(layer, 2, torch.float32))),
    ),
    (
        "state's size",
        lambda layer: layer(torch.randn(3, 2, 5), map_leaves(lambda h: h[..., :1], a_state(layer, 2, torch.float32))),
    ),
]
BAD_PACKED: list[tuple[str, Callable[[nn.Module], Any]]] = [
    ("state's batch", lambda layer: layer(pack_sequence([torch.randn(3, 5)]), a_state(layer, 2, torch.float32))),
    ("features", lambda layer: layer(pack_sequence([torch.randn(3, 4)]))),
]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("call", [case[1] for case in BAD_CALLS], ids=[case[0] for case in BAD_CALLS])
def test_errors_are_torchs(kind: str, call: Callable[[nn.Module], Any]) -> None:
    ours, theirs = both(kind, 5, 6, num_layers=2)
    with pytest.raises(Exception) as expected:
        call(theirs)
    with pytest.raises(expected.type) as raised:
        call(ours)
    # torch.nn.RNN alone says "got 4D tensor instead".
    assert str(raised.value) == str(expected.value).replace("D tensor instead", "D instead")


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("call", [case[1] for case in BAD_PACKED], ids=[case[0] for case in BAD_PACKED])
def test_errors_on_packed_input_are_torchs(kind: str, call: Callable[[nn.Module], Any]) -> None:
    ours, theirs = both(kind, 5, 6, num_layers=2)
    with pytest.raises(RuntimeError) as raised:
        call(ours)
    if kind != "LSTM":  # torch.nn.LSTM does not check packed input
        with pytest.raises(RuntimeError, match=f"^{re.escape(str(raised.value))}$"):
            call(theirs)


@pytest.mark.parametrize(
    "options",
    [{"dropout": 2.0}, {"num_layers": 0}, {"hidden_size": 0}, {"nonlinearity": "sine"}, {"hidden_size": 1.5}],
    ids=str,
)
def test_constructor_errors_are_torchs(options: dict[str, Any]) -> None:
    options = {"input_size": 3, "hidden_size": 4} | options
    with pytest.raises(Exception) as expected:
        nn.RNN(**options)
    with pytest.raises(expected.type, match=f"^{re.escape(str(expected.value))}$"):
        elman.RNN(**options)


def test_projections_are_refused() -> None:
    with pytest.raises(UserError, match=r"proj_size=2 is not supported; leave it out, or use torch.nn.LSTM"):
        elman.LSTM(5, 6, proj_size=2)
