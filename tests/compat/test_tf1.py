"""The TF1 names: the chapters' fragments, and TF1's formulas in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman.compat.tf1 as tf
from elman import scan
from elman.compat.tf1 import base
from elman.errors import UserError
from elman.structure import leaves, map_leaves

from . import tf1_formulas as formulas

TIME, BATCH, INPUT, UNITS = 5, 3, 3, 4
LENGTHS = [5, 0, 2]
RELU = lambda v: np.maximum(v, 0)  # noqa: E731

LSTM_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "forget": {"forget_bias": 0.3},
    "peepholes": {"use_peepholes": True},
    "clip": {"cell_clip": 0.2},
    "peepholes-clip-relu": {"use_peepholes": True, "cell_clip": 0.2, "activation": "relu"},
    "projection": {"num_proj": 2},
    "all": {"use_peepholes": True, "cell_clip": 0.2, "num_proj": 2, "proj_clip": 0.05, "forget_bias": 0.0},
}
CASES: dict[str, tuple[Callable[[], tf.RNNCell], Callable[..., formulas.Step], dict[str, Any]]] = {
    "rnn": (partial(tf.BasicRNNCell, UNITS), formulas.basic_rnn, {}),
    "rnn-relu": (partial(tf.BasicRNNCell, UNITS, tf.nn.relu), formulas.basic_rnn, {"activation": RELU}),
    "gru": (partial(tf.GRUCell, UNITS), formulas.gru, {}),
    "gru-relu": (partial(tf.GRUCell, UNITS, activation="relu"), formulas.gru, {"activation": RELU}),
    "basic": (partial(tf.BasicLSTMCell, UNITS), formulas.lstm, {}),
    "basic-forget-relu": (
        partial(tf.BasicLSTMCell, UNITS, 2.0, activation=torch.relu),
        formulas.lstm,
        {"forget_bias": 2.0, "activation": RELU},
    ),
} | {
    f"lstm-{name}": (
        partial(tf.LSTMCell, UNITS, **options),
        formulas.lstm,
        {k: RELU if k == "activation" else v for k, v in options.items() if k not in ("use_peepholes", "num_proj")},
    )
    for name, options in LSTM_OPTIONS.items()
}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop in PyTorch, which needs no compiling; that the compiled one is its equal has a test of its own."""
    use(monkeypatch, "eager")


def use(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr(base, "scan", lambda *args, **options: scan(*args, **{**options, "backend": backend}))


def built(cell: tf.RNNCell, inputs: int = INPUT) -> tf.RNNCell:
    """The cell in float64, no parameter at a value that could hide something."""
    cell.build((None, inputs), dtype=torch.float64)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.6)
    return cell


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def start(cell: tf.RNNCell, batch: int = BATCH) -> Any:
    zeros = cell.zero_state(batch, tf.float64)
    return map_leaves(torch.randn_like, zeros)


def in_numpy(state: Any) -> Any:
    return tuple(map(in_numpy, state)) if isinstance(state, tuple) else state.detach().numpy()


def weights(cell: nn.Module) -> dict[str, np.ndarray]:
    return {name: each.detach().numpy() for name, each in cell.named_parameters()}


def same(actual: Any, expected: Any) -> None:
    for ours, theirs in zip(flat(actual), flat(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def flat(state: Any) -> list[np.ndarray]:
    if isinstance(state, tuple | list):
        return [leaf for each in state for leaf in flat(each)]
    return [state.detach().numpy() if isinstance(state, Tensor) else state]


# The chapters' fragments, with the slips of the text mended.


def test_fragment_lstm(eager: None) -> None:
    lstm_hidden_size, batch_size, num_steps = UNITS, BATCH, TIME
    inputs, expected_outputs = torch.randn(num_steps, BATCH, INPUT), torch.randn(num_steps, BATCH, 1)
    fully_connected = nn.Linear(UNITS, 1)

    lstm = tf.nn.rnn_cell.BasicLSTMCell(lstm_hidden_size)
    state = lstm.zero_state(batch_size, tf.float32)
    loss = 0
    for i in range(num_steps):
        if i > 0:
            tf.get_variable_scope().reuse_variables()
        lstm_output, state = lstm(inputs[i], state)
        final_output = fully_connected(lstm_output)
        loss += (final_output - expected_outputs[i]).square().mean()

    outputs, last = tf.nn.dynamic_rnn(lstm, inputs, time_major=True, dtype=tf.float32)
    torch.testing.assert_close(tuple(state), tuple(last))
    whole = (fully_connected(outputs) - expected_outputs).square().mean((1, 2)).sum()
    torch.testing.assert_close(loss, whole)
    gradients = [torch.autograd.grad(each, lstm.kernel)[0] for each in (loss, whole)]
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 1e-3


def test_fragment_multi_rnn_cell(eager: None) -> None:
    lstm_size, number_of_layers, batch_size, num_steps = UNITS, 3, BATCH, TIME
    inputs = torch.randn(num_steps, BATCH, INPUT)

    lstm_cell = tf.nn.rnn_cell.BasicLSTMCell
    stacked_lstm = tf.nn.rnn_cell.MultiRNNCell([lstm_cell(lstm_size) for _ in range(number_of_layers)])
    state = stacked_lstm.zero_state(batch_size, tf.float32)
    for i in range(num_steps):
        if i > 0:
            tf.get_variable_scope().reuse_variables()
        stacked_lstm_output, state = stacked_lstm(inputs[i], state)

    assert len(state) == number_of_layers
    assert all(isinstance(layer, tf.LSTMStateTuple) for layer in state)
    torch.testing.assert_close(stacked_lstm_output, state[-1].h)
    x = inputs
    for cell, layer in zip(stacked_lstm.cells, state, strict=True):
        x, alone = tf.nn.dynamic_rnn(cell, x, time_major=True)
        torch.testing.assert_close(tuple(layer), tuple(alone))


def test_fragment_dropout_wrapper(eager: None) -> None:
    lstm_size, number_of_layers = UNITS, 2
    lstm_cell = tf.nn.rnn_cell.BasicLSTMCell
    with pytest.warns(UserWarning, match="drops nothing.*output_keep_prob=0.8") as said:
        stack_lstm = tf.nn.rnn_cell.MultiRNNCell(
            [tf.nn.rnn_cell.DropoutWrapper(lstm_cell(lstm_size)) for _ in range(number_of_layers)]
        )
    assert [warning.filename for warning in said] == [__file__] * 2
    x = torch.randn(BATCH, INPUT)
    state = stack_lstm.zero_state(BATCH, tf.float32)
    bare = tf.nn.rnn_cell.MultiRNNCell([wrapper.cell for wrapper in stack_lstm.cells])
    torch.testing.assert_close(stack_lstm(x, state)[0], bare(x, state)[0], rtol=0, atol=0)


def test_fragment_split_squeeze(eager: None) -> None:
    x = torch.randn(BATCH, TIME, INPUT)
    x_list = tf.split_squeeze(1, TIME, x)
    assert isinstance(x_list, list)
    assert len(x_list) == TIME
    for t, step in enumerate(x_list):
        torch.testing.assert_close(step, x[:, t], rtol=0, atol=0)
    cell = tf.nn.rnn_cell.MultiRNNCell(
        [tf.nn.rnn_cell.BasicLSTMCell(UNITS, state_is_tuple=False)], state_is_tuple=False
    )
    outputs, state = tf.nn.static_rnn(cell, x_list, dtype=tf.float32)
    assert len(outputs) == TIME
    torch.testing.assert_close(outputs[-1], state[:, UNITS:], rtol=0, atol=0)


# Numbers.


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("case", CASES)
def test_a_cell_computes_tf1s_formula(case: str, lengths: list[int] | None, eager: None) -> None:
    make, formula, options = CASES[case]
    cell = built(make())
    x, state = numbers(TIME, BATCH, INPUT), start(cell)
    outputs, last = tf.dynamic_rnn(cell, x, lengths, state, time_major=True)
    step = formula(weights(cell), **options)
    expected, final = formulas.loop(step, x.numpy(), in_numpy(state), lengths)
    same(outputs, expected)
    same(last, final)
    if lengths is not None:
        assert not outputs[:, 1].any()  # no valid step: outputs 0 ...
        same([leaf[1] for leaf in leaves(last)], tuple(leaf[1] for leaf in leaves(state)))  # ... and the state given


@pytest.mark.parametrize("case", ["rnn", "gru-relu", "basic", "lstm-all"])
def test_a_step_is_tf1s_formula_too(case: str, eager: None) -> None:
    make, formula, options = CASES[case]
    cell = built(make())
    x, state = numbers(BATCH, INPUT), start(cell)
    output, new = cell(x, state)
    expected, after = formula(weights(cell), **options)(x.numpy(), in_numpy(state))
    same(output, expected)
    same(new, after)


COMPILED: dict[str, Callable[[], tf.RNNCell]] = {
    "lstm": lambda: tf.BasicLSTMCell(UNITS),
    "stack": lambda: tf.MultiRNNCell([tf.LSTMCell(UNITS, True, 0.2, None, 2, 0.1), tf.GRUCell(UNITS)]),
    "dropout": lambda: tf.DropoutWrapper(tf.BasicLSTMCell(UNITS), 0.7, 0.7, 0.7),
    "residual": lambda: tf.ResidualWrapper(tf.BasicRNNCell(INPUT)),
}


@pytest.mark.parametrize("case", COMPILED)
def test_the_compiled_loop_is_the_eager_one(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = COMPILED[case]()
    x = numbers(BATCH, TIME, INPUT).requires_grad_()
    results = []
    for backend in ("eager", "eager", "cpu"):  # the first makes the weights; "cpu" raises where it cannot run
        use(monkeypatch, backend)
        torch.manual_seed(1)
        outputs, last = tf.dynamic_rnn(cell, x, LENGTHS)
        total = sum((each * each).sum() for each in [outputs, *leaves(last)])
        results.append([outputs, *leaves(last), *torch.autograd.grad(total, [x, *cell.parameters()])])
    for compiled, by_hand in zip(results[2], results[1], strict=True):
        torch.testing.assert_close(compiled, by_hand, rtol=1e-10, atol=1e-12)


# The runners.


def test_static_rnn_is_dynamic_rnn(eager: None) -> None:
    cell = built(tf.BasicLSTMCell(UNITS))
    x, state = numbers(BATCH, TIME, INPUT), start(cell)
    outputs, last = tf.dynamic_rnn(cell, x, LENGTHS, state)
    steps, final = tf.static_rnn(cell, list(x.unbind(1)), state, sequence_length=LENGTHS)
    same(torch.stack(steps, 1), outputs)
    same(final, last)
    major, _ = tf.dynamic_rnn(cell, x.transpose(0, 1), LENGTHS, state, time_major=True)
    same(major.transpose(0, 1), outputs)


def test_without_a_state_it_starts_from_zeros(eager: None) -> None:
    cell = built(tf.LSTMCell(UNITS, num_proj=2))
    x = numbers(BATCH, TIME, INPUT)
    zeros = cell.zero_state(BATCH, tf.float64)
    assert not zeros.c.any()
    assert not zeros.h.any()
    same(tf.dynamic_rnn(cell, x, dtype=tf.float64), tf.dynamic_rnn(cell, x, initial_state=zeros))


def test_padding_of_any_content_changes_nothing(eager: None) -> None:
    cell = tf.ResidualWrapper(tf.DropoutWrapper(built(tf.GRUCell(INPUT)), 0.5, 0.5, 0.5))
    x = numbers(BATCH, TIME, INPUT)
    results = []
    for filler in (0.0, torch.nan):
        for b, length in enumerate(LENGTHS):
            x[b, length:] = filler
        torch.manual_seed(2)
        outputs, last = tf.dynamic_rnn(cell, x, LENGTHS)
        results.append([outputs, last, *torch.autograd.grad(outputs.sum() + last.sum(), cell.parameters())])
    same(results[1], results[0])


def test_both_directions(eager: None) -> None:
    fw, bw = built(tf.GRUCell(UNITS)), built(tf.BasicLSTMCell(UNITS))
    x, state_fw, state_bw = numbers(BATCH, TIME, INPUT), start(fw), start(bw)
    (outputs_fw, outputs_bw), (last_fw, last_bw) = tf.bidirectional_dynamic_rnn(fw, bw, x, LENGTHS, state_fw, state_bw)
    same((outputs_fw, last_fw), tf.dynamic_rnn(fw, x, LENGTHS, state_fw))
    for b, length in enumerate(LENGTHS):
        row = tf.LSTMStateTuple(*(leaf[b : b + 1] for leaf in state_bw))
        step = formulas.lstm(weights(bw))
        backwards = x[b, :length].flip(0).unsqueeze(1).numpy()
        final = in_numpy(row)
        if length:
            expected, final = formulas.loop(step, backwards, final)
            same(outputs_bw[b, :length], np.flip(expected[:, 0], 0))
        assert not outputs_bw[b, length:].any()
        same(tuple(leaf[b : b + 1] for leaf in last_bw), final)


# The state.


def test_the_state_is_c_then_h(eager: None) -> None:
    cell = built(tf.LSTMCell(UNITS, num_proj=2))
    assert cell.state_size == (4, 2) == tf.LSTMStateTuple(c=4, h=2)
    assert tf.LSTMStateTuple._fields == ("c", "h")
    output, state = cell(numbers(BATCH, INPUT), cell.zero_state(BATCH, tf.float64))
    assert isinstance(state, tf.LSTMStateTuple)
    assert (state.c.shape, state.h.shape) == ((BATCH, 4), (BATCH, 2))
    same(output, state.h)


@pytest.mark.parametrize("make", [tf.BasicLSTMCell, partial(tf.LSTMCell, num_proj=2)])
def test_a_state_in_one_tensor_is_c_beside_h(make: Callable[..., tf.RNNCell], eager: None) -> None:
    apart, joined = built(make(UNITS)), built(make(UNITS, state_is_tuple=False))
    joined.load_state_dict(apart.state_dict())
    x, state = numbers(BATCH, TIME, INPUT), start(apart)
    assert joined.state_size == sum(apart.state_size)
    outputs, last = tf.dynamic_rnn(joined, x, LENGTHS, torch.cat(state, 1))
    expected, final = tf.dynamic_rnn(apart, x, LENGTHS, state)
    same((outputs, last), (expected, torch.cat(final, 1)))

    stacks = (
        tf.MultiRNNCell([joined, tf.GRUCell(UNITS)], state_is_tuple=False),
        tf.MultiRNNCell([apart, tf.GRUCell(UNITS)]),
    )
    for stack in stacks:
        tf.dynamic_rnn(stack, x)
    stacks[1].cells[1].load_state_dict(stacks[0].cells[1].state_dict())
    assert stacks[0].state_size == joined.state_size + UNITS
    outputs, last = tf.dynamic_rnn(stacks[0], x)
    expected, (first, second) = tf.dynamic_rnn(stacks[1], x)
    same((outputs, last), (expected, torch.cat([*first, second], 1)))


# The wrappers.


def test_a_stack_is_its_cells_one_after_the_other(eager: None) -> None:
    cells = [built(tf.LSTMCell(UNITS, num_proj=2)), built(tf.GRUCell(UNITS), 2), built(tf.BasicRNNCell(3), UNITS)]
    stack = tf.MultiRNNCell(cells)
    x, state = numbers(TIME, BATCH, INPUT), start(stack)
    steps = [
        formula(weights(cell))
        for cell, formula in zip(cells, (formulas.lstm, formulas.gru, formulas.basic_rnn), strict=True)
    ]

    def step(x: np.ndarray, states: Any) -> Any:
        after = []
        for each, before in zip(steps, states, strict=True):
            x, new = each(x, before)
            after.append(new)
        return x, tuple(after)

    assert (stack.output_size, stack.state_size) == (3, ((4, 2), 4, 3))
    same(
        tf.dynamic_rnn(stack, x, initial_state=state, time_major=True), formulas.loop(step, x.numpy(), in_numpy(state))
    )


@pytest.fixture
def factors(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All factors that a DropoutWrapper draws, in order."""
    drawn: list[Tensor] = []
    original = tf.DropoutWrapper._factor

    def record(*args: Any) -> Tensor:
        drawn.append(original(*args))
        return drawn[-1]

    monkeypatch.setattr(tf.DropoutWrapper, "_factor", record)
    return drawn


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("stacked", [False, True])
def test_dropout_acts_where_tf1s_does(variational: bool, stacked: bool, factors: list[Tensor], eager: None) -> None:
    inner = [built(tf.BasicLSTMCell(UNITS)), built(tf.GRUCell(UNITS), UNITS)][: 1 + stacked]
    bare = tf.MultiRNNCell(inner) if stacked else inner[0]
    cell = tf.DropoutWrapper(bare, 0.5, 0.6, 0.7, variational, INPUT, tf.float64)
    x, state = numbers(TIME, BATCH, INPUT), start(cell)
    outputs, last = tf.dynamic_rnn(cell, x, initial_state=state, time_major=True)

    of_input, *of_state, of_output = (each.numpy() for each in factors)
    assert [each.shape[-1] for each in factors] == [INPUT, *[UNITS] * len(inner), UNITS]
    steps = [
        formula(weights(each)) for each, formula in zip(inner, (formulas.lstm, formulas.gru)[: len(inner)], strict=True)
    ]
    y, states = x.numpy() * of_input, in_numpy(state if stacked else (state,))
    finals = []
    for each, before, kept in zip(steps, states, of_state, strict=True):
        of_layer = []
        for t in range(TIME):
            out, after = each(y[t], before)
            # The memory c is carried on whole; the output is not what the state has lost.
            before = (after[0], after[1] * kept[t]) if isinstance(after, tuple) else after * kept[t]
            of_layer.append(out)
        y = np.stack(of_layer)
        finals.append(before)
    same(outputs, y * of_output)
    same(last if stacked else (last,), tuple(finals))


@pytest.mark.parametrize("variational", [False, True])
def test_masks_keep_as_often_as_they_say(variational: bool, factors: list[Tensor], eager: None) -> None:
    cell = tf.DropoutWrapper(tf.BasicRNNCell(500), 0.9, 0.5, 0.2, variational)
    tf.dynamic_rnn(cell, torch.randn(4, 3, 1000))
    for factor, keep in zip(factors, (0.9, 0.2, 0.5), strict=True):
        torch.testing.assert_close(factor.unique(), torch.tensor([0, 1 / keep]))
        assert (factor > 0).double().mean() == pytest.approx(keep, abs=0.08 if variational else 0.03)
        constant = bool((factor == factor[:1, :1]).all())
        assert constant == variational


def test_wrappers_nest(factors: list[Tensor], eager: None) -> None:
    inner = built(tf.BasicLSTMCell(UNITS))
    with pytest.warns(UserWarning, match="drops nothing"):
        idle = tf.DropoutWrapper(inner)
    cell = tf.DropoutWrapper(tf.DropoutWrapper(idle, state_keep_prob=0.5), state_keep_prob=0.5)
    x = numbers(BATCH, TIME, INPUT)
    torch.manual_seed(3)
    outputs, _ = tf.dynamic_rnn(cell, x)
    outer, second = factors
    state = (np.zeros((BATCH, UNITS)),) * 2
    step = formulas.lstm(weights(inner))
    for t in range(TIME):
        y, (c, h) = step(x[:, t].numpy(), state)
        same(outputs[:, t], y)
        state = (c, h * (outer * second)[t].numpy())


def test_in_evaluation_nothing_is_dropped(eager: None) -> None:
    inner = built(tf.BasicLSTMCell(UNITS))
    cell = tf.DropoutWrapper(inner, 0.5, 0.5, 0.5, variational_recurrent=True).eval()
    x = numbers(BATCH, TIME, INPUT)
    same(tf.dynamic_rnn(cell, x), tf.dynamic_rnn(inner, x))
    state = cell.zero_state(BATCH, tf.float64)
    same(cell(x[:, 0], state), inner(x[:, 0], state))


def test_masks_follow_pytorchs_generator(eager: None) -> None:
    cell = tf.DropoutWrapper(built(tf.BasicRNNCell(UNITS)), 0.5, 0.5, 0.5)
    x = numbers(BATCH, TIME, INPUT)
    runs = []
    for seed in (4, 4, 5):
        torch.manual_seed(seed)
        runs.append(tf.dynamic_rnn(cell, x)[0])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_a_residual_cell_adds_its_inputs(eager: None) -> None:
    inner = built(tf.GRUCell(INPUT))
    x, state = numbers(BATCH, TIME, INPUT), start(inner)
    plain, last = tf.dynamic_rnn(inner, x, initial_state=state)
    same(tf.dynamic_rnn(tf.ResidualWrapper(inner), x, initial_state=state), (x + plain, last))
    product = tf.ResidualWrapper(inner, lambda inputs, outputs: torch.cat([inputs * outputs, inputs], -1))
    same(tf.dynamic_rnn(product, x, initial_state=state), (torch.cat([x * plain, x], -1), last))
    outputs, _ = tf.dynamic_rnn(tf.ResidualWrapper(inner), x, LENGTHS)
    for b, length in enumerate(LENGTHS):
        assert not outputs[b, length:].any()


# The parameters.


def test_parameters_have_tf1s_names_shapes_and_starts() -> None:
    cell = tf.LSTMCell(50, use_peepholes=True, num_proj=20)
    cell.build((None, 30))
    shapes = {name: tuple(each.shape) for name, each in cell.named_parameters()}
    diagonals = {f"w_{gate}_diag": (50,) for gate in "fio"}
    assert shapes == {"kernel": (50, 200), "bias": (200,), **diagonals, "projection_kernel": (50, 20)}
    assert not cell.bias.any()  # the forget bias is added when the cell runs
    for name, bound in {
        "kernel": (6 / 250) ** 0.5,
        "w_f_diag": (6 / 100) ** 0.5,
        "projection_kernel": (6 / 70) ** 0.5,
    }.items():
        largest = getattr(cell, name).abs().max()
        assert 0.9 * bound < largest <= bound

    gru = tf.GRUCell(50)
    gru.build((None, 30))
    shapes = {name: tuple(each.shape) for name, each in gru.named_parameters()}
    assert shapes == {
        "gates_kernel": (80, 100),
        "gates_bias": (100,),
        "candidate_kernel": (80, 50),
        "candidate_bias": (50,),
    }
    assert (gru.gates_bias == 1).all()
    assert not gru.candidate_bias.any()


def test_initialisers_of_the_users() -> None:
    gru = tf.GRUCell(UNITS, kernel_initializer=nn.init.zeros_, bias_initializer=nn.init.ones_)
    gru.build((None, INPUT))
    assert [bool(each.any()) for each in gru.parameters()] == [False, True, False, True]
    assert (gru.candidate_bias == 1).all()
    lstm = tf.LSTMCell(UNITS, True, None, nn.init.ones_, 2)
    lstm.build((None, INPUT))
    assert {name: bool(each.all()) for name, each in lstm.named_parameters()}.pop("bias") is False
    assert all((each == 1).all() for name, each in lstm.named_parameters() if name != "bias")


def test_an_optimiser_may_be_made_before_the_first_step(eager: None) -> None:
    cell = tf.MultiRNNCell([tf.BasicLSTMCell(UNITS), tf.BasicRNNCell(UNITS)])
    optimizer = torch.optim.SGD(cell.parameters(), 1.0)
    tf.dynamic_rnn(cell, torch.randn(BATCH, TIME, INPUT))[0].sum().backward()
    before = [parameter.detach().clone() for parameter in cell.parameters()]
    optimizer.step()
    assert len(before) == 4
    assert not any(torch.equal(a, b) for a, b in zip(before, cell.parameters(), strict=True))


def test_weights_load_into_a_cell_that_was_never_called(eager: None) -> None:
    cell = tf.DropoutWrapper(tf.MultiRNNCell([tf.LSTMCell(UNITS, True, num_proj=2), tf.GRUCell(UNITS)]), 0.5)
    x = torch.randn(BATCH, TIME, INPUT)
    tf.dynamic_rnn(cell, x)
    other = tf.DropoutWrapper(tf.MultiRNNCell([tf.LSTMCell(UNITS, True, num_proj=2), tf.GRUCell(UNITS)]), 0.5)
    other.load_state_dict(cell.state_dict())
    same(tf.dynamic_rnn(other.eval(), x), tf.dynamic_rnn(cell.eval(), x))


# The functions.


@pytest.mark.parametrize(("over_time", "over_batch"), [(True, True), (True, False), (False, True), (False, False)])
def test_sequence_loss(over_time: bool, over_batch: bool) -> None:
    logits, targets, weight = numbers(BATCH, TIME, 6), torch.randint(6, (BATCH, TIME)), torch.rand(BATCH, TIME)
    weight[1] = 0
    z, w = logits.numpy(), weight.double().numpy()
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log_p, targets.numpy()[..., None], -1)[..., 0] * w
    axes = tuple(axis for axis, average in enumerate((over_batch, over_time)) if average)
    expected = losses.sum(axes) / np.maximum(w.sum(axes), 1e-12) if axes else losses
    loss = tf.sequence_loss(logits, targets, weight, over_time, over_batch)
    assert loss.shape == expected.shape
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-10)
    if over_time and not over_batch:
        assert loss[1] == 0  # all of its weights are


def test_sequence_loss_with_a_loss_of_the_users() -> None:
    logits, targets = torch.randn(BATCH, TIME, 6), torch.randint(6, (BATCH, TIME))
    seen = []

    def chosen(labels: Tensor, scores: Tensor) -> Tensor:
        seen.append((labels.shape, scores.shape))
        return scores.gather(1, labels.unsqueeze(1)).squeeze(1)

    loss = tf.sequence_loss(logits, targets, torch.ones(BATCH, TIME), softmax_loss_function=chosen)
    torch.testing.assert_close(loss, logits.gather(2, targets.unsqueeze(2)).mean())
    assert seen == [((BATCH * TIME,), (BATCH * TIME, 6))]


@pytest.mark.parametrize("bound", [0.5, 1e6])
def test_clip_by_global_norm_is_pytorchs_clipping(bound: float) -> None:
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((3, 4), (5,))]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    given = [parameters[0].grad.clone(), None, parameters[1].grad.clone()]
    kept = [None if each is None else each.clone() for each in given]
    clipped, norm = tf.clip_by_global_norm(given, bound)
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(parameters, bound))
    assert clipped[1] is None
    for ours, parameter in zip((clipped[0], clipped[2]), parameters, strict=True):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-5, atol=1e-6)
    assert all(a is b or torch.equal(a, b) for a, b in zip(given, kept, strict=True))


def test_clip_by_a_norm_that_is_known() -> None:
    clipped, norm = tf.clip_by_global_norm([torch.tensor([3.0]), None], 5.0, use_norm=10.0)
    torch.testing.assert_close(clipped[0], torch.tensor([1.5]))
    assert norm == 10.0


def test_a_norm_that_is_not_finite_is_seen() -> None:
    clipped, norm = tf.clip_by_global_norm([torch.tensor([torch.inf, 1.0])], 1.0)
    assert norm == torch.inf
    assert clipped[0].isnan().all()


def test_zero_gradients_stay_zero() -> None:
    clipped, norm = tf.clip_by_global_norm([torch.zeros(3)], 1.0)
    assert norm == 0
    assert torch.equal(clipped[0], torch.zeros(3))


# Mistakes.


def test_the_same_cell_twice_is_warned_of(eager: None) -> None:
    with pytest.warns(UserWarning, match="share one set of weights"):
        stack = tf.MultiRNNCell([tf.BasicRNNCell(UNITS)] * 2)
    copy = deepcopy(stack)
    with pytest.raises(UserError, match=r"built for inputs of 3 features and got 4; .*make one for each"):
        tf.dynamic_rnn(stack, torch.randn(BATCH, TIME, INPUT))
    x = torch.randn(BATCH, TIME, UNITS)  # inputs as large as outputs: it does run, on one set of weights
    cell = copy.cells[0]
    same(tf.dynamic_rnn(copy, x)[0], tf.dynamic_rnn(cell, tf.dynamic_rnn(cell, x)[0])[0])
    assert len(list(copy.parameters())) == 2


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "units": (lambda: tf.BasicLSTMCell(0), "BasicLSTMCell got num_units=0"),
    "activation": (lambda: tf.BasicRNNCell(4, "tan"), "unknown activation 'tan'; did you mean 'tanh'"),
    "function": (lambda: tf.BasicRNNCell(4, abs), "unknown activation .*abs.*elman.activations"),
    "clip": (lambda: tf.LSTMCell(4, cell_clip=0.0), "cell_clip=0.0; give a number above 0"),
    "proj": (lambda: tf.LSTMCell(4, num_proj=0), "num_proj=0"),
    "proj clip": (lambda: tf.LSTMCell(4, proj_clip=1.0), "proj_clip=1.0 but no num_proj"),
    "no cells": (lambda: tf.MultiRNNCell([]), "at least one cell"),
    "one cell": (lambda: tf.MultiRNNCell(tf.GRUCell(4)), "takes a list"),
    "no tf1 cell": (lambda: tf.MultiRNNCell([nn.GRUCell(2, 2)]), "a GRUCell; expected a cell of elman.compat.tf1"),
    "class": (lambda: tf.DropoutWrapper(tf.BasicLSTMCell), r"the class BasicLSTMCell; make a cell .*BasicLSTMCell\("),
    "tuples": (
        lambda: tf.MultiRNNCell([tf.BasicLSTMCell(4)], state_is_tuple=False),
        "cells whose states are tuples.*state_is_tuple=True",
    ),
    "keep 0": (lambda: tf.DropoutWrapper(tf.GRUCell(4), 0.0), "input_keep_prob=0.0; .*probability of keeping"),
    "keep 2": (lambda: tf.DropoutWrapper(tf.GRUCell(4), state_keep_prob=2), "state_keep_prob=2"),
    "shape": (lambda: tf.GRUCell(4).build((3, None)), r"inputs_shape=\(3, None\); its last member"),
    "step of a sequence": (
        lambda: tf.GRUCell(4)(torch.zeros(2, 5, 3), torch.zeros(2, 4)),
        r"a step takes inputs \(B, I\), got \(2, 5, 3\).*dynamic_rnn",
    ),
    "state": (
        lambda: tf.BasicLSTMCell(4)(torch.zeros(2, 3), torch.zeros(2, 4)),
        r"BasicLSTMCell got the state \(2, 4\); expected \(\(2, 4\), \(2, 4\)\)",
    ),
    "batch": (
        lambda: tf.dynamic_rnn(tf.GRUCell(4), torch.zeros(2, 5, 3), initial_state=torch.zeros(1, 4)),
        r"GRUCell got the state \(1, 4\); expected \(2, 4\)",
    ),
    "step for sequence": (
        lambda: tf.dynamic_rnn(tf.GRUCell(4), torch.zeros(2, 3)),
        r"\(2, 3\); expected .*\(B, T, I\)",
    ),
    "ids": (
        lambda: tf.dynamic_rnn(tf.GRUCell(4), torch.zeros(2, 5, 3).long(), time_major=True),
        r"torch.int64 \(2, 5, 3\); expected real numbers \(T, B, I\)",
    ),
    "dtype": (
        lambda: tf.dynamic_rnn(tf.GRUCell(4), torch.zeros(2, 5, 3), dtype=tf.float64),
        "inputs are torch.float32 .*expected torch.float64",
    ),
    "other dtype": (
        lambda: tf.dynamic_rnn(built(tf.GRUCell(4)), torch.zeros(2, 5, 3)),
        "weights of torch.float64 and got inputs of torch.float32",
    ),
    "lengths": (
        lambda: tf.dynamic_rnn(tf.GRUCell(4), torch.zeros(2, 5, 3), [5, 6]),
        "lengths are between 5 and 6; expected 0 to T = 5",
    ),
    "a name": (lambda: tf.dynamic_rnn("gru", torch.zeros(2, 5, 3)), "got a str; expected a cell"),
    "no steps": (lambda: tf.static_rnn(tf.GRUCell(4), []), "at least one step"),
    "steps": (lambda: tf.static_rnn(tf.GRUCell(4), torch.zeros(5, 2, 3)), "goes to dynamic_rnn"),
    "uneven": (
        lambda: tf.static_rnn(tf.GRUCell(4), [torch.zeros(2, 3), torch.zeros(2, 4)]),
        "steps of different shapes",
    ),
    "residual": (
        lambda: tf.dynamic_rnn(tf.ResidualWrapper(tf.GRUCell(4)), torch.zeros(2, 5, 3)),
        "adds inputs of 3 features to outputs of 4",
    ),
    "variational step": (
        lambda: tf.DropoutWrapper(tf.GRUCell(4), 0.5, variational_recurrent=True)(torch.zeros(2, 3), torch.zeros(2, 4)),
        "one mask for a whole sequence.*dynamic_rnn",
    ),
    "dropout size": (
        lambda: tf.dynamic_rnn(tf.DropoutWrapper(tf.GRUCell(4), 0.5, input_size=2), torch.zeros(2, 5, 3)),
        "made for input_size=2.* inputs of 3 features",
    ),
    "split": (lambda: tf.split_squeeze(1, 2, torch.zeros(2, 4)), r"num_split=2, but axis 1 of \(2, 4\) has size 4"),
    "axis": (lambda: tf.split_squeeze(2, 2, torch.zeros(2, 4)), r"dim=2 for a tensor \(2, 4\)"),
    "loss": (
        lambda: tf.sequence_loss(torch.zeros(2, 5, 3), torch.zeros(5, 2).long(), torch.ones(2, 5)),
        r"\(2, 5, 3\), \(5, 2\), \(2, 5\); expected \(B, T, V\)",
    ),
    "no gradients": (lambda: tf.clip_by_global_norm([None, None], 1.0), "none of the 2 gradients exists"),
    "one tensor": (lambda: tf.clip_by_global_norm(torch.ones(2), 1.0), "put it in a list"),
    "bound": (lambda: tf.clip_by_global_norm([torch.ones(2)], 0.0), "clip_norm=0.0"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_mistakes_are_told(mistake: str, eager: None) -> None:
    make, message = BAD[mistake]
    with pytest.raises(UserError, match=message):
        make()
