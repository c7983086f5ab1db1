"""``scan`` over steps of any origin, against the loop written out row by row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import elman
from elman.cell import Cell
from elman.cells import GRU, LSTM, SCRN
from elman.errors import UserError
from elman.structure import leaves, map_leaves

Row = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""One step of one row: x (1, I) and the row's state to output and new state."""


def row_by_row(
    step: Row,
    x: Tensor,
    state: Any,
    lengths: list[int] | None,
    resets: Tensor | None,
    reset_state: Any,
    reverse: bool,
) -> tuple[list[dict[int, Tensor]], list[Any], list[dict[int, Any]]]:
    """Outputs and states of each row by time index, and its final state: the documentation of ``scan`` as code."""
    outputs: list[dict[int, Tensor]] = []
    finals = []
    states: list[dict[int, Any]] = []
    for b in range(x.shape[1]):
        now = map_leaves(lambda leaf, b=b: leaf[b : b + 1], state)
        valid = range(x.shape[0] if lengths is None else lengths[b])
        outputs.append({})
        states.append({})
        for t in reversed(valid) if reverse else valid:
            if resets is not None and resets[t, b]:
                now = map_leaves(lambda leaf, b=b: leaf[b : b + 1], reset_state)
            outputs[b][t], now = step(x[t, b : b + 1], now)
            states[b][t] = now
        finals.append(now)
    return outputs, finals, states


def foreign(cell: nn.Module) -> Row:
    def step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        new = cell(x, state)
        return leaves(new)[0], new

    return step


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: LSTM(2, 3, dtype=torch.float64),
    "SCRN": lambda: SCRN(2, 3, context_size=2, dtype=torch.float64),
    "nn.RNNCell": lambda: nn.RNNCell(2, 3, dtype=torch.float64),
    "nn.GRUCell": lambda: nn.GRUCell(2, 3, dtype=torch.float64),
    "nn.LSTMCell": lambda: nn.LSTMCell(2, 3, dtype=torch.float64),
}


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    time, batch = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    flags = st.lists(st.booleans(), min_size=batch, max_size=batch)
    return {
        "shape": (time, batch),
        "lengths": draw(st.none() | st.lists(st.integers(0, time), min_size=batch, max_size=batch)),
        "resets": draw(st.none() | st.lists(flags, min_size=time, max_size=time)),
        "own_reset_state": draw(st.booleans()),
        "reverse": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


QUICK = [("SCRN", "auto"), ("nn.LSTMCell", "eager")]


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        pytest.param(name, backend, marks=() if (name, backend) in QUICK else pytest.mark.slow)
        for name in MAKERS
        for backend in ("auto", "eager")
    ],
)
@given(run=runs())
@settings(max_examples=12)
def test_scan_is_the_loop_row_by_row(name: str, backend: str, run: dict[str, Any]) -> None:
    torch.manual_seed(run["seed"])
    cell = MAKERS[name]()
    time, batch = run["shape"]
    x = torch.randn(time, batch, 2, dtype=torch.float64)
    _, zeros = elman.scan(cell, x, lengths=[0] * batch)
    state, anew = (map_leaves(lambda leaf: torch.randn_like(leaf).requires_grad_(), zeros) for _ in range(2))
    resets = None if run["resets"] is None else torch.tensor(run["resets"], dtype=torch.bool).view(time, batch)
    reset_state = anew if run["own_reset_state"] else None
    step = cell if isinstance(cell, Cell) else foreign(cell)
    inputs = [*leaves(state), *leaves(anew), *cell.parameters()]

    padded = x.clone()
    for b, length in enumerate(run["lengths"] or ()):
        padded[length:, b] = torch.nan
    y, final, states = elman.scan(
        cell,
        padded,
        state,
        lengths=run["lengths"],
        resets=resets,
        reset_state=reset_state,
        reverse=run["reverse"],
        return_states=True,
        backend=backend,
    )
    outputs, finals, every = row_by_row(
        step, x, state, run["lengths"], resets, zeros if reset_state is None else anew, run["reverse"]
    )

    same = {"rtol": 1e-12, "atol": 1e-13}
    expected_loss = torch.zeros((), dtype=torch.float64)
    for b in range(batch):
        for t in range(time):
            if t in outputs[b]:
                torch.testing.assert_close(y[t, b], outputs[b][t][0], **same)
                for leaf, expected in zip(leaves(states), leaves(every[b][t]), strict=True):
                    torch.testing.assert_close(leaf[t, b], expected[0], **same)
                expected_loss = expected_loss + outputs[b][t].square().sum()
            else:
                assert not y[t, b].any()
                assert not any(leaf[t, b].any() for leaf in leaves(states))
        for leaf, expected in zip(leaves(final), leaves(finals[b]), strict=True):
            torch.testing.assert_close(leaf[b], expected[0], **same)
            expected_loss = expected_loss + 2 * expected.sum()
    loss = y.square().sum() + sum(2 * leaf.sum() for leaf in leaves(final))
    ours = torch.autograd.grad(loss, inputs, materialize_grads=True)
    theirs = torch.autograd.grad(expected_loss, inputs, materialize_grads=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_pytorchs_cells_unchanged_equal_its_layers(kind: str, close: Any) -> None:
    layer = getattr(nn, kind)(3, 4, dtype=torch.float64)
    cell = getattr(nn, f"{kind}Cell")(3, 4, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor in layer.state_dict().items()})
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    y, state = elman.scan(cell, x)
    expected, final = layer(x)
    close(y, expected)
    close(state, map_leaves(lambda leaf: leaf[0], final))


class Pair(NamedTuple):
    level: Tensor
    trend: Tensor


def smoothing(x: Tensor, state: Any) -> tuple[Tensor, Tensor]:
    level, trend = state.values() if isinstance(state, dict) else state
    new = 0.5 * x + 0.5 * (level + trend)
    return new, 0.9 * trend + 0.1 * (new - level)


def as_dict(x: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
    level, trend = smoothing(x, state)
    return {"level": level, "trend": trend}


def in_ordered_dict(x: Tensor, state: OrderedDict[str, Tensor]) -> OrderedDict[str, Tensor]:
    return OrderedDict(as_dict(x, state))


@pytest.mark.parametrize(
    ("step", "make"),
    [
        (smoothing, lambda a, b: (a, b)),
        (smoothing, lambda a, b: [a, b]),
        (smoothing, Pair),
        (lambda x, s: list(smoothing(x, s)), lambda a, b: (a, b)),
        (lambda x, s: Pair(*smoothing(x, s)), lambda a, b: [a, b]),
        (as_dict, lambda a, b: {"level": a, "trend": b}),
        (in_ordered_dict, lambda a, b: OrderedDict(level=a, trend=b)),
        (lambda x, s: (smoothing(x, s)[0], smoothing(x, s)), Pair),
    ],
    ids=["tuple", "list", "named tuple", "list for tuple", "named for list", "dict", "ordered dict", "pair"],
)
@pytest.mark.parametrize("lengths", [None, [3, 5]])
def test_the_state_keeps_the_structure_that_was_passed(step: Any, make: Any, lengths: Any) -> None:
    x = torch.randn(5, 2)
    level, trend = torch.randn(2), torch.randn(2)
    expected, kept = [], (level, trend)
    for t in range(5):
        kept = smoothing(x[t], kept)
        expected.append(kept)
    y, final, states = elman.scan(step, x, make(level, trend), lengths=lengths, return_states=True)
    assert type(final) is type(states) is type(make(level, trend))
    row = 1  # valid to the end in both cases
    torch.testing.assert_close(y[:, row], torch.stack([level for level, _ in expected])[:, row])
    torch.testing.assert_close(leaves(final)[1][row], kept[1][row])
    torch.testing.assert_close(leaves(states)[1][:, row], torch.stack([trend for _, trend in expected])[:, row])
    if isinstance(final, dict):
        assert list(final) == ["level", "trend"]


def test_nested_states_and_several_inputs() -> None:
    def step(inputs: tuple[Tensor, Tensor], state: Any) -> Any:
        x, scale = inputs
        (total,), counts = state
        return x * scale, ((total + x * scale,), {"n": counts["n"] + 1, "none": None})

    x, scale = torch.randn(4, 3, 2), torch.randn(4, 3, 1)
    start = ((torch.zeros(3, 2),), {"n": torch.zeros(3), "none": None})
    y, ((total,), counts) = elman.scan(step, (x, scale), start, lengths=[4, 2, 0])
    torch.testing.assert_close(y[:, 0], x[:, 0] * scale[:, 0])
    torch.testing.assert_close(total[0], (x * scale)[:, 0].sum(0))
    torch.testing.assert_close(total[1], (x * scale)[:2, 1].sum(0))
    assert counts["n"].tolist() == [4, 2, 0]
    assert counts["none"] is None


def test_a_step_without_state() -> None:
    y, state = elman.scan(lambda x, state: (2 * x, state), torch.ones(3, 2), ())
    assert y.tolist() == [[2.0, 2.0]] * 3
    assert state == ()


def test_the_new_state_wins_over_the_pair_when_a_state_is_itself_a_pair() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    y, state = elman.scan(lambda x, s: (s[0] + x, s[1]), torch.ones(3, 1), (a, b))
    assert y.flatten().tolist() == [1.0, 2.0, 3.0]
    assert [leaf.item() for leaf in state] == [3.0, 1.0]


class Gain(nn.Module):
    """A foreign module with a start state of its own that is not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.tensor(2.0))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.start.expand(batch_size)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        return state * x


def test_a_module_starts_and_resets_from_its_own_initial_state() -> None:
    gain = Gain()
    resets = torch.tensor([[False, False], [False, True], [False, False]])
    y, _ = elman.scan(gain, torch.full((3, 2), 3.0), resets=resets)
    assert y.tolist() == [[6.0, 6.0], [18.0, 6.0], [54.0, 18.0]]
    y.sum().backward()
    assert gain.start.grad is not None
    assert gain.start.grad.item() == (3 + 9 + 27) + (3 + 3 + 9)


def test_a_reset_in_the_padding_changes_nothing() -> None:
    x, state = torch.ones(3, 1), torch.zeros(1)
    resets = torch.tensor([[False], [False], [True]])
    for reverse in (False, True):
        _, final = elman.scan(lambda x, s: s + x, x, state, lengths=[2], resets=resets, reverse=reverse)
        assert final.item() == 2.0


def test_a_cell_keeps_a_list_a_list() -> None:
    cell = LSTM(2, 3)
    _, state = elman.scan(cell, torch.randn(4, 2, 2), [torch.zeros(2, 3), torch.zeros(2, 3)])
    assert isinstance(state, list)


def test_parametrised_weights_are_computed_and_trained(close: Any) -> None:
    cell = GRU(2, 3, dtype=torch.float64)
    plain = GRU(2, 3, dtype=torch.float64)
    plain.load_state_dict(cell.state_dict())
    nn.utils.parametrizations.weight_norm(cell, "weight_hh")
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    y, _ = elman.scan(cell, x)
    close(y, elman.scan(plain, x)[0])
    y.sum().backward()
    assert cell.parametrizations.weight_hh.original0.grad.any()


BAD: list[tuple[str, Callable[[], Any], str]] = [
    ("no start state", lambda: elman.scan(smoothing, torch.ones(3, 2)), r"smoothing has no start state; pass state="),
    ("x too flat", lambda: elman.scan(GRU(2, 3), torch.ones(3)), r"x of shape \(3,\); expected \(T, B, \.\.\.\)"),
    ("no inputs", lambda: elman.scan(GRU(2, 3), ()), r"x of shape nothing; expected \(T, B"),
    (
        "inputs of two lengths",
        lambda: elman.scan(smoothing, (torch.ones(3, 2), torch.ones(4, 2)), ()),
        r"\(3, 2\), \(4, 2\); expected .* same T and B",
    ),
    (
        "features",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 5, 7)),
        r"GRU expected steps of x \(B, 2\), got .*\(5, 7\)",
    ),
    (
        "a single sequence",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 2)),
        r"expected steps of x \(B, 2\), got .*\(2,\)",
    ),
    ("a single step", lambda: GRU(2, 3)(torch.ones(2)), r"expected steps of x \(B, 2\), got .*\(2,\)"),
    (
        "state of another batch",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 5, 2), torch.zeros(4, 3)),
        r"batch of 5 \(axis 1\), but the state is \(4, 3\)",
    ),
    (
        "state without batch",
        lambda: elman.scan(smoothing, torch.ones(4, 5), (torch.zeros(()), torch.zeros(5))),
        r"the state is \(\(\), \(5,\)\)",
    ),
    (
        "one state for two",
        lambda: elman.scan(LSTM(2, 3), torch.ones(4, 2, 2), torch.zeros(2, 3)),
        r"LSTM got the state \(2, 3\); expected \(\(2, 3\), \(2, 3\)\) for h, c",
    ),
    (
        "a state that would broadcast",
        lambda: LSTM(2, 3)(torch.ones(2, 2), (torch.zeros(2, 3), torch.zeros(2, 1))),
        r"LSTM got the state \(\(2, 3\), \(2, 1\)\)",
    ),
    (
        "a dict for a cell",
        lambda: elman.scan(LSTM(2, 3), torch.ones(4, 2, 2), {"h": torch.zeros(2, 3), "c": torch.zeros(2, 3)}),
        r"LSTM got the state \{'h'",
    ),
    ("inputs of a cell", lambda: elman.scan(GRU(2, 3), (torch.ones(4, 1, 2),) * 2), r"GRU takes 1 inputs \(x\), got 2"),
    (
        "too long",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 2, 2), lengths=[1, 5]),
        r"between 1 and 5; expected 0 to T = 4",
    ),
    ("negative", lambda: elman.scan(GRU(2, 3), torch.ones(4, 2, 2), lengths=[-1, 4]), r"between -1 and 4"),
    (
        "lengths",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 2, 2), lengths=[4]),
        r"\(1,\); expected whole numbers .*\(2,\)",
    ),
    (
        "half a step",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 1, 2), lengths=[1.5]),
        r"torch.float32 \(1,\); expected whole",
    ),
    (
        "resets turned round",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 2, 2), resets=torch.zeros(2, 4, dtype=torch.bool)),
        r"resets is torch.bool \(2, 4\); expected a bool tensor \(T, B\) = \(4, 2\)",
    ),
    (
        "resets as numbers",
        lambda: elman.scan(GRU(2, 3), torch.ones(4, 2, 2), resets=torch.zeros(4, 2)),
        r"resets is torch.float32",
    ),
    ("resets as a list", lambda: elman.scan(GRU(2, 3), torch.ones(1, 1, 2), resets=[[True]]), r"resets is a list"),
    (
        "reset_state",
        lambda: elman.scan(
            GRU(2, 3), torch.ones(1, 2, 2), resets=torch.ones(1, 2, dtype=torch.bool), reset_state=(torch.zeros(2, 3),)
        ),
        r"reset_state is \(\(2, 3\),\), but the state is \(2, 3\); make them alike",
    ),
    (
        "reset_state of one row",
        lambda: elman.scan(
            GRU(2, 3), torch.ones(1, 3, 2), resets=torch.ones(1, 3, dtype=torch.bool), reset_state=torch.zeros(3)
        ),
        r"reset_state is \(3,\)",
    ),
    (
        "backend",
        lambda: elman.scan(GRU(2, 3), torch.ones(1, 1, 2), backend="eagre"),
        r"unknown backend 'eagre'; did you mean 'eager'",
    ),
]


@pytest.mark.parametrize(("call", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda x, s: (x, x, x), r"returned \(\(2,\), \(2,\), \(2,\)\)"),
        (lambda x, s: x, r"returned \(2,\)"),
        (lambda x, s: None, "returned None"),
        (lambda x, s: ("y", s), r"returned \(str, \(\(2,\), \(2,\)\)\)"),
        (lambda x, s: {"h": x, "c": x}, r"returned \{'h': \(2,\), 'c': \(2,\)\}"),
    ],
)
def test_a_result_of_neither_form_is_shown_beside_the_state(result: Any, said: str) -> None:
    with pytest.raises(TypeError, match=rf"{said} for a state \(\(2,\), \(2,\)\); a step returns the new state"):
        elman.scan(result, torch.ones(3, 2), (torch.zeros(2), torch.zeros(2)))


def test_a_dict_in_another_order_is_refused_rather_than_mixed_up() -> None:
    state = {"h": torch.zeros(2), "c": torch.zeros(2)}
    with pytest.raises(TypeError, match=r"returned \{'c': \(2,\), 'h': \(2,\)\} for a state \{'h'"):
        elman.scan(lambda x, s: {"c": x, "h": x}, torch.ones(3, 2), state)


def test_a_step_of_a_cell_that_returns_too_little_is_named() -> None:
    class ForgetsItsContext(Cell):
        gates, states = ("h",), ("h", "c")

        def step(self, x: Any, h: Tensor, c: Tensor) -> Tensor:
            return torch.tanh(x.h + self.recur.h(h))

    with pytest.raises(UserError, match=r"step returned 1 tensors; expected h, c"):
        elman.scan(ForgetsItsContext(2, 3), torch.ones(1, 1, 2))
