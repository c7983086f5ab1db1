"""Gradient flow against finite differences, against what is known of a linear net, and in words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import elman
from elman.cells import GRU, IRNN, LEM, LSTM, RNN, SCRN
from elman.diagnostics import gradient_flow
from elman.diagnostics.gradient_flow import SMALLEST, GradientFlow
from elman.errors import UserError
from elman.structure import leaves, rebuild

TIME, BATCH = 6, 2


def linear(scale: float, size: int = 4) -> RNN:
    """An RNN without a nonlinearity whose recurrent matrix is ``scale`` times an orthogonal one."""
    cell = RNN(2, size, nonlinearity="identity").double()
    nn.init.orthogonal_(cell.weight_hh.data)
    cell.weight_hh.data *= scale
    return cell


def loss(y: Tensor) -> Tensor:
    return (y * torch.arange(1.0, 1 + y.numel(), dtype=y.dtype).view_as(y)).sin().sum()


@pytest.mark.parametrize("cls", [RNN, IRNN, LSTM, GRU, LEM, SCRN])
@pytest.mark.parametrize("at", [-1, 3])
def test_finite_differences(cls: Any, at: int) -> None:
    torch.manual_seed(0)
    cell = cls(3, 4).double()
    x, state = torch.randn(TIME, BATCH, 3).double(), cell.initial_state(BATCH)
    state = rebuild(state, [torch.randn_like(leaf) / 3 for leaf in leaves(state)])
    flow = gradient_flow(cell, x, state, loss=loss, at=at)
    step, eps = at % TIME, 1e-6

    @torch.no_grad()
    def loss_from(t: int, there: Any) -> Tensor:
        for each in x[t : step + 1]:
            y, there = cell(each, there)
        return loss(y)

    assert list(flow.norms) == list(cell.states)
    before = state
    for t in range(step + 1):
        lag = step + 1 - t
        for k, name in enumerate(cell.states):
            leaf = leaves(before)[k]
            found = torch.zeros_like(leaf)
            for place in np.ndindex(*leaf.shape):
                pair = []
                for sign in (1, -1):
                    moved = [each.clone() for each in leaves(before)]
                    moved[k][place] += sign * eps
                    pair.append(loss_from(t, rebuild(before, moved)))
                found[place] = (pair[0] - pair[1]) / (2 * eps)
            assert flow.norms[name][lag - 1].item() == pytest.approx(found.norm().item(), rel=1e-5, abs=1e-8)
        before = cell(x[t], before)[1]


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.2, 2.0), time=st.integers(3, 60))
def test_a_linear_net_of_an_orthogonal_matrix(scale: float, time: int) -> None:
    flow = gradient_flow(linear(scale), torch.randn(time, 1, 2))
    expected = 2 * scale ** torch.arange(1, time + 1, dtype=torch.float64)  # ||(1, 1, 1, 1)|| is 2
    torch.testing.assert_close(flow.norms["h"], expected, rtol=1e-6, atol=0)
    assert flow.rate == pytest.approx(scale, rel=1e-6) and flow.output == pytest.approx(2)
    share = scale ** (time - 1)
    assert flow.share(time) == pytest.approx(share, rel=1e-6)
    assert flow.verdict == ("vanishing" if share < 1e-3 else "carried" if share <= 1e3 else "exploding")
    assert flow.matrices[""].radius == pytest.approx(scale) == pytest.approx(flow.matrices[""].smallest)


def test_a_linear_net_of_any_matrix() -> None:
    cell = RNN(2, 5, nonlinearity="identity", bias=False).double()
    weights = torch.randn(5, 3, dtype=torch.float64)
    flow = gradient_flow(cell, torch.randn(9, 1, 2), loss=lambda y: (y @ weights)[0, 1])
    vector = weights[:, 1]
    for lag in range(1, 10):
        vector = cell.weight_hh.detach().T @ vector
        assert flow.norms["h"][lag - 1].item() == pytest.approx(vector.norm().item(), rel=1e-10)
    assert flow.matrices[""].largest == pytest.approx(np.linalg.norm(cell.weight_hh.detach().numpy(), 2))


def test_beyond_the_range_of_float32_and_of_squares() -> None:
    flow = gradient_flow(linear(0.5), torch.zeros(900, 1, 2))
    assert flow.norms["h"][-1].item() == pytest.approx(2 * 0.5**900, rel=1e-3)  # 1e-271, whose square is 0
    assert flow.rate == pytest.approx(0.5, rel=1e-6)
    assert flow.reach(SMALLEST / float(flow.total[0])) == 150  # 2 * 0.5 ** 150 is 2 ** -149
    assert "Beyond 150 steps it is smaller than any float32 number" in flow.summary


def test_a_stack_is_what_autograd_says_of_its_layers() -> None:
    torch.manual_seed(1)
    stack = elman.Recurrent(["gru", "lstm"], 3, [4, 5]).double()
    x = torch.randn(TIME, BATCH, 3).double()
    flow = gradient_flow(stack, x, loss=loss)
    assert list(flow.norms) == ["0.h", "1.h", "1.c"]
    # The start of the stack is the state TIME steps back, and its gradient is at hand without any of our means.
    start = [torch.zeros(BATCH, size, dtype=torch.float64, requires_grad=True) for size in (4, 5, 5)]
    gru, lstm = (layer[0] for layer in stack.layers)
    between, _ = elman.scan(gru, x, start[0], backend="eager")
    y, _ = elman.scan(lstm, between, tuple(start[1:]), backend="eager")
    found = torch.autograd.grad(loss(y[-1]), [*start, *stack.parameters()])
    for norms, gradient in zip(flow.norms.values(), found, strict=False):
        assert norms[-1].item() == pytest.approx(gradient.norm().item())
    assert flow.parameters == pytest.approx(torch.cat([g.flatten() for g in found[3:]]).norm().item())
    assert flow.total[-1].item() == pytest.approx(torch.cat([g.flatten() for g in found[:3]]).norm().item())


@pytest.mark.parametrize("theirs", [nn.LSTM, elman.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_torch_and_our_drop_ins(theirs: Any, batch_first: bool) -> None:
    module = theirs(3, 4, num_layers=2, batch_first=batch_first)
    start = [torch.randn(2, BATCH, 4, requires_grad=True) for _ in "hc"]
    x = torch.randn(BATCH, TIME, 3) if batch_first else torch.randn(TIME, BATCH, 3)
    flow = gradient_flow(module, x, tuple(each.detach() for each in start))
    y = nn.LSTM.forward(module, x, tuple(start))[0]
    y = y[:, -1] if batch_first else y[-1]
    h, c = torch.autograd.grad(y.sum(1).mean(), start)
    found = [flow.norms[name][-1].item() for name in ("0.h", "0.c", "1.h", "1.c")]
    assert found == pytest.approx([each[k].norm().item() for k in range(2) for each in (h, c)], rel=1e-4)


def test_any_step() -> None:
    flow = gradient_flow(lambda x, s: (s[0] * 0.5, s[1] + x), torch.ones(4, 1, 1), (torch.ones(1, 1), torch.ones(1, 1)))
    assert flow.norms["s0"].tolist() == [0.5, 0.25, 0.125, 0.0625] and not flow.norms["s1"].any()
    assert flow.parameters == 0 and flow.clip(1).factor == 1 and not flow.matrices
    assert list(gradient_flow(nn.LSTMCell(3, 4), torch.randn(4, 1, 3)).norms) == ["h", "c"]
    ids = gradient_flow(GRU(5, 4), torch.tensor([[0], [3], [1]]))
    assert len(ids.total) == 3 and ids.total.all()


def test_the_layer_stays_as_it_is() -> None:
    layer = elman.Recurrent("gru", 3, 4, num_layers=2, dropout=0.5)
    x = torch.randn(TIME, BATCH, 3)
    with torch.no_grad():
        flow = gradient_flow(layer, x)
    assert torch.equal(flow.total, gradient_flow(layer, x).total)  # nothing is dropped
    assert layer.training and all(p.dtype == torch.float32 and p.grad is None for p in layer.parameters())
    seen: list[torch.dtype] = []
    gradient_flow(layer, x, loss=lambda y: (seen.append(y.dtype), y.sum())[1])
    assert seen == [torch.float32]


def flow_of(*totals: float) -> GradientFlow:
    return GradientFlow({"h": torch.tensor(totals, dtype=torch.float64)}, 1.0, 5.0, len(totals) - 1, {})


def test_words() -> None:
    assert flow_of(1, 0.1, 0.01, 0.001, 1e-4).summary == (
        "The gradient vanishes: 0.0001 of it is left 5 steps back, a factor of 0.1 a step (halved every 0.3 steps). "
        "Beyond 3 steps less than a hundredth is left."
    )
    assert flow_of(1, 100, 1e4).summary == (
        "The gradient explodes: it is 10,000 times as large 3 steps back, a factor of 100 a step "
        "(doubled every 0.2 steps)."
    )
    assert flow_of(2, 2, 2).summary == "The gradient is carried: 1 of it arrives 3 steps back, a factor of 1 a step."
    assert "nothing of the loss reaches" in flow_of(0, 0).summary and flow_of(0, 0).reach() == 0
    assert flow_of(1, math.inf).verdict == "exploding"
    assert flow_of(1, 0, 0).rate == 0 and "nothing of it is left 3 steps back" in flow_of(1, 0, 0).summary
    assert flow_of(1, 0.5, 0.02, 0.5, 0.001).reach(0.02) == 4
    assert str(flow_of(1, 0.5)).splitlines()[-1].split() == ["2", "0.5"]


def test_what_a_matrix_says() -> None:
    x = torch.zeros(5, 1, 2)
    assert "is orthogonal, which keeps lengths" in gradient_flow(linear(1.0), x).summary
    assert "must vanish where derivatives are at most 1" in gradient_flow(linear(0.9), x).summary
    assert "a radius of 1 or more can carry it" in gradient_flow(linear(1.1), x).summary
    skewed = linear(1.0, size=2)
    skewed.weight_hh.data = torch.tensor([[0.5, 3.0], [0.0, 0.5]])
    assert "spectral radius 0.5, singular values 0.081 to 3.08: a radius below 1" in gradient_flow(skewed, x).summary
    two = gradient_flow(elman.Recurrent("rnn", 2, 3, num_layers=2), x)
    assert list(two.matrices) == ["layer 0", "layer 1"] and "recurrent matrix of layer 1" in two.matrix_note
    assert gradient_flow(GRU(2, 3), x).matrix_note == ""


def test_clipping() -> None:
    assert flow_of(1, 1).clip(1.0) == (5.0, 1.0, 0.2)
    assert flow_of(1, 1).clip(10.0) == (5.0, 5.0, 1.0)
    cell, x = GRU(3, 4), torch.randn(TIME, BATCH, 3)
    flow = gradient_flow(cell, x, loss=lambda y: 100 * y.square().sum())
    (100 * elman.scan(cell, x, backend="eager")[0][-1].square().sum()).backward()
    before = nn.utils.clip_grad_norm_(cell.parameters(), 0.5)
    assert flow.clip(0.5).before == pytest.approx(before.item(), rel=1e-4)
    after = torch.cat([p.grad.flatten() for p in cell.parameters() if p.grad is not None]).norm().item()
    assert flow.clip(0.5).after == pytest.approx(after, rel=1e-4)


def test_a_picture(tmp_path: Path) -> None:
    gradient_flow(linear(0.5), torch.zeros(300, 1, 2)).plot(tmp_path / "flow.png")
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="cannot write"):
        flow_of(1, 1).plot(tmp_path / "none" / "flow.png")
    with pytest.raises(UserError, match="cannot write"):
        flow_of(1, 1).plot(tmp_path / "flow.words")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: gradient_flow(GRU(3, 4), x, at=6), "at is 6, but x has 6 steps"),
        (lambda x: gradient_flow(GRU(3, 4), x, at=-6), "at is -6, the first step"),
        (lambda x: gradient_flow(elman.Recurrent("gru", 3, 4, bidirectional=True), x), "in both directions"),
        (lambda x: gradient_flow(nn.GRU(3, 4, bidirectional=True), x), "in both directions"),
        (lambda x: gradient_flow(GRU(3, 4), x, loss=lambda y: y), "loss has to make one number"),
        (lambda x: gradient_flow(GRU(3, 4), x, loss=lambda y: 1.0), "loss has to make one number"),
        (lambda x: gradient_flow(GRU(3, 4), x, loss=lambda y: y.detach().sum()), "loss has to make one number"),
        (lambda x: gradient_flow(lambda x, s: s, x), "has no start state"),
        (lambda x: gradient_flow(GRU(3, 4), x).share(7), "lag is 7; this flow was measured from 1 to 6"),
        (lambda x: gradient_flow(GRU(3, 4), x).clip(0), "clip is 0; give a norm above 0"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(torch.randn(TIME, BATCH, 3))
