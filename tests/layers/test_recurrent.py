"""``Recurrent``: stacks, directions, dropout, start states."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman import Recurrent
from elman.cells import GRU, LSTM, RNN, SCRN, MinimalRNN
from elman.errors import UserError
from elman.structure import leaves, map_leaves

MERGED = {
    "concat": lambda a, b: torch.cat([a, b], -1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: 0.5 * a + 0.5 * b,
    "mul": lambda a, b: a * b,
}


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_a_stack_of_different_cells_and_sizes_is_one_scan_after_another(close: Any) -> None:
    stack = Recurrent(["lstm", SCRN, GRU], 3, [4, 5, 2], dtype=torch.float64)
    assert [type(layer[0]) for layer in stack.layers] == [LSTM, SCRN, GRU]
    assert [layer[0].input_size for layer in stack.layers] == [3, 4, 10]  # SCRN gives hidden and context
    assert stack.output_size == 2
    x, lengths = double(6, 3, 3), [6, 0, 4]
    y, states, every = stack(x, lengths=lengths, return_states=True)
    expected = x
    for depth, (cell,) in enumerate(stack.layers):
        expected, final, history = elman.scan(cell, expected, lengths=lengths, return_states=True)
        close(states[depth], final)
        close(every[depth], history)
    close(y, expected)
    close(stack(x[2:], stack(x[:2])[1])[0], stack(x)[0][2:])


def test_options_go_to_the_cells_that_have_them() -> None:
    stack = Recurrent(["rnn", "scrn"], 3, 4, nonlinearity="relu", alpha=0.5, init="xavier")
    assert [layer[0].nonlinearity for layer in stack.layers] == ["relu", "relu"]
    assert stack.layers[1][0].alpha == 0.5
    assert {layer[0].init for layer in stack.layers} == {"xavier"}


def test_a_forget_bias_goes_to_the_cells_with_a_forget_gate() -> None:
    stack = Recurrent(["lstm", "gru", MinimalRNN], 3, 4, forget_bias=2.0, bidirectional=True)
    assert [[cell.forget_bias for cell in layer] for layer in stack.layers] == [[2.0] * 2, [None] * 2, [2.0] * 2]
    assert all(sum(cell.forget_biases).eq(2).all() for k in (0, 2) for cell in stack.layers[k])  # type: ignore[arg-type]


@pytest.mark.parametrize("merge", MERGED)
@pytest.mark.parametrize("lengths", [None, [5, 0, 2]])
def test_two_directions_are_merged_as_named(merge: str, lengths: Any, close: Any) -> None:
    layer = Recurrent("gru", 3, 4, num_layers=2, bidirectional=True, merge=merge, dtype=torch.float64)
    assert layer.output_size == (8 if merge == "concat" else 4)
    x = double(5, 3, 3)
    y, states = layer(x, lengths=lengths)
    expected, finals = x, []
    for forward, backward in layer.layers:
        a, ended = elman.scan(forward, expected, lengths=lengths)
        b, began = elman.scan(backward, expected, lengths=lengths, reverse=True)
        expected = MERGED[merge](a, b)
        finals.append((ended, began))
    close(y, expected)
    close(states, finals)


def test_states_given_to_two_directions_go_to_each(close: Any) -> None:
    layer = Recurrent("lstm", 3, 4, bidirectional=True, dtype=torch.float64)
    x = double(5, 2, 3)
    given = map_leaves(torch.randn_like, layer.initial_state(2))
    y, _ = layer(x, given)
    forward, backward = layer.layers[0]
    close(y[..., :4], elman.scan(forward, x, given[0][0])[0])
    close(y[..., 4:], elman.scan(backward, x, given[0][1], reverse=True)[0])


def test_batch_first_only_turns_x_y_and_resets(close: Any) -> None:
    layer = Recurrent("lstm", 3, 4, num_layers=2, dtype=torch.float64)
    turned = copy.deepcopy(layer)
    turned.batch_first = True
    x, resets = double(5, 2, 3), torch.rand(5, 2) < 0.3
    y, states, every = layer(x, lengths=[3, 5], resets=resets, return_states=True)
    out, after, steps = turned(x.transpose(0, 1), lengths=[3, 5], resets=resets.T, return_states=True)
    close(out.transpose(0, 1), y)
    close(after, states)
    close(steps, every)


class Passing(nn.Module):
    """A cell whose output is its input."""

    input_size = hidden_size = output_size = 4

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return x, h

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 1)


def test_dropout_acts_between_layers_and_nowhere_else() -> None:
    below = RNN(3, 4)
    layer = Recurrent.from_cells([below, Passing()], dropout=0.5)
    x = torch.randn(50, 8, 3)
    seen, states = layer(x)
    clean, final = elman.scan(below, x)
    kept = seen != 0
    assert 0.4 < kept.float().mean() < 0.6
    torch.testing.assert_close(seen[kept], 2 * clean[kept])  # 1 / (1 - 0.5)
    torch.testing.assert_close(states[0], final)
    layer.eval()
    torch.testing.assert_close(layer(x)[0], clean)


def test_locked_dropout_drops_the_same_units_at_all_steps() -> None:
    layer = Recurrent([lambda i, h: RNN(i, h), lambda i, h: Passing()], 3, 4, dropout=0.5, locked=True)
    x = torch.randn(6, 40, 3)
    seen, clean = layer(x)[0], elman.scan(layer.layers[0][0], x)[0]
    kept = seen != 0
    assert torch.equal(kept, kept[:1].expand_as(kept)) and 0.35 < kept[0].float().mean() < 0.65
    torch.testing.assert_close(seen[kept], 2 * clean[kept])
    layer.eval()
    torch.testing.assert_close(layer(x)[0], clean)


def test_dropout_of_everything_leaves_the_top_layer_its_biases() -> None:
    layer = Recurrent("gru", 3, 4, num_layers=2, dropout=1.0)
    assert torch.equal(layer(torch.randn(5, 2, 3))[0], layer(torch.randn(5, 2, 3))[0])


def test_dropout_that_drops_nothing_warns() -> None:
    with pytest.warns(UserWarning, match="acts between layers and there is only one: nothing is dropped") as caught:
        Recurrent("gru", 3, 4, dropout=0.5)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Recurrent("gru", 3, 4, num_layers=2, dropout=0.5)
        Recurrent("gru", 3, 4)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_trained_start_is_learned_and_used_at_resets(bidirectional: bool, close: Any) -> None:
    layer = Recurrent("lstm", 3, 4, initial_state="trained", bidirectional=bidirectional, dtype=torch.float64)
    assert layer.starts is not None
    assert [tuple(start.shape) for start in layer.starts] == [(4,)] * (4 if bidirectional else 2)
    assert not any(start.any() for start in layer.starts)
    with torch.no_grad():
        for start in layer.starts:
            start.normal_()
    x = double(5, 2, 3)
    y, _ = layer(x)
    cells = layer.layers[0]
    state = (layer.starts[0].expand(2, 4), layer.starts[1].expand(2, 4))
    close(y[..., :4], elman.scan(cells[0], x, state)[0])
    y.sum().backward()
    assert all(start.grad is not None and start.grad.any() for start in layer.starts)
    if not bidirectional:
        resets = torch.zeros(5, 2, dtype=torch.bool)
        resets[2, 1] = True
        given = map_leaves(torch.randn_like, layer.initial_state(2))
        again, _ = layer(x, given, resets=resets)
        close(again[2:, 1:], layer(x[2:, 1:])[0])


def test_a_noisy_start_is_a_truncated_normal_drawn_anew() -> None:
    layer = Recurrent("lstm", 3, 50, initial_state=0.01)
    (first,), (second,) = layer.initial_state(200), layer.initial_state(200)
    for leaf in leaves(first):
        assert leaf.abs().max() <= 0.02
        assert abs(leaf.mean().item()) < 5e-4
        # A normal cut at two sigmas keeps 0.8796 of its sigma.
        assert abs(leaf.std().item() / 0.008796 - 1) < 0.03
    assert not torch.equal(leaves(first)[0], leaves(second)[0])
    assert not torch.equal(leaves(first)[0], leaves(first)[1])
    assert not layer.state_dict().keys() & {"starts.0"}


@pytest.mark.parametrize("start", ["zeros", 0, 0.0])
def test_a_zero_start(start: Any) -> None:
    layer = Recurrent("lstm", 3, 4, num_layers=2, initial_state=start)
    assert not any(leaf.any() for leaf in leaves(layer.initial_state(3)))


def test_states_given_are_not_touched_by_the_start(close: Any) -> None:
    layer = Recurrent("gru", 3, 4, initial_state=5.0, dtype=torch.float64)
    x, state = double(4, 2, 3), (double(2, 4),)
    before = torch.get_rng_state()
    close(layer(x, state)[0], elman.scan(layer.layers[0][0], x, state[0])[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_foreign_cells_stand_in_a_stack(close: Any) -> None:
    stack = Recurrent([nn.GRUCell, "lstm"], 3, [4, 5])
    x = torch.randn(6, 2, 3)
    y, states = stack(x)
    middle, state = elman.scan(stack.layers[0][0], x)
    close(states[0], state)
    close(y, elman.scan(stack.layers[1][0], middle)[0])
    built = Recurrent.from_cells([(nn.LSTMCell(3, 4), GRU(3, 5)), nn.RNNCell(9, 2)])
    assert built(x)[0].shape == (6, 2, 2)


def test_further_inputs_go_to_every_layer() -> None:
    class Scaled(nn.Module):
        hidden_size = 2

        def initial_state(self, batch_size: int) -> Tensor:
            return torch.zeros(batch_size, 2)

        def forward(self, inputs: tuple[Tensor, Tensor], state: Tensor) -> Tensor:
            x, scale = inputs
            return x * scale

    stack = Recurrent.from_cells([Scaled(), Scaled()], batch_first=True)
    x, scale = torch.randn(2, 5, 2), torch.randn(2, 5, 1)
    torch.testing.assert_close(stack((x, scale))[0], x * scale * scale)


def test_copies_and_pickles_compute_the_same() -> None:
    stack = Recurrent(["lstm", "scrn"], 3, 4, initial_state="trained", bidirectional=True)
    x = torch.randn(5, 2, 3)
    for other in (copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))):
        assert torch.equal(other(x)[0], stack(x)[0])
    again = Recurrent(["lstm", "scrn"], 3, 4, initial_state="trained", bidirectional=True)
    again.load_state_dict(stack.state_dict())
    assert torch.equal(again(x)[0], stack(x)[0])


def shared_cell() -> Recurrent:
    cell = GRU(4, 4)
    return Recurrent.from_cells([cell, cell])


def maker_that_shares() -> Recurrent:
    cell = GRU(4, 4)
    return Recurrent(lambda input_size, hidden_size: cell, 4, 4, 2)


BAD: list[tuple[str, Any, str]] = [
    ("one object twice", shared_cell, "same cell object stands in the stack twice.*one cell a layer"),
    ("one object both ways", lambda: Recurrent.from_cells([(g := GRU(3, 4), g)]), "same cell object"),
    ("a maker that shares", maker_that_shares, "same cell object"),
    ("unknown cell", lambda: Recurrent("lstn", 3, 4), "unknown cell 'lstn'; did you mean 'lstm'"),
    (
        "unknown option",
        lambda: Recurrent("lstm", 3, 4, forget_bais=1.0),
        "an option 'forget_bais'; did you mean 'forget_bias'",
    ),
    (
        "option of another",
        lambda: Recurrent("gru", 3, 4, alpha=0.5),
        "no cell of this stack has an option 'alpha'; valid: activation",
    ),
    (
        "no forget gate",
        lambda: Recurrent(["gru", "rnn"], 3, 4, forget_bias=1.0),
        "no cell of this stack has a forget gate, so forget_bias=1.0 has nothing to set",
    ),
    (
        "options of a function",
        lambda: Recurrent(lambda i, h: GRU(i, h), 3, 4, bias=False),
        "a function that makes cells sets",
    ),
    ("unknown start", lambda: Recurrent("gru", 3, 4, init="xaver"), "unknown init 'xaver'; did you mean 'xavier'"),
    ("unknown merge", lambda: Recurrent("gru", 3, 4, merge="concta"), "unknown merge 'concta'; did you mean 'concat'"),
    ("counts", lambda: Recurrent(["gru", "lstm"], 3, 4, 3), "cell says 2, num_layers says 3"),
    ("sizes", lambda: Recurrent("gru", 3, [4, 5], 3), "hidden_size says 2, num_layers says 3"),
    ("no layers", lambda: Recurrent("gru", 3, 4, 0), "num_layers says 0"),
    ("no cells", lambda: Recurrent.from_cells([]), "at least one layer"),
    (
        "three ways",
        lambda: Recurrent.from_cells([(GRU(3, 4), GRU(3, 4), GRU(3, 4))]),
        "one cell or a .forward, backward. pair",
    ),
    (
        "a gap",
        lambda: Recurrent.from_cells([GRU(3, 4), LSTM(5, 2)]),
        "LSTM takes 5 features, but the layer before gives 4",
    ),
    (
        "uneven sum",
        lambda: Recurrent.from_cells([(GRU(3, 4), GRU(3, 1))], merge="sum"),
        "directions of one size, got 4 and 1",
    ),
    (
        "size unknown",
        lambda: Recurrent(lambda i, h: nn.Linear(i, h), 3, 4),
        "Linear does not say the size of its output",
    ),
    ("dropout", lambda: Recurrent("gru", 3, 4, dropout=1.5), "dropout=1.5; give the probability"),
    ("initial state", lambda: Recurrent("gru", 3, 4, initial_state="ones"), "initial_state='ones'; expected \"zeros\""),
    ("sigma", lambda: Recurrent("gru", 3, 4, initial_state=-0.1), "initial_state=-0.1"),
    ("no units", lambda: Recurrent("gru", 3, 0), "hidden_size=0; give a whole number"),
    (
        "states",
        lambda: Recurrent("gru", 3, 4)(torch.ones(2, 1, 3), (torch.zeros(1, 4),) * 2),
        "states for 2 layers, .* has 1",
    ),
    (
        "a state for both directions",
        lambda: Recurrent("gru", 3, 4, bidirectional=True)(torch.ones(2, 2, 3), (torch.zeros(2, 4),)),
        r"state is \(4,\)",
    ),
    (
        "packed",
        lambda: Recurrent("gru", 3, 4)(pack_padded_sequence(torch.ones(2, 1, 3), [2])),
        "got a PackedSequence; give the padded x and lengths=",
    ),
]


@pytest.mark.parametrize(("call", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()
