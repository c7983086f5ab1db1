"""The wrappers: each against a loop by hand with the very masks, compiled as eager, alone and in each other."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import elman
from elman.cell import Cell, cells
from elman.cells import GRU, LSTM, MGU, RNN, SCRN, ClockworkRNN, GRUResetBefore
from elman.errors import UserError
from elman.layers import Attention, Dropout, Highway, LayerNorm, Recurrent, Residual, WeightDrop, Wrapper, Zoneout
from elman.structure import leaves, map_leaves

TIME, BATCH, SIZE = 5, 3, 4


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def built(cls: Any, **options: Any) -> Any:
    """A cell of float64 whose output is as large as its input."""
    cell = cls(SIZE, SIZE, dtype=torch.float64, **options)
    size = getattr(cell, "output_size", SIZE)
    return cell if size == SIZE else cls(size, SIZE, dtype=torch.float64, **options)


def first_weight(cell: nn.Module) -> str:
    names = [name for name, _ in cell.named_parameters()]
    return "weight_hh" if "weight_hh" in names else names[0]


def dropout(cell: nn.Module, *, per_sequence: bool = False) -> Dropout:
    return Dropout(cell, input=0.2, output=0.3, state=0.4, per_sequence=per_sequence)


def weight_drop(cell: nn.Module) -> WeightDrop:
    return WeightDrop(cell, 0.4, weights=first_weight(cell))


def three(cell: nn.Module) -> Dropout:
    return dropout(Zoneout(weight_drop(cell), 0.2), per_sequence=True)


def random_input(cell: Any) -> Any:
    wrapped = cell
    while isinstance(wrapped, Wrapper):
        wrapped = wrapped.cell
    if isinstance(wrapped, Cell):
        return wrapped.example_inputs(TIME, BATCH)
    return double(TIME, BATCH, wrapped.input_size)


def random_state(cell: Any, batch: int = BATCH) -> Any:
    return map_leaves(torch.randn_like, cell.initial_state(batch))


def outcome(cell: nn.Module, x: Any, seed: int = 1, **options: Any) -> tuple[list[Tensor], list[Tensor]]:
    """``(output and final state, gradients of x and the parameters)`` of a scan."""
    xs = tuple(each.detach().requires_grad_() for each in (x if isinstance(x, tuple) else (x,)))
    cell.zero_grad()
    torch.manual_seed(seed)
    y, state = elman.scan(cell, xs if isinstance(x, tuple) else xs[0], **options)
    made = [y, *leaves(state)]
    sum((each.sin() * (k + 1)).sum() for k, each in enumerate(made)).backward()  # type: ignore[union-attr]
    wanted = [*xs, *cell.parameters()]
    return [each.detach() for each in made], [torch.zeros_like(w) if w.grad is None else w.grad for w in wanted]


def masks_of(cell: Wrapper, x: Tensor, state: Any, seed: int = 1) -> tuple[Tensor, ...]:
    torch.manual_seed(seed)
    _, begun = cell.begin_scan(x, state, (len(x),))
    assert isinstance(begun, tuple)
    assert begun[0] is x
    return begun[1:]


def by_hand(step: Callable[[int, Any], tuple[Tensor, Any]], state: Any) -> tuple[Tensor, Any]:
    outputs = []
    for t in range(TIME):
        y, state = step(t, state)
        outputs.append(y)
    return torch.stack(outputs), state


def same(cell: nn.Module, x: Any, close: Any, close_gradients: Any, **options: Any) -> None:
    expected, wanted = outcome(cell, x, backend="eager", **options)
    made, gradients = outcome(cell, x, backend="cpu", **options)
    close(made, expected)
    close_gradients(gradients, wanted)
    assert all(bool(each.any()) for each in wanted[1:]), "a parameter without a gradient"


# Each against a loop by hand


@pytest.mark.parametrize("per_sequence", [False, True])
def test_dropout_multiplies_input_states_and_output_by_masks(per_sequence: bool, close: Any) -> None:
    inner = LSTM(3, 4, dtype=torch.float64)
    cell = Dropout(inner, input=0.2, output=0.3, state=(0.4, 0.1), per_sequence=per_sequence)
    x, state = double(TIME, BATCH, 3), random_state(inner)
    on_x, on_h, on_c, on_y = masks_of(cell, x, state)

    def step(t: int, state: Any) -> tuple[Tensor, Any]:
        h, c = state
        y, state = inner(x[t] * on_x[t], (h * on_h[t], c * on_c[t]))
        return y * on_y[t], state

    torch.manual_seed(1)
    close(elman.scan(cell, x, state, backend="eager"), by_hand(step, state))


@settings(max_examples=15)
@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from([GRU, LSTM, RNN]),
)
def test_dropout_with_any_probabilities(
    into: float, out: float, past: float, per_sequence: bool, batch: int, cls: type[Cell]
) -> None:
    inner = cls(3, 4, dtype=torch.float64)
    cell = Dropout(inner, input=into, output=out, state=past, per_sequence=per_sequence)
    x, state = double(TIME, batch, 3), random_state(inner, batch)
    torch.manual_seed(2)
    _, begun = cell.begin_scan(x, state, (TIME,))
    drawn = iter(begun[1:] if isinstance(begun, tuple) else ())
    one = torch.ones(TIME, batch, 1, dtype=torch.float64)
    on_x, on_h, on_y = (next(drawn) if p else one for p in (into, past, out))

    def step(t: int, state: Any) -> tuple[Tensor, Any]:
        h, *others = leaves(state)
        y, state = inner(x[t] * on_x[t], inner.pack([h * on_h[t], *others]))
        return y * on_y[t], state

    torch.manual_seed(2)
    y, final = elman.scan(cell, x, state, backend="eager")
    expected, last = by_hand(step, state)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(leaves(final), leaves(last))


def test_zoneout_keeps_old_values_where_the_mask_says_so(close: Any) -> None:
    inner = LSTM(3, 4, dtype=torch.float64)
    cell = Zoneout(inner, (0.1, 0.5))
    x, state = double(TIME, BATCH, 3), random_state(inner)
    keeps_h, keeps_c = (mask.double() for mask in masks_of(cell, x, state))

    def step(t: int, state: Any) -> tuple[Tensor, Any]:
        _, (h, c) = inner(x[t], state)
        h = keeps_h[t] * state[0] + (1 - keeps_h[t]) * h
        return h, (h, keeps_c[t] * state[1] + (1 - keeps_c[t]) * c)

    torch.manual_seed(1)
    close(elman.scan(cell, x, state, backend="eager"), by_hand(step, state))


def test_zoneout_in_evaluation_is_the_expectation(close: Any) -> None:
    inner = LSTM(3, 4, dtype=torch.float64)
    cell = Zoneout(inner, (0.1, 0.5)).eval()
    x, state = double(TIME, BATCH, 3), random_state(inner)

    def step(t: int, state: Any) -> tuple[Tensor, Any]:
        _, (h, c) = inner(x[t], state)
        h = 0.1 * state[0] + 0.9 * h
        return h, (h, 0.5 * state[1] + 0.5 * c)

    close(elman.scan(cell, x, state, backend="eager"), by_hand(step, state))


def test_zoneout_leaves_an_output_made_of_states_to_the_cell(close: Any) -> None:
    inner = SCRN(3, 4, context_size=2, dtype=torch.float64)
    x, state = double(1, BATCH, 3), random_state(inner)
    y, final = elman.scan(Zoneout(inner, 1.0), x, state, backend="eager")
    close(y[0], inner(x[0], state)[0])
    close(final, state)


@pytest.mark.parametrize("wrap", [lambda cell: cell, lambda cell: Residual(cell), lambda cell: Attention(cell, 2)])
def test_zoneout_by_one_number_leaves_counters_and_memories_alone(wrap: Any) -> None:
    cell = Zoneout(wrap(ClockworkRNN(4, 4)), 1.0)
    _, state = elman.scan(cell, torch.randn(3, BATCH, 4), backend="eager")
    h, t = state[0] if isinstance(state[0], tuple) else state
    assert not h.any() and (t == 3).all()
    assert all(each.any() for each in state[1:])


@pytest.mark.parametrize("cls", [LSTM, nn.LSTMCell])
def test_weight_drop_runs_the_cell_with_one_masked_weight(cls: Any, close: Any, close_gradients: Any) -> None:
    inner = cls(3, 4, dtype=torch.float64)
    cell, x = WeightDrop(inner, 0.3), double(TIME, BATCH, 3)
    made, gradients = outcome(cell, x, seed=5, backend="eager")
    torch.manual_seed(5)
    kept = torch.empty_like(inner.weight_hh).bernoulli_(0.7) / 0.7
    masked = copy.deepcopy(inner)
    with torch.no_grad():
        masked.weight_hh.mul_(kept)
    expected, wanted = outcome(masked, x, backend="eager")
    names = [name for name, _ in masked.named_parameters()]
    wanted[1 + names.index("weight_hh")] *= kept
    close(made, expected)
    close_gradients(gradients, wanted)


def test_weight_drop_finds_weights_by_name_through_other_wrappers() -> None:
    inner = LSTM(3, 4)
    cell = WeightDrop(Zoneout(LayerNorm(inner), 0.1), 1.0, weights=["weight_hh", "cell.cell.bias_ih"])
    elman.scan(cell, torch.randn(TIME, BATCH, 3), backend="eager")[0].sum().backward()
    assert inner.weight_hh.grad is not None and not inner.weight_hh.grad.any()
    assert inner.bias_ih is not None and inner.bias_ih.grad is not None and not inner.bias_ih.grad.any()
    assert inner.weight_ih.grad is not None and inner.weight_ih.grad.any()


def test_highway_mixes_the_output_with_x(close: Any) -> None:
    inner = GRU(4, 4, dtype=torch.float64)
    cell, x = Highway(inner), double(TIME, BATCH, 4)
    assert torch.equal(cell.gate.bias, torch.full_like(cell.gate.bias, -1.0))
    g = torch.sigmoid(x @ cell.gate.weight.T - 1)
    y, h = elman.scan(inner, x, backend="eager")
    close(elman.scan(cell, x, backend="eager"), (g * y + (1 - g) * x, h))


def normal(z: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + eps)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def norm_weights(
    cell: LayerNorm,
) -> tuple[Callable[[np.ndarray, int], np.ndarray], Callable[[np.ndarray, int], np.ndarray]]:
    """The normalised pre-activations of gate k from x and from h, with gains that are not 1."""
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    own = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    count = len(cell.cell.gates)  # type: ignore[arg-type]

    def part(kind: str, v: np.ndarray, k: int) -> np.ndarray:
        weight, gain, bias = (
            np.split(own[name], count)[k] for name in (f"cell.weight_{kind}", f"gain_{kind}", f"cell.bias_{kind}")
        )
        return normal(v @ weight.T) * gain + bias

    return lambda x, k: part("ih", x, k), lambda h, k: part("hh", h, k)


def test_layer_norm_of_an_lstm(close: Any) -> None:
    cell = LayerNorm(LSTM(3, 4, dtype=torch.float64))
    from_x, from_h = norm_weights(cell)
    x = double(TIME, BATCH, 3)
    h = c = np.zeros((BATCH, 4))
    outputs = []
    for x_t in x.numpy():
        i, f, g, o = (from_x(x_t, k) + from_h(h, k) for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    close(elman.scan(cell, x, backend="eager"), (np.stack(outputs), (h, c)))


def test_layer_norm_of_a_gate_that_is_asked_for_by_itself(close: Any) -> None:
    cell = LayerNorm(GRUResetBefore(3, 4, dtype=torch.float64))
    assert cell.cell.gates == ("r", "z", "n")
    from_x, from_h = norm_weights(cell)
    x, h = double(TIME, BATCH, 3), np.zeros((BATCH, 4))
    outputs = []
    for x_t in x.numpy():
        r, z = (sigmoid(from_x(x_t, k) + from_h(h, k)) for k in range(2))
        n = np.tanh(from_x(x_t, 2) + from_h(r * h, 2))
        h = (1 - z) * n + z * h
        outputs.append(h)
    close(elman.scan(cell, x, backend="eager"), (np.stack(outputs), h))


def test_layer_norm_reads_ids_as_one_hot_vectors(close: Any) -> None:
    cell, ids = LayerNorm(GRU(6, 4, dtype=torch.float64)), torch.randint(6, (TIME, BATCH))
    vectors = nn.functional.one_hot(ids, 6).double()
    close(elman.scan(cell, ids, backend="eager"), elman.scan(cell, vectors, backend="eager"))


def test_attention_looks_at_the_last_outputs(close: Any) -> None:
    inner, n = RNN(3, 4, dtype=torch.float64), 2
    cell = Attention(inner, n, attention_size=5)
    own = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    x = double(TIME, BATCH, 3)
    h, context = np.zeros((BATCH, 4)), np.zeros((BATCH, 4))
    memory, keys = [np.zeros((BATCH, 4))] * n, [np.zeros((BATCH, 5))] * n
    outputs = []
    for x_t in x.numpy():
        mixed = np.concatenate([x_t, context], -1) @ own["mix_in.weight"].T + own["mix_in.bias"]
        z = mixed @ own["cell.weight_ih"].T + own["cell.bias_ih"] + h @ own["cell.weight_hh"].T + own["cell.bias_hh"]
        h = np.tanh(z)
        e = np.stack([np.tanh(h @ own["query.weight"].T + key) @ own["score"] for key in keys])
        a = np.exp(e) / np.exp(e).sum(0)
        context = np.einsum("nb,nbh->bh", a, np.stack(memory))
        y = np.concatenate([h, context], -1) @ own["mix_out.weight"].T + own["mix_out.bias"]
        memory, keys = [*memory[1:], y], [*keys[1:], y @ own["key.weight"].T + own["key.bias"]]
        outputs.append(y)
    y, state = elman.scan(cell, x, backend="eager")
    close(y, np.stack(outputs))
    close(list(state), [h, context, np.concatenate(memory, -1), np.concatenate(keys, -1)])


# Masks


def share(found: Tensor, p: float) -> bool:
    """Whether so many are true, within four standard deviations."""
    return abs(found.double().mean().item() - p) < 4 * (p * (1 - p) / found.numel()) ** 0.5


def test_masks_of_dropout_are_as_likely_as_told_and_scaled() -> None:
    inner = LSTM(20, 30)
    cell = Dropout(inner, input=0.2, output=0.5, state=(0.3, 0.7))
    x = torch.randn(40, 16, 20)
    for mask, p in zip(masks_of(cell, x, inner.initial_state(16)), (0.2, 0.3, 0.7, 0.5), strict=True):
        assert share(mask == 0, p)
        torch.testing.assert_close(mask[mask != 0].unique(), torch.tensor([1 / (1 - p)]))
        assert not torch.equal(mask[0], mask[1]) and not torch.equal(mask[:, 0], mask[:, 1])


def test_one_mask_a_sequence_is_another_one_in_each_row_and_each_scan() -> None:
    inner = LSTM(20, 30)
    cell = Dropout(inner, input=0.2, output=0.5, state=0.3, per_sequence=True)
    x, state = torch.randn(40, 16, 20), inner.initial_state(16)
    for first, second in zip(masks_of(cell, x, state), masks_of(cell, x, state, seed=2), strict=True):
        assert all(torch.equal(a, b) for a, b in pairwise(first))
        assert not torch.equal(first[0, 0], first[0, 1])
        assert not torch.equal(first, second)


def test_masks_of_zoneout_are_as_likely_as_told() -> None:
    inner = LSTM(20, 30)
    for mask, z in zip(
        masks_of(Zoneout(inner, (0.1, 0.5)), torch.randn(40, 16, 20), inner.initial_state(16)), (0.1, 0.5), strict=True
    ):
        assert mask.shape == (40, 16, 30)
        assert share(mask, z)
        assert not torch.equal(mask[0], mask[1])


def test_weights_dropped_are_as_many_as_told() -> None:
    cell = WeightDrop(GRU(2, 80), 0.3)
    step, _ = cell.begin_scan(torch.zeros(1, 1, 2), cell.initial_state(1), (1,))
    dropped = step.weight_hh == 0
    assert share(dropped, 0.3)
    torch.testing.assert_close(step.weight_hh[~dropped], cell.cell.weight_hh[~dropped] / 0.7)
    assert step.weight_ih is cell.cell.weight_ih


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_ends_of_the_range(p: float, close: Any) -> None:
    x, inner = double(TIME, BATCH, 3), GRU(3, 4, dtype=torch.float64)

    def scan(cell: nn.Module, state: Any = None) -> Any:
        return elman.scan(cell, x, state, backend="eager")

    y, h = scan(inner)
    close(scan(Dropout(inner, output=p)), ((1 - p) * y, h))
    state = random_state(inner)
    close(scan(Zoneout(inner, p), state)[1], state if p else scan(inner, state)[1])
    no_weight = copy.deepcopy(inner)
    nn.init.zeros_(no_weight.weight_hh)
    close(scan(WeightDrop(inner, p)), scan(no_weight if p else inner))


@pytest.mark.parametrize("wrap", [dropout, weight_drop], ids=["dropout", "weight_drop"])
def test_in_evaluation_nothing_is_dropped_and_nothing_drawn(wrap: Callable[[nn.Module], Wrapper], close: Any) -> None:
    inner = LSTM(3, 4, dtype=torch.float64)
    cell, x = wrap(inner).eval(), double(TIME, BATCH, 3)
    before = torch.get_rng_state()
    close(elman.scan(cell, x, backend="eager"), elman.scan(inner, x, backend="eager"))
    elman.scan(Zoneout(inner, 0.5).eval(), x, backend="eager")
    assert torch.equal(torch.get_rng_state(), before)


# Compiled


QUICK = {
    "dropout": (dropout, LSTM),
    "per_sequence": (lambda cell: dropout(cell, per_sequence=True), RNN),
    "zoneout": (lambda cell: Zoneout(cell, 0.3), LSTM),
    "weight_drop": (weight_drop, nn.GRUCell),
    "residual": (Residual, nn.RNNCell),
    "highway": (Highway, SCRN),
    "layer_norm": (LayerNorm, MGU),
    "attention": (lambda cell: Attention(cell, 2), RNN),
}


@pytest.mark.parametrize("name", QUICK)
def test_compiled_as_eager(name: str, close: Any, close_gradients: Any) -> None:
    wrap, cls = QUICK[name]
    cell = wrap(built(cls))
    same(cell, random_input(cell), close, close_gradients)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: three(GRU(3, 4, dtype=torch.float64)),
        pytest.param(lambda: three(LayerNorm(LSTM(4, 4, dtype=torch.float64))), marks=pytest.mark.slow),
        pytest.param(lambda: three(Residual(nn.LSTMCell(4, 4, dtype=torch.float64))), marks=pytest.mark.slow),
        pytest.param(
            lambda: Residual(Attention(three(Highway(LayerNorm(GRU(4, 4, dtype=torch.float64)))), 3)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_several_in_each_other_with_lengths_and_resets(
    make: Callable[[], Wrapper], reverse: bool, close: Any, close_gradients: Any
) -> None:
    cell = make()
    resets = torch.rand(TIME, BATCH) < 0.3
    same(cell, random_input(cell), close, close_gradients, lengths=[5, 0, 3], resets=resets, reverse=reverse)


NO_LAYER_NORM = {
    "antisymmetricrnn": "its U - U^T is made of weight_hh in the step",
    "clockworkrnn": "its U is masked in the step",
    "minimalrnn": "its weight_hh is no row of its gate z",
}
ALL = {
    "dropout": dropout,
    "zoneout": QUICK["zoneout"][0],
    "weight_drop": weight_drop,
    "layer_norm": LayerNorm,
    "residual and highway": lambda cell: Residual(Highway(cell)),
    "attention": QUICK["attention"][0],
}
EVERY_CELL = [name for name, cls in cells().items() if cls.__module__.startswith("elman.cells.")]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_CELL)
@pytest.mark.parametrize("wrapper", ALL)
def test_every_wrapper_on_every_cell(wrapper: str, name: str, close: Any, close_gradients: Any) -> None:
    inner = built(cells()[name])
    if wrapper == "layer_norm" and (name in NO_LAYER_NORM or not inner.gates):
        with pytest.raises(UserError, match=r"without self.recur|has no gates"):
            LayerNorm(inner)
        return
    cell = ALL[wrapper](inner)
    same(cell, random_input(cell), close, close_gradients, lengths=[5, 2, 4])


# In the house


def test_a_layer_draws_for_each_direction(close: Any) -> None:
    layer = Recurrent(
        lambda i, h: Dropout(GRU(i, h, dtype=torch.float64), output=0.5, per_sequence=True),
        3,
        4,
        bidirectional=True,
    )
    assert layer.output_size == 8
    x = double(TIME, BATCH, 3)
    torch.manual_seed(4)
    y, states = layer(x, lengths=[5, 2, 3])
    torch.manual_seed(4)
    expected, finals = x, []
    for forward, backward in layer.layers:
        a, ended = elman.scan(forward, expected, lengths=[5, 2, 3], backend="eager")
        b, began = elman.scan(backward, expected, lengths=[5, 2, 3], reverse=True, backend="eager")
        assert not torch.equal(a[0] == 0, b[0] == 0)
        expected = torch.cat([a, b], -1)
        finals.append((ended, began))
    close(y, expected)
    close(states, finals)


def test_built_cells_in_a_stack_fit_by_their_sizes() -> None:
    stack = Recurrent.from_cells([Zoneout(LSTM(3, 4), 0.1), Residual(Dropout(GRU(4, 4), state=0.2))])
    assert stack.output_size == 4
    assert [len(leaves(state)) for state in stack.initial_state(2)] == [2, 1]
    with pytest.raises(UserError, match="Zoneout takes 3 features, but the layer before gives 4"):
        Recurrent.from_cells([Zoneout(LSTM(3, 4), 0.1), Zoneout(LSTM(3, 4), 0.1)])


def test_a_row_that_is_reset_keeps_its_masks() -> None:
    cell = Dropout(RNN(3, 64), output=0.5, per_sequence=True)
    resets = torch.zeros(TIME, 1, dtype=torch.bool)
    resets[2] = True
    y, _ = elman.scan(cell, torch.randn(TIME, 1, 3), resets=resets, backend="eager")
    assert all(torch.equal(a == 0, b == 0) for a, b in pairwise(y))


def test_truncated_backpropagation_draws_anew_in_each_window(close: Any, close_gradients: Any) -> None:
    cell = three(GRU(3, 4, dtype=torch.float64))
    tb = elman.TBPTT(Recurrent.from_cells([cell]), k1=2)
    windows = [double(2, BATCH, 3) for _ in range(2)]
    torch.manual_seed(6)
    losses = [tb.backward(lambda y, target: (y - target).square().mean(), x, 1.0) for x in windows]
    gradients = [parameter.grad for parameter in cell.parameters()]
    cell.zero_grad()
    torch.manual_seed(6)
    state, expected = cell.initial_state(BATCH), []
    for x in windows:
        y, state = elman.scan(cell, x, state.detach())
        expected.append((y - 1).square().mean())
        expected[-1].backward()
    close(losses, expected)
    close_gradients(gradients, [parameter.grad for parameter in cell.parameters()])


@pytest.mark.parametrize(
    "wrap", [three, pytest.param(lambda cell: Attention(dropout(cell), 2), marks=pytest.mark.slow)]
)
def test_a_stream_is_the_scan_in_evaluation(wrap: Callable[[nn.Module], Wrapper], close: Any) -> None:
    cell = wrap(GRU(3, 4, dtype=torch.float64))
    x = double(TIME, BATCH, 3)
    stream = elman.Stream(cell, batch_size=BATCH)
    outputs = torch.stack([stream(x_t) for x_t in x])
    assert stream.reason == ""
    y, state = elman.scan(cell.eval(), x, backend="eager")
    close(outputs, y)
    close(stream.state, state)


def test_called_by_itself_a_wrapper_takes_a_sequence_of_one_step(close: Any) -> None:
    cell = Attention(dropout(Zoneout(LSTM(4, 4, dtype=torch.float64), 0.3)), 2)
    x, state = double(1, BATCH, 4), random_state(cell)
    torch.manual_seed(7)
    y, final = elman.scan(cell, x, state, backend="eager")
    torch.manual_seed(7)
    close(cell(x[0], state), (y[0], final))
    assert cell(x[0])[0].shape == (BATCH, 4)


def test_extra_inputs_go_to_the_cell(close: Any) -> None:
    class Timed(Cell, register=False):
        inputs = ("x", "t")

        def step(self, x: Any, t: Tensor, h: Tensor) -> Tensor:
            return torch.tanh(x.raw * t + h)

    cell = Dropout(Zoneout(Timed(3, 3), 0.4), input=0.3, state=0.2)
    x, t, h = double(TIME, BATCH, 3), double(TIME, BATCH, 1), double(BATCH, 3)
    torch.manual_seed(8)
    made = elman.scan(cell, (x, t), h, backend="cpu")
    torch.manual_seed(8)
    _, (_, _, stays, on_x, on_h) = cell.begin_scan((x, t), h, (TIME,))  # type: ignore[misc]

    def step(k: int, h: Tensor) -> tuple[Tensor, Tensor]:
        fed = h * on_h[k]
        h = torch.where(stays[k], fed, torch.tanh(x[k] * on_x[k] * t[k] + fed))
        return h, h

    close(made, by_hand(step, h))


def test_torch_compile_has_one_graph_with_the_same_masks(close: Any, close_gradients: Any) -> None:
    cell, x = three(GRU(3, 4, dtype=torch.float64)), double(TIME, BATCH, 3)
    compiled = torch.compile(lambda x: elman.scan(cell, x, backend="cpu")[0], backend="aot_eager", fullgraph=True)
    found = []
    for run in (compiled, lambda x: elman.scan(cell, x, backend="cpu")[0]):
        cell.zero_grad()
        torch.manual_seed(9)
        y = run(x)
        y.square().sum().backward()
        found.append((y.detach(), [parameter.grad.clone() for parameter in cell.parameters()]))  # type: ignore[union-attr]
    torch._dynamo.reset()
    close(found[0][0], found[1][0])
    close_gradients(found[0][1], found[1][1])


def test_a_checkpoint_draws_the_same_masks_again(close_gradients: Any) -> None:
    cell, x = three(GRU(3, 4, dtype=torch.float64)), double(TIME, BATCH, 3)
    _, expected = outcome(cell, x)
    found = x.clone().requires_grad_()
    cell.zero_grad()
    torch.manual_seed(1)
    y, h = checkpoint(lambda x: elman.scan(cell, x), found, use_reentrant=False)
    (y.sin().sum() + 2 * h.sin().sum()).backward()
    close_gradients([found.grad, *(parameter.grad for parameter in cell.parameters())], expected)


def test_copies_and_saved_states_are_equal(close: Any) -> None:
    cell = Attention(three(LayerNorm(LSTM(4, 4, dtype=torch.float64))), 2)
    x = double(TIME, BATCH, 4)
    expected, _ = outcome(cell, x, backend="eager")
    other = Attention(three(LayerNorm(LSTM(4, 4, dtype=torch.float64))), 2)
    other.load_state_dict(cell.state_dict())
    assert "cell.cell.cell.cell.cell.weight_hh" in cell.state_dict()
    for each in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell)), other):
        close(outcome(each, x, backend="eager")[0], expected)


def test_explain_names_the_layer_and_draws_nothing() -> None:
    layer = Recurrent(lambda i, h: WeightDrop(dropout(RNN(i, h))), 3, 4)
    before = torch.get_rng_state()
    (explanation,) = elman.explain(layer, torch.zeros(TIME, BATCH, 3))
    assert (explanation.name, explanation.backend) == ("layers.0.0 (WeightDrop)", "cpu")
    elman.explain(layer.layers[0][0], torch.zeros(TIME, BATCH, 3))
    assert torch.equal(torch.get_rng_state(), before)


class Noisy(nn.Module):
    """A step of a user's own that wants noise, drawn before the loop."""

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 2)

    def begin_scan(self, x: Tensor, state: Tensor, lead: tuple[int, ...]) -> tuple[nn.Module, Any]:
        return self, (x, torch.randn(*lead, *state.shape))

    def forward(self, inputs: tuple[Tensor, Tensor], h: Tensor) -> Tensor:
        x, noise = inputs
        return torch.tanh(x + h + noise)


def test_any_module_may_draw_before_the_loop(close: Any) -> None:
    x = torch.randn(TIME, BATCH, 2)
    torch.manual_seed(3)
    noise = torch.randn(TIME, BATCH, 2)
    torch.manual_seed(3)
    made = elman.scan(Noisy(), x, backend="cpu")

    def step(t: int, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x[t] + h + noise[t])
        return h, h

    close(made, by_hand(step, torch.zeros(BATCH, 2)))


# Mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dropout(GRU(3, 4), input=1.5), r"input=1.5; give the probability of dropping, between 0 and 1"),
        (lambda: Dropout(GRU(3, 4), output=-0.1), "output=-0.1"),
        (lambda: Dropout(GRU(3, 4), output=True), "output=True"),
        (lambda: Dropout(LSTM(3, 4), state=(0.1, 2.0)), r"state\[1\]=2.0"),
        (lambda: Dropout(LSTM(3, 4), state=(0.1,)), "got 1 probabilities for 2 states"),
        (lambda: Zoneout(GRU(3, 4), float("nan")), "Zoneout got state=nan"),
        (lambda: Zoneout(GRU(3, 4), "0.1"), "Zoneout got state='0.1'"),  # type: ignore[arg-type]
        (lambda: Zoneout(GRU(3, 4), (0.1, 0.1)), "got 2 probabilities for 1 states"),
        (lambda: WeightDrop(GRU(3, 4), 2), "WeightDrop got p=2"),
        (
            lambda: WeightDrop(GRU(3, 4), weights="weigth_hh"),
            "GRU has no parameter 'weigth_hh'; did you mean 'weight_hh'",
        ),
        (lambda: WeightDrop(GRU(3, 4), weights=()), "no names of weights"),
        (lambda: WeightDrop(Noisy()), "Noisy has no parameter 'weight_hh'; it has none"),
        (lambda: Residual(GRU(3, 4)), "GRU takes 3 features and gives 4; make them equal"),
        (lambda: Highway(nn.GRUCell(3, 4)), "GRUCell takes 3 features and gives 4"),
        (lambda: Highway(Noisy()), "Noisy does not tell its sizes"),
        (lambda: Attention(Noisy(), 2), "Noisy does not tell the size of x"),
        (lambda: Attention(GRU(3, 4), 0), "length=0; give a whole number of at least 1"),
        (lambda: Attention(GRU(3, 4), 2, attention_size=0), "attention_size=0"),
        (lambda: LayerNorm(nn.GRUCell(3, 4)), "LayerNorm got a GRUCell; it normalises the gates of an elman.Cell"),  # type: ignore[arg-type]
        (lambda: LayerNorm(Zoneout(GRU(3, 4), 0.1)), "put it inside, LayerNorm on the cell itself"),  # type: ignore[arg-type]
        (lambda: Zoneout(GRU, 0.1), r"got the class GRU; give a built cell"),  # type: ignore[arg-type]
        (lambda: Residual(lambda x, h: h), "got a function; give a built cell"),  # type: ignore[arg-type]
    ],
)
def test_a_wrapper_that_cannot_be_built(make: Callable[[], Wrapper], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_a_cell_without_gates_or_recur_has_nothing_to_normalise() -> None:
    class Own(Cell, register=False):
        def step(self, x: Any, h: Tensor) -> Tensor:
            return x.raw + h

    class Hidden(Own, register=False):
        gates = ("h",)

        def step(self, x: Any, h: Tensor) -> Tensor:
            return torch.tanh(x.h + h @ self.weight_hh.T)

    with pytest.raises(UserError, match="Own has no gates"):
        LayerNorm(Own(3, 3))
    with pytest.raises(UserError, match="Hidden makes its recurrent product without"):
        LayerNorm(Hidden(3, 3))


@pytest.mark.parametrize("wrap", [dropout, Residual, Highway, lambda cell: Attention(cell, 2)])
@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_ids_are_no_vectors(wrap: Callable[[nn.Module], Wrapper], backend: str) -> None:
    with pytest.raises(UserError, match="look the ids up in an embedding first"):
        elman.scan(wrap(GRU(4, 4)), torch.zeros(TIME, BATCH, dtype=torch.int64), backend=backend)


@pytest.mark.parametrize("wrap", [dropout, weight_drop, lambda cell: Attention(cell, 2)])
@pytest.mark.parametrize("state", [torch.zeros(BATCH, 5), (torch.zeros(BATCH, 4),)])
def test_a_state_that_does_not_fit(wrap: Callable[[nn.Module], Wrapper], state: Any) -> None:
    cell = wrap(GRU(4, 4))
    for run in (
        lambda: elman.scan(cell, torch.zeros(TIME, BATCH, 4), state),
        lambda: cell(torch.zeros(BATCH, 4), state),
    ):
        with pytest.raises(UserError, match="got the state"):
            run()


def test_foreign_steps_tell_mistakes_when_they_run() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor, h: Tensor) -> Tensor:
            return x + h

    x, h = torch.randn(TIME, BATCH, 2), torch.zeros(BATCH, 2)
    with pytest.raises(UserError, match="got 2 probabilities for 1 states"):
        elman.scan(Zoneout(Sum(), (0.1, 0.1)), x, h)
    with pytest.raises(UserError, match="Sum has no start state"):
        elman.scan(Zoneout(Sum(), 0.1), x)
    with pytest.raises(UserError, match="Sum does not say the size of its output"):
        elman.scan(Dropout(Sum(), output=0.1), x, h)
    y, _ = elman.scan(Residual(Sum()), x, h, backend="cpu")
    torch.testing.assert_close(y, x + x.cumsum(0))
