"""How parameters start."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from elman.cell import Cell
from elman.cells import CFN, GRU, JANET, LSTM, RNN, SCRN, CoupledLSTM, FastGRNN, LayerNormLSTM, MinimalRNN, PeepholeLSTM
from elman.initialisation import start_linear, truncated_normal_

CELLS = [RNN, LSTM, PeepholeLSTM, CoupledLSTM, GRU, SCRN]
every_cell = pytest.mark.parametrize("cls", CELLS, ids=lambda cls: cls.__name__)


@every_cell
def test_torch(cls: type) -> None:
    cell = cls(30, 25)
    for parameter in cell.parameters():
        assert parameter.abs().max() <= 0.2
        assert parameter.std().item() == pytest.approx(0.2 / math.sqrt(3), rel=0.35)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_torch_draws_what_torch_draws(kind: str) -> None:
    torch.manual_seed(2)
    theirs = getattr(nn, f"{kind}Cell")(5, 6)
    torch.manual_seed(2)
    ours = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}[kind](5, 6)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@every_cell
def test_xavier(cls: type) -> None:
    cell = cls(30, 25, bias=True, init="xavier")
    count = len(cell.gates)
    bound = math.sqrt(6 / (30 + 25))
    for block in cell.weight_ih.chunk(count):
        assert 0.9 * bound < block.abs().max() <= bound
    for block in cell.weight_hh.chunk(count):
        torch.testing.assert_close(block @ block.T, torch.eye(25), atol=1e-5, rtol=0)
    assert not cell.bias_hh.any()
    for gate, block in zip(cell.gates, cell.bias_ih.chunk(count), strict=True):
        assert (block == (1.0 if gate == cell.forget_gate else 0.0)).all()
    assert cls(3, 4, bias=False, init="xavier").bias_ih is None


@every_cell
def test_identity(cls: type) -> None:
    cell = cls(30, 25, bias=True, init="identity")
    for block in cell.weight_hh.chunk(len(cell.gates)):
        assert torch.equal(block, torch.eye(25))
    assert cell.weight_ih.std().item() == pytest.approx(0.001, rel=0.1)
    assert not cell.bias_ih.any()


@every_cell
def test_normal(cls: type) -> None:
    cell = cls(30, 25, bias=True, init="normal")
    for weight in (cell.weight_ih, cell.weight_hh):
        assert weight.abs().max() <= 0.04
        assert weight.std().item() == pytest.approx(0.02 * 0.8796, rel=0.1)
    assert not cell.bias_ih.any()


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
@pytest.mark.parametrize("cls", [LSTM, PeepholeLSTM, CoupledLSTM])
def test_a_forget_bias_is_set_under_every_start(cls: type, init: str) -> None:
    cell = cls(3, 4, init=init, forget_bias=2.5)
    row = cell.gates.index("f")
    assert (cell.bias_ih.chunk(len(cell.gates))[row] + cell.bias_hh.chunk(len(cell.gates))[row] == 2.5).all()
    if init != "torch":
        assert cell.bias_ih.count_nonzero() == 4


class Normalised(Cell, register=False):
    """A user's cell with every kind of normalisation layer, one of them without parameters."""

    gates = ("n",)

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        kinds = nn.LayerNorm(4), nn.RMSNorm(4), nn.GroupNorm(2, 4), nn.LayerNorm(4, elementwise_affine=False)
        self.norms = nn.Sequential(*kinds)


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
def test_a_normalisation_starts_at_gain_one_and_shift_zero(init: str) -> None:
    cell = Normalised(3, 4, init=init)
    for again in range(2):
        gains = {name: p for name, p in cell.norms.named_parameters() if name.endswith("weight")}
        shifts = {name: p for name, p in cell.norms.named_parameters() if name.endswith("bias")}
        assert len(gains) == 3 and all(p.eq(1).all() for p in gains.values())
        assert len(shifts) == 2 and all(p.eq(0).all() for p in shifts.values())
        if not again:
            with torch.no_grad():
                for parameter in cell.parameters():
                    parameter.fill_(7.0)
            cell.reset_parameters()
    assert not cell.weight_ih.eq(7).any() and not cell.bias_hh.eq(7).any()


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
def test_a_forget_bias_is_where_the_cell_keeps_it(init: str) -> None:
    norms = LayerNormLSTM(3, 4, init=init, forget_bias=2.5)
    assert norms.norm_f.bias.eq(2.5).all() and norms.norm_f.weight.eq(1).all() and not norms.norm_i.bias.any()
    assert FastGRNN(3, 4, init=init, forget_bias=2.5).bias_z.eq(2.5).all()
    assert MinimalRNN(3, 4, init=init, forget_bias=2.5).bias_hh.eq(2.5).all()
    chaos = CFN(3, 4, init=init, forget_bias=2.5)
    assert (chaos.bias_ih + chaos.bias_hh)[:4].eq(2.5).all() and not (chaos.bias_ih + chaos.bias_hh)[4:].eq(2.5).any()
    expected = 1.0 if init == "xavier" else 0.0
    assert LayerNormLSTM(3, 4, init=init).norm_f.bias.eq(expected).all()


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
def test_a_chrono_start_spreads_the_forget_bias_over_the_steps(init: str) -> None:
    cell = JANET(3, 2000, chrono=101, init=init)
    steps = cell.bias_ih[:2000].exp()
    assert not cell.bias_hh[:2000].any()
    assert 1 <= steps.min() < 2 and 99 < steps.max() <= 100.001
    assert steps.mean().item() == pytest.approx(50.5, abs=3)


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
def test_fast_grnn_starts_its_two_numbers_as_its_authors(init: str) -> None:
    cell = FastGRNN(3, 4, init=init)
    assert cell.zeta_logit.item() == 1.0 and cell.nu_logit.item() == -4.0


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
def test_a_learned_alpha_starts_where_it_was_told(init: str) -> None:
    cell = SCRN(3, 4, alpha=0.9, learn_alpha=True, init=init)
    torch.testing.assert_close(torch.sigmoid(cell.alpha_logit), torch.full((4,), 0.9))


@pytest.mark.parametrize("init", ["torch", "xavier", "identity", "normal"])
def test_gradients_reach_every_parameter(init: str) -> None:
    for cls in CELLS:
        cell = cls(3, 4, init=init)
        h = None
        for _ in range(3):
            y, h = cell(torch.randn(2, 3), h)
        y.sum().backward()
        assert all(parameter.grad is not None for parameter in cell.parameters())


def test_truncated_normal() -> None:
    drawn = truncated_normal_(torch.empty(100_000), 0.5)
    assert drawn.abs().max() <= 1.0
    assert drawn.std().item() == pytest.approx(0.5 * 0.8796, rel=0.01)
    assert abs(drawn.mean().item()) < 0.01
    before = torch.get_rng_state()
    assert not truncated_normal_(torch.ones(5), 0.0).any()
    seeded = [truncated_normal_(torch.empty(5), 1.0, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*seeded)
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_around_the_recurrence() -> None:
    for layer in (nn.Linear(40, 30), nn.Embedding(40, 30), nn.Linear(40, 30, bias=False)):
        before = layer.weight.detach().clone()
        start_linear(layer, "torch")
        start_linear(layer, "identity")
        assert torch.equal(layer.weight, before)
        start_linear(layer, "xavier")
        assert 0.27 < layer.weight.abs().max() <= math.sqrt(6 / 70)
        start_linear(layer, "normal")
        assert layer.weight.abs().max() <= 0.04
        assert getattr(layer, "bias", None) is None or not layer.bias.any()
