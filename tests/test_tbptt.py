"""Truncated BPTT against full BPTT, and against the truncated sum written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from elman import LSTM, TBPTT, Recurrent, scan
from elman.errors import UserError
from elman.structure import State, leaves, map_leaves

TIME, BATCH, INPUT, HIDDEN = 24, 3, 2, 4

Array = np.ndarray


class Net(nn.Module):
    """A stack and a linear read-out."""

    def __init__(self, cell: Any = "rnn", **options: Any) -> None:
        super().__init__()
        self.recurrent = Recurrent(cell, INPUT, HIDDEN, dtype=torch.float64, **options)
        self.head = nn.Linear(HIDDEN, 1, dtype=torch.float64)

    def initial_state(self, batch_size: int) -> State:
        return self.recurrent.initial_state(batch_size)

    def forward(self, x: Tensor, state: State = None, *, resets: Tensor | None = None) -> tuple[Tensor, State]:
        y, state = self.recurrent(x, state, resets=resets)
        return self.head(y), state


def squares(output: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (output - y).square().sum()


def data(time: int = TIME) -> tuple[Tensor, Tensor, Tensor]:
    x, y = torch.randn(time, BATCH, INPUT, dtype=torch.float64), torch.randn(time, BATCH, 1, dtype=torch.float64)
    return x, y, torch.rand(time, BATCH) < 0.15


def gradients(net: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in net.parameters()]


def by_hand(
    weights: dict[str, Array], x: Array, y: Array, resets: Array, k1: int, k2: int
) -> tuple[float, dict[str, Array]]:
    """The truncated sum for h_t = tanh(W x_t + U h_{t-1} + b), out = v h_t + c, with backpropagation by loops."""
    w, u, v = weights["weight_ih"], weights["weight_hh"], weights["head.weight"]
    bias = weights["bias_ih"] + weights["bias_hh"]
    time = len(x)
    h = np.zeros((time + 1, BATCH, HIDDEN))  # h[t + 1] is the state after step t
    before = np.zeros((time, BATCH, HIDDEN))  # the state that step t saw
    for t in range(time):
        before[t] = np.where(resets[t][:, None], 0.0, h[t])
        h[t + 1] = np.tanh(x[t] @ w.T + before[t] @ u.T + bias)
    error = h[1:] @ v.T + weights["head.bias"] - y

    total = {name: np.zeros_like(each) for name, each in weights.items()}
    for newest in range(0, time, k1):
        end = min(newest + k1, time)
        start = max(0, newest + k1 - k2)
        dh = np.zeros((BATCH, HIDDEN))
        for t in reversed(range(start, end)):
            if t >= newest:  # only the newest window has a loss
                dh = dh + error[t] @ v
                total["head.weight"] += error[t].T @ h[t + 1]
                total["head.bias"] += error[t].sum(0)
            dz = dh * (1 - h[t + 1] ** 2)
            total["weight_ih"] += dz.T @ x[t]
            total["weight_hh"] += dz.T @ before[t]
            total["bias_ih"] += dz.sum(0)
            total["bias_hh"] += dz.sum(0)
            dh = np.where(resets[t][:, None], 0.0, dz @ u)
    return 0.5 * float((error**2).sum()), total


@pytest.mark.parametrize("with_resets", [False, True])
@pytest.mark.parametrize(
    ("k1", "k2"), [(1, 1), (1, 3), (4, 4), (4, 8), (4, 12), (5, 5), (7, 7), (4, 24), (24, 24), (1, 40)]
)
def test_window_gradients_sum_to_the_truncated_sum_written_by_hand(
    k1: int, k2: int, with_resets: bool, close: Any
) -> None:
    net = Net()
    x, y, resets = data()
    weights = {name.removeprefix("recurrent.layers.0.0."): p.detach().numpy() for name, p in net.named_parameters()}
    flags = resets if with_resets else torch.zeros_like(resets)

    tb, total = TBPTT(net, k1, k2), 0.0
    for window in range(0, TIME, k1):
        part = slice(window, window + k1)
        total += float(tb.backward(squares, x[part], y[part], flags[part] if with_resets else None))

    loss, expected = by_hand(weights, x.numpy(), y.numpy(), flags.numpy(), k1, k2)
    assert total == pytest.approx(loss, rel=1e-12)
    close(gradients(net), expected)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "peephole_lstm", "coupled_lstm", "gru_reset_before"])
@pytest.mark.parametrize("k1", [1, 4, 6])
def test_with_k2_of_the_whole_length_it_is_full_bptt(
    cell: str, k1: int, close: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elman.layers.recurrent.scan", partial(scan, backend="eager"))  # six cells need no programs
    net = Net(cell, num_layers=2)
    x, y, resets = data(12)
    full = squares(net(x, resets=resets)[0], y)
    full.backward()
    expected = gradients(net)
    net.zero_grad()
    tb = TBPTT(net, k1, 12)
    total = sum(
        tb.backward(squares, *parts) for parts in zip(*(each.split(k1) for each in (x, y, resets)), strict=True)
    )
    close(total, full.detach())
    close(gradients(net), expected)


def test_between_updates_it_runs_on_from_the_state_k2_back_with_the_weights_of_now(close: Any) -> None:
    nets = [Net("lstm"), Net("lstm")]
    nets[1].load_state_dict(nets[0].state_dict())
    x, y, _ = data()
    windows = list(zip(x.split(4), y.split(4), strict=True))
    ours, theirs = (torch.optim.SGD(net.parameters(), 0.05) for net in nets)
    tb = TBPTT(nets[0], 4, 12)
    start: State = None
    for n, (now, target) in enumerate(windows):
        ours.zero_grad()
        tb.backward(squares, now, target)
        theirs.zero_grad()
        state = start
        for m in range(max(0, n - 2), n + 1):
            output, state = nets[1](windows[m][0], state)
            if n >= 2 and m == n - 2:  # the next update begins here, at the state these weights gave
                start = map_leaves(Tensor.detach, state)
        squares(output, target).backward()
        close(gradients(nets[0]), gradients(nets[1]))
        ours.step()
        theirs.step()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "scrn"])
def test_the_state_is_carried_detached(cell: str, close: Any) -> None:
    net = Net(cell) if cell != "scrn" else Wide()
    x, y, _ = data(8)
    tb = TBPTT(net, 4)
    for part in (slice(0, 4), slice(4, 8)):
        tb.backward(squares, x[part], y[part])
    carried = tb.state_dict()
    close([carried[f"state.{k}"] for k in range(len(carried))], leaves(net(x)[1]))
    assert not any(tensor.requires_grad for tensor in carried.values())


class Wide(Net):
    def __init__(self) -> None:
        super().__init__("scrn")
        self.head = nn.Linear(2 * HIDDEN, 1, dtype=torch.float64)


class Echo(nn.Module):
    """Gives its state back as its output, and keeps it; ``start`` is a learned number."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.size = size
        self.start = nn.Parameter(torch.tensor(7.0))

    def initial_state(self, batch_size: int) -> State:
        return {"held": self.start.expand(batch_size, self.size)}

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        state = self.initial_state(x.shape[1]) if state is None else state
        return state["held"].expand(len(x), *state["held"].shape), state


def seen(tb: TBPTT, batch: int = 4) -> Tensor:
    with torch.no_grad():
        return tb.forward(torch.zeros(1, batch, 1))[0]


def test_resets_of_all_and_of_rows() -> None:
    tb = TBPTT(Echo(400))
    with tb.evaluating():
        tb.reset(rows=[1, 3], std=0.01)
        noisy = seen(tb)
        assert torch.equal(noisy[[0, 2]], torch.full((2, 400), 7.0))
        assert noisy[[1, 3]].abs().max() <= 0.02
        assert noisy[1].std().item() == pytest.approx(0.0088, rel=0.1)
        assert not torch.equal(noisy[1], noisy[3])
        assert torch.equal(seen(tb), noisy)
        tb.reset(rows=torch.tensor([False, True, False, False]))
        assert torch.equal(seen(tb)[1], torch.full((400,), 7.0))
        assert torch.equal(seen(tb)[3], noisy[3])
        tb.reset(rows=[])
        tb.reset(rows=[3], std=0.5)
        tb.reset(rows=[3])
        assert torch.equal(seen(tb)[3], torch.full((400,), 7.0))
        tb.reset(std=0.01)
        assert seen(tb).abs().max() <= 0.02
        tb.reset()
        assert (seen(tb) == 7).all()


@pytest.mark.parametrize("k2", [4, 8])
def test_resetting_a_row_is_a_reset_flag_at_the_next_step(k2: int, close: Any) -> None:
    net = Net("lstm", num_layers=2)
    x, y, _ = data()
    flags = torch.zeros(TIME, BATCH, dtype=torch.bool)
    flags[8, 1] = True
    results = []
    for by_flag in (True, False):
        net.zero_grad()
        tb = TBPTT(net, 4, k2)
        for window in range(0, TIME, 4):
            part = slice(window, window + 4)
            if window == 8 and not by_flag:
                tb.reset(rows=[1])
            tb.backward(squares, x[part], y[part], flags[part] if by_flag else None)
        results.append((gradients(net), tb.state_dict()["state.0"]))
    close(results[1], results[0])


def test_no_gradient_flows_through_a_reset_and_a_trained_start_learns_without_one() -> None:
    net = Echo()
    tb = TBPTT(net, 1)
    x = torch.zeros(1, 2, 1)
    tb.backward(lambda output, _: output.sum(), x, None)
    assert net.start.grad is not None
    assert net.start.grad.item() == 6.0
    tb.reset(rows=[0])
    with pytest.raises(RuntimeError, match="does not require grad"):
        tb.backward(lambda output, _: output.sum(), x, None)


def test_evaluation_has_a_state_and_a_mode_of_its_own(close: Any) -> None:
    net = Net("lstm", num_layers=2, dropout=0.5)
    net.recurrent.layers[0].eval()
    x, y, _ = data()
    tb = TBPTT(net, 4, 8)
    tb.backward(squares, x[:4], y[:4])
    before, random = tb.state_dict(), torch.get_rng_state()
    with tb.evaluating() as same:
        assert same is tb
        assert not net.training
        outputs = torch.cat([tb.forward(part) for part in x.split(5)])
        assert not outputs.requires_grad
        with tb.evaluating():
            tb.forward(x[:1])
        close(torch.cat([outputs[-4:], tb.forward(x[:2])]), net(torch.cat([x, x[:2]]))[0][-6:])
        tb.reset()
        close(tb.forward(x[:2]), outputs[:2])
    assert torch.equal(torch.get_rng_state(), random)
    assert net.training
    assert not net.recurrent.layers[0].training
    after = tb.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(KeyError), tb.evaluating():
        raise KeyError
    assert net.training
    assert tb.state_dict().keys() == before.keys()


def test_forward_and_backward_know_their_place() -> None:
    tb = TBPTT(Net(), 4)
    x, y, _ = data(4)
    with torch.no_grad(), pytest.raises(UserError, match=r"call it inside 'with tb.evaluating"):
        tb.forward(x)
    with tb.evaluating(), pytest.raises(UserError, match=r"TBPTT.backward trains; call it outside"):
        tb.backward(squares, x, y)


def train(
    net: nn.Module, tb: TBPTT, steps: range, windows: list[Any], act: Callable[[int, TBPTT], None]
) -> list[float]:
    optimizer = torch.optim.SGD(net.parameters(), 0.02)
    losses = []
    for n in steps:
        optimizer.zero_grad()
        losses.append(float(tb.backward(squares, *windows[n])))
        optimizer.step()
        act(n, tb)
    return losses


def row_resets(n: int, tb: TBPTT) -> None:
    if n % 2:
        tb.reset(rows=[n % BATCH], std=0.01 * (n % 3))
        tb.reset(rows=torch.tensor([n % 3 == 0, False, True]), std=0.02)
    if n == 4:
        tb.reset(std=0.3)


@pytest.mark.parametrize("start", ["zeros", "trained", 0.1])
@pytest.mark.parametrize("k2", [4, 12])
@pytest.mark.parametrize("stop", range(6))
def test_a_saved_state_goes_on_bit_for_bit(start: Any, k2: int, stop: int) -> None:
    def build() -> nn.Module:
        return Net(["lstm", "gru"], initial_state=start, dropout=0.3)

    x, y, resets = data()
    windows = list(zip(*(each.split(4) for each in (x, y, resets)), strict=True))
    net = build()
    tb = TBPTT(net, 4, k2)
    train(net, tb, range(stop), windows, row_resets)

    kept = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tb.state_dict().items()})
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random = torch.get_rng_state()
    losses = train(net, tb, range(stop, 6), windows, row_resets)

    again = build()
    again.load_state_dict(weights)
    resumed = TBPTT(again, 4, k2)
    resumed.load_state_dict(safetensors.torch.load(kept))
    saved_at_once = resumed.state_dict()
    resumed.load_state_dict(saved_at_once)
    torch.set_rng_state(random)
    assert train(again, resumed, range(stop, 6), windows, row_resets) == losses
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    ours, theirs = tb.state_dict(), resumed.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_more_than_ten_states_come_back_in_their_order() -> None:
    net = Net("lstm", num_layers=6)
    x, y, _ = data(8)
    tb = TBPTT(net, 4)
    tb.backward(squares, x[:4], y[:4])
    carried = tb.state_dict()
    assert len(carried) == 12
    other = TBPTT(net, 4)
    # As a file hands them back: "state.10" before "state.2".
    other.load_state_dict({name: carried[name] for name in sorted(carried)})
    assert other.backward(squares, x[4:], y[4:]) == tb.backward(squares, x[4:], y[4:])


def test_what_is_carried_names_its_batch_axis() -> None:
    net = Net("lstm", num_layers=2)
    x, y, resets = data(12)
    tb = TBPTT(net, 4, 12)
    for parts in zip(*(each.split(4) for each in (x, y, resets)), strict=True):
        tb.reset(rows=[0])
        tb.backward(squares, *parts)
    carried = tb.state_dict()
    assert {name.split(".")[0] for name in carried} == {"state", "history"}
    for name, tensor in carried.items():
        assert tensor.shape[0 if name.startswith("state") else 1] == BATCH
    names = {name.split(".", 2)[2] for name in carried if name.startswith("history")}
    assert names == {"x.0", "resets.0", "rows.0", "by.0", "by.1", "by.2", "by.3"}


def test_a_carried_state_of_another_model_is_refused() -> None:
    x, y, _ = data(4)
    tb = TBPTT(Net("lstm"), 4)
    tb.backward(squares, x, y)
    for net in (Net("gru"), Net("lstm", num_layers=2)):
        other = TBPTT(net, 4)
        other.load_state_dict(tb.state_dict())
        with pytest.raises(UserError, match=r"the carried state is \(\(3, 4\), \(3, 4\)\), the model's"):
            other.backward(squares, x, y)


def test_tuples_of_inputs_reach_the_model_as_they_are() -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: tuple[Tensor, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor]:
            value, weight = x
            state = torch.zeros(value.shape[1:]) if state is None else state
            total = state + self.scale * (value * weight).cumsum(0)
            return total, total[-1]

    outputs: list[Tensor] = []

    def keep(output: Tensor, _: None) -> Tensor:
        outputs.append(output)
        return output.sum()

    net = Weighted()
    tb = TBPTT(net, 2, 4)
    value, weight = torch.randn(6, 3), torch.randn(6, 3)
    for n in (0, 2, 4):
        if n == 4:
            tb.reset(rows=[2])
        tb.backward(keep, (value[n : n + 2], weight[n : n + 2]), None)
    expected = (value * weight).cumsum(0)[-1]
    expected[2] = (value * weight)[4:, 2].sum()
    torch.testing.assert_close(outputs[-1][-1], expected)


@pytest.mark.parametrize(("k1", "k2"), [(0, None), (4, 2), (4, 6), (-1, -1)])
def test_lengths_that_do_not_fit(k1: int, k2: int | None) -> None:
    with pytest.raises(UserError, match=r"k2 \(steps to backpropagate through\) is a multiple of k1"):
        TBPTT(Net(), k1, k2)


def test_bad_resets() -> None:
    with pytest.raises(UserError, match="std=-1; give the sigma"):
        TBPTT(Net()).reset(std=-1)
    layers_first = TBPTT(LSTM(INPUT, HIDDEN, num_layers=2), 4)
    layers_first.reset(rows=[0])
    with pytest.raises(
        UserError, match=r"\(\(2, 3, 4\), \(2, 3, 4\)\): for a batch of 3 .* as those of elman.Recurrent"
    ):
        layers_first.backward(squares, torch.randn(4, BATCH, INPUT), torch.zeros(4, BATCH, HIDDEN))
