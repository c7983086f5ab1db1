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


def seen(net: LanguageNet, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What goes into the recurrent layers and comes out of them, and what goes into the output layer."""
    found = []
    hooks = [
        net.recurrent.register_forward_hook(lambda module, args, result: found.extend((args[0], result[0]))),
        net.head.register_forward_hook(lambda module, args, result: found.append(args[0])),
    ]
    net(x)
    for hook in hooks:
        hook.remove()
    return found[0], found[1], found[2]


@pytest.mark.parametrize("locked", [True, False])
def test_dropout_of_input_and_output_is_locked_or_not(locked: bool) -> None:
    net = LanguageNet(VOCAB, "rnn", 40, embedding_size=40, input_dropout=0.5, output_dropout=0.25, locked=locked)
    x = ids(8)
    into, y, out = seen(net, x)
    for got, whole, p in ((into, net.embedding(x), 0.5), (out, y, 0.25)):
        scale = got / whole
        kept = scale > 0
        assert (1 - p - 0.12) < kept.float().mean() < (1 - p + 0.12)
        torch.testing.assert_close(scale[kept], torch.full_like(scale[kept], 1 / (1 - p)), rtol=1e-4, atol=0)
        assert torch.equal(kept, kept[:1].expand_as(kept)) is locked
        assert not torch.equal(kept[:, 0], kept[:, 1])
    into, y, out = seen(net.eval(), x)
    assert torch.equal(into, net.embedding(x)) and torch.equal(out, y)


def test_dropout_between_layers_may_be_locked() -> None:
    net = LanguageNet(VOCAB, "rnn", 30, 2, embedding_size=4, dropout=0.5, locked=True, output_dropout=0.0)
    assert net.recurrent.locked and net.recurrent.dropout == 0.5
    into, y, out = seen(net, torch.arange(VOCAB).repeat(3, 1).T)
    assert 0.2 < (into == 0).float().mean() < 0.8 and torch.equal(out, y)


def test_dropping_types_drops_whole_vectors() -> None:
    net = LanguageNet(VOCAB, "rnn", 4, embedding_size=6, embedding_dropout=0.5)
    x = torch.arange(VOCAB).repeat(2, 1).T
    into, _, _ = seen(net, x)
    scale = into / net.embedding(x)
    assert torch.equal(scale[:, 0], scale[:, 1])
    assert all(
        row.allclose(row[0].expand_as(row), rtol=1e-4) and row[0] in (0, 2) for row in scale[:, 0].round(decimals=4)
    )
    assert 0 < int((scale[:, 0, 0] == 0).sum()) < VOCAB
    assert torch.equal(seen(net.eval(), x)[0], net.embedding(x))


def test_recurrent_weights_are_dropped_in_training_only() -> None:
    torch.manual_seed(1)
    plain = LanguageNet(VOCAB, "lstm", 5, 2, embedding_size=5)
    torch.manual_seed(1)
    net = LanguageNet(VOCAB, "lstm", 5, 2, embedding_size=5, weight_drop=1.0 - 1e-7)
    x = ids()
    assert torch.equal(net.eval()(x)[0], plain(x)[0])
    net.train()(x)[0].sum().backward()
    for layer in net.recurrent.layers:
        assert layer[0].cell.weight_hh.grad.abs().sum() == 0 < layer[0].cell.weight_ih.grad.abs().sum()


@pytest.mark.parametrize("option", ["input_dropout", "embedding_dropout"])
def test_one_hot_vectors_are_not_dropped(option: str) -> None:
    with pytest.raises(UserError, match=r"one-hot vectors are not dropped; give an embedding_size"):
        LanguageNet(VOCAB, "rnn", 4, **{option: 0.5})


def test_the_penalty_is_merity_and_socher_written_out() -> None:
    net = LanguageNet(
        VOCAB, "gru", 4, embedding_size=3, output_dropout=0.5, activation_penalty=2.0, change_penalty=3.0
    ).double()
    _, y, out = seen(net, ids())
    changes = sum(((y[t] - y[t - 1]) ** 2).sum() for t in range(1, len(y)))
    expected = 2 * (out**2).sum() / out.numel() + 3 * changes / y[1:].numel()
    assert net.penalty.item() == pytest.approx(expected.item(), rel=1e-12)
    net.eval()(ids())
    assert net.penalty is None


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
