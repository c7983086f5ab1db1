"""``LanguageNet``: embedding or one-hot, any stack, and scores."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from elman import TBPTT
from elman.errors import UserError
from elman.models import LanguageNet

VOCAB = 11


def ids(time: int = 6, batch: int = 3) -> torch.Tensor:
    return torch.randint(VOCAB, (time, batch))


@pytest.mark.parametrize("embedding_size", [None, 5])
@pytest.mark.parametrize("cell", ["lstm", "scrn", ["gru", "rnn"]])
def test_logits_are_the_layers_one_after_another(cell: Any, embedding_size: int | None, close: Any) -> None:
    net = LanguageNet(VOCAB, cell, 4, embedding_size=embedding_size, dtype=torch.float64)
    x = ids()
    logits, states = net(x)
    vectors = F.one_hot(x, VOCAB).double() if embedding_size is None else net.embedding.weight[x]
    y, final = net.recurrent(vectors)
    close(logits, y @ net.head.weight.T + net.head.bias)
    close(states, final)
    assert logits.shape == (6, 3, VOCAB)
    assert net.head.weight.dtype == torch.float64


def test_a_text_in_pieces_is_the_whole(close: Any) -> None:
    net = LanguageNet(VOCAB, "lstm", [4, 5], embedding_size=3).double()
    x = ids()
    whole, final = net(x)
    first, states = net(x[:2])
    second, after = net(x[2:], states)
    close(torch.cat([first, second]), whole)
    close(after, final)


def test_resets_start_a_text_anew(close: Any) -> None:
    net = LanguageNet(VOCAB, "gru", 4, initial_state="trained").double()
    with torch.no_grad():
        net.recurrent.starts[0].normal_()
    x, resets = ids(), torch.zeros(6, 3, dtype=torch.bool)
    resets[4, 1] = True
    close(net(x, resets=resets)[0][4:, 1:2], net(x[4:, 1:2])[0])
    close(net.initial_state(2)[0][1], net.recurrent.starts[0])


def test_tied_weights_are_one_and_get_both_gradients() -> None:
    net = LanguageNet(VOCAB, "lstm", [8, 5], embedding_size=5, tied=True)
    assert net.head.weight is net.embedding.weight
    assert sum(1 for name, _ in net.named_parameters() if name.endswith(("embedding.weight", "head.weight"))) == 1
    x = torch.zeros(2, 1, dtype=torch.long)  # only token 0 is read
    logits, _ = net(x)
    logits.sum().backward()
    assert (net.embedding.weight.grad[1:].abs().sum(1) > 0).all()
    again = copy.deepcopy(net)
    assert again.head.weight is again.embedding.weight


@pytest.mark.parametrize("cell", ["gru", ["gru", "rnn"]])
def test_dropout_acts_before_between_and_after_the_layers(cell: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = LanguageNet(VOCAB, cell, 64, embedding_size=64, dropout=0.25)
    seen: dict[str, torch.Tensor] = {}
    net.recurrent.register_forward_pre_hook(lambda _, args: seen.update(before=args[0]))
    net.head.register_forward_pre_hook(lambda _, args: seen.update(after=args[0]))
    x = ids(40, 8)
    net(x)
    for values in seen.values():
        assert (values == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    kept = seen["before"] != 0
    torch.testing.assert_close(seen["before"][kept], net.embedding(x)[kept] / 0.75)
    assert net.recurrent.dropout == 0.25
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])
    assert (seen["after"] != 0).all()


def test_options_reach_cells_and_starts() -> None:
    net = LanguageNet(VOCAB, "lstm", 4, 2, embedding_size=6, init="normal", forget_bias=1.0)
    assert len(net.recurrent.layers) == 2
    assert (net.recurrent.layers[1][0].bias_ih[4:8] == 1).all()
    for weight in (net.embedding.weight, net.head.weight, net.recurrent.layers[0][0].weight_hh):
        assert weight.abs().max() <= 0.04
    assert not net.head.bias.any()
    on_meta = LanguageNet(VOCAB, "lstm", 4, embedding_size=6, device="meta")
    assert all(parameter.is_meta for parameter in on_meta.parameters())


def test_it_learns_a_cycle() -> None:
    net = LanguageNet(4, "gru", 8, init="xavier")
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    cycle = torch.arange(400).view(1, -1).T % 4
    tb = TBPTT(net, 8)
    for n in range(0, 320, 8):
        optimizer.zero_grad()
        loss = tb.backward(
            lambda logits, y: F.cross_entropy(logits.flatten(0, 1), y.flatten()), cycle[n : n + 8], cycle[n + 1 : n + 9]
        )
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LanguageNet(VOCAB, "lstm", 4, tied=True), "embedding of the output's size 4, got embedding_size=None"),
        (lambda: LanguageNet(VOCAB, "scrn", 4, embedding_size=4, tied=True), "size 8, got embedding_size=4"),
        (lambda: LanguageNet(VOCAB, "lstm", 4, dropout=1.0), "dropout=1.0; give the probability"),
        (lambda: LanguageNet(VOCAB, "lstn", 4), "unknown cell 'lstn'; did you mean 'lstm'"),
        (lambda: LanguageNet(VOCAB, "lstm", 4, forgetbias=1.0), "option 'forgetbias'; did you mean 'forget_bias'"),
    ],
)
def test_bad_options_are_named(build: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()
