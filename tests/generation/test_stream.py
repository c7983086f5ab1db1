from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman.errors import UserError
from elman.generation import TokenStream, noisy_state
from elman.generation.stream import PIECE, evaluation_mode
from elman.models import LanguageNet
from elman.structure import leaves

MakeNet = Callable[..., nn.Module]


def test_streaming_equals_the_full_forward(make_net: MakeNet, rng: torch.Generator) -> None:
    net = make_net()
    ids = torch.randint(7, (12, 3), generator=rng)
    full, _ = net.eval()(ids)
    stream = TokenStream(net, 3)
    torch.testing.assert_close(stream.feed(ids[:5]), full[4], rtol=1e-12, atol=1e-12)
    for t in range(5, 12):
        torch.testing.assert_close(stream.step(ids[t]), full[t], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("patience", [0, 3])
def test_compiled_steps_go_on_where_the_others_stopped(
    make_net: MakeNet, rng: torch.Generator, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    monkeypatch.setattr("elman.generation.stream.PATIENCE", patience)
    for net in (make_net().train(), LanguageNet(7, "gru", 5, num_layers=2, dropout=0.5).double()):
        ids = torch.randint(7, (12, 3), generator=rng)
        full, _ = copy.deepcopy(net).eval()(ids)
        stream = TokenStream(net, 3)
        stream.feed(ids[:2])
        for t in range(2, 9):
            torch.testing.assert_close(stream.step(ids[t]), full[t], rtol=1e-12, atol=1e-12)
        stream.select([2, 0])
        for t in range(9, 12):
            torch.testing.assert_close(stream.step(ids[t, [2, 0]]), full[t, [2, 0]], rtol=1e-12, atol=1e-12)
        assert net.training


def test_a_long_prompt_is_fed_in_pieces(make_net: MakeNet, rng: torch.Generator) -> None:
    net = make_net()
    lengths: list[int] = []
    net.register_forward_pre_hook(lambda _, args: lengths.append(len(args[0])))
    ids = torch.randint(7, (2 * PIECE + 3, 1), generator=rng)
    logits = TokenStream(net, 1).feed(ids)
    assert lengths == [PIECE, PIECE, 3]
    torch.testing.assert_close(logits, net.eval()(ids)[0][-1], rtol=1e-10, atol=1e-10)


def test_a_given_state_goes_on(make_net: MakeNet, rng: torch.Generator) -> None:
    net = make_net()
    ids = torch.randint(7, (9, 2), generator=rng)
    whole = TokenStream(net, 2)
    expected = whole.feed(ids)
    first = TokenStream(net, 2)
    first.feed(ids[:4])
    assert not any(leaf.requires_grad for leaf in leaves(first.state))
    torch.testing.assert_close(TokenStream(net, 2, first.state).feed(ids[4:]), expected, rtol=1e-12, atol=1e-12)


def test_select_reorders_repeats_and_drops(make_net: MakeNet, rng: torch.Generator) -> None:
    net = make_net()
    ids = torch.randint(7, (6, 3), generator=rng)
    following = torch.tensor([1, 2, 3, 4])
    stream = TokenStream(net, 3)
    stream.feed(ids)
    stream.select([2, 0, 0, 2])
    assert stream.batch_size == 4
    alone = TokenStream(net, 4)
    alone.feed(ids[:, [2, 0, 0, 2]])
    torch.testing.assert_close(stream.step(following), alone.step(following), rtol=1e-12, atol=1e-12)
    stream.select(torch.tensor([3]))
    assert stream.batch_size == 1
    assert stream.step(torch.tensor([0])).shape == (1, 7)


def test_modes_are_put_back_and_no_gradients_kept(make_net: MakeNet) -> None:
    net = make_net()
    net.train()
    net.head.eval()
    stream = TokenStream(net, 1)
    logits = stream.feed(torch.tensor([[1], [2]]))
    assert torch.equal(logits, TokenStream(net, 1).feed(torch.tensor([[1], [2]])))  # dropout would differ
    assert not logits.requires_grad
    assert (net.training, net.rnn.training, net.head.training) == (True, True, False)


def test_modes_are_put_back_after_an_error() -> None:
    net = nn.Linear(1, 1)
    with pytest.raises(KeyError), evaluation_mode(net):
        assert not net.training
        raise KeyError
    assert net.training
    assert torch.is_grad_enabled()


def test_eval_of_a_net_that_overrides_it_is_called() -> None:
    class Net(nn.Linear):
        seen: tuple[bool, ...] = ()

        def train(self, mode: bool = True) -> Net:
            self.seen += (mode,)
            return super().train(mode)

    net = Net(1, 1)
    with evaluation_mode(net):
        assert net.seen == (False,)
    assert net.training


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_diverged_model_is_named(make_net: MakeNet, bad: float) -> None:
    net = make_net()
    with torch.no_grad():
        net.head.bias[2] = bad
    with pytest.raises(UserError, match="diverged"):
        TokenStream(net, 1).feed(torch.tensor([[0]]))


@pytest.mark.parametrize("shape", [(3,), (2, 5), (0, 3), (1, 3, 1)])
def test_ids_of_another_shape(make_net: MakeNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"expected \(T, 3\)"):
        TokenStream(make_net(), 3).feed(torch.zeros(shape, dtype=torch.int64))


def test_logits_of_another_shape() -> None:
    class BatchFirst(nn.Module):
        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            return torch.zeros(x.shape[1], x.shape[0], 4), state

    with pytest.raises(UserError, match=r"shape \(3, 2, 4\); expected \(2, 3, V\)"):
        TokenStream(BatchFirst(), 3).feed(torch.zeros(2, 3, dtype=torch.int64))


def test_a_state_that_is_not_batch_first() -> None:
    stream = TokenStream(nn.Identity(), 3, state=(torch.zeros(2, 3, 4),))
    with pytest.raises(UserError, match=r"\(\(2, 3, 4\),\); expected every tensor to start with the batch, 3 rows"):
        stream.select([0])


class WithStart(nn.Module):
    """A net with a trained start state, a counter among its leaves."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.tensor([1.0, -1.0], dtype=dtype))

    def initial_state(self, batch_size: int) -> dict[str, Tensor]:
        return {
            "h": self.start.expand(batch_size, 2),
            "seen": torch.zeros(batch_size, dtype=torch.int64),
            "c": self.start.new_zeros(batch_size, 5000),
        }


def test_noise_is_a_normal_truncated_at_two_sigmas(rng: torch.Generator) -> None:
    c = noisy_state(WithStart(torch.float64), 40, 0.01, rng)["c"]
    assert c.abs().max() <= 0.02
    assert c.abs().max() > 0.0199
    # Standard deviation of a standard normal cut at 2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)) = 0.87962566.
    assert float(c.std()) == pytest.approx(0.0087962566, rel=0.01)
    assert abs(float(c.mean())) < 5 * 0.0088 / 200_000**0.5
    # A cut normal has 71.5% of its mass within one sigma: (2 Phi(1) - 1) / (2 Phi(2) - 1).
    assert float((c.abs() < 0.01).double().mean()) == pytest.approx(0.68268949 / 0.95449974, abs=0.005)


def test_noise_is_added_to_the_start_of_the_net_in_its_dtype(rng: torch.Generator) -> None:
    net = WithStart()
    state = noisy_state(net, 3, 0.01, rng)
    assert list(state) == ["h", "seen", "c"]
    assert state["h"].dtype == torch.float32
    assert not state["h"].requires_grad
    difference = state["h"] - net.start
    assert difference.abs().max() <= 0.02 + 1e-6
    assert len(difference.unique()) == 6
    assert torch.equal(state["seen"], torch.zeros(3, dtype=torch.int64))


def test_noise_without_initial_state_replaces_zeros(make_net: MakeNet) -> None:
    net = make_net()
    state = noisy_state(net, 4, 0.01, torch.Generator().manual_seed(5))
    again = noisy_state(net, 4, 0.01, torch.Generator().manual_seed(5))
    for leaf, same in zip(leaves(state), leaves(again), strict=True):
        assert leaf.shape == (4, 2, 6)
        assert torch.equal(leaf, same)
        assert 0 < leaf.abs().max() <= 0.02
        assert len(leaf.unique()) == leaf.numel()
    assert net.training


def test_no_noise_is_the_plain_start() -> None:
    assert torch.equal(noisy_state(WithStart(), 2, 0)["h"], torch.tensor([[1.0, -1.0]] * 2))


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), "0.01", True])
def test_noise_out_of_range(sigma: Any) -> None:
    with pytest.raises(UserError, match=r"noise is .*such as 0.01"):
        noisy_state(WithStart(), 2, sigma)


def test_noise_asks_for_a_batch_first_start() -> None:
    class Net(nn.Module):
        def initial_state(self, batch_size: int) -> Tensor:
            return torch.zeros(1, batch_size, 4)

    with pytest.raises(UserError, match="start with the batch"):
        noisy_state(Net(), 3, 0.01)
