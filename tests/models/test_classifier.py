from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman import UserError
from elman.models import ClassifierNet
from elman.models.pooling import POOLINGS
from elman.models.spelling import Spelling

IDS = [torch.tensor([1, 4, 2, 2, 3]), torch.tensor([2]), torch.tensor([5, 1, 1])]


def padded(rows: list[Tensor], filling: int) -> tuple[Tensor, Tensor]:
    x = nn.utils.rnn.pad_sequence(rows, padding_value=filling)
    return x, torch.tensor([len(row) for row in rows])


def net(**options: Any) -> ClassifierNet:
    return ClassifierNet(3, "rnn", 4, vocab_size=6, embedding_size=5, dtype=torch.float64, **options).eval()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", sorted(POOLINGS))
def test_a_batch_of_mixed_lengths_gives_the_same_as_one_by_one(pooling: str, bidirectional: bool) -> None:
    model = net(pooling=pooling, bidirectional=bidirectional)
    together = model(*padded(IDS, filling=0))
    torch.testing.assert_close(model(*padded(IDS, filling=5)), together, rtol=0, atol=0)
    for row, ids in enumerate(IDS):
        # Twice side by side: a batch of one row is a program of its own.
        alone = model(ids.unsqueeze(1).repeat(1, 2))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-12, atol=1e-12)


def test_spelling_is_read_wherever_a_word_stands() -> None:
    model = net(characters=4, character_size=3, pooling="last").eval()
    letters = torch.tensor([[0, 1, 2, 3], [0, 2, 3, 1], [0, 0, 1, 0]])  # the words "", "ab", "bca", "ca", a column each
    x, lengths = torch.tensor([[1, 1], [2, 3]]), torch.tensor([2, 2])
    which = torch.tensor([[1, 1], [2, 3]])
    scores = model(x, lengths, Spelling(letters, torch.tensor([0, 2, 3, 2]), which))
    moved = Spelling(letters[:, [0, 3, 2, 1]], torch.tensor([0, 2, 3, 2]), torch.tensor([[3, 3], [2, 1]]))
    torch.testing.assert_close(model(x, lengths, moved), scores, rtol=1e-12, atol=1e-12)
    other = Spelling(letters, torch.tensor([0, 2, 3, 2]), torch.tensor([[1, 2], [2, 3]]))
    changed = model(x, lengths, other)
    torch.testing.assert_close(changed[0], scores[0], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(changed[1], scores[1])
    with pytest.raises(UserError, match="this net reads the spelling of tokens; give it with spelling="):
        model(x, lengths)
    with pytest.raises(UserError, match="characters=4, but numbers are not spelt"):
        ClassifierNet(2, "rnn", 4, features=3, characters=4)


def test_it_equals_pytorch_step_by_step() -> None:
    model = net(pooling="last", bidirectional=True)
    forward, backward = model.reader.recurrent.layers[0]
    for ids, scores in zip(IDS, model(*padded(IDS, 0)), strict=True):
        final = []
        for cell, order in ((forward, ids), (backward, ids.flip(0))):
            other = nn.RNNCell(5, 4, dtype=torch.float64)
            other.load_state_dict(cell.state_dict())
            h = torch.zeros(1, 4, dtype=torch.float64)
            for token in order:
                h = other(model.reader.embedding(token)[None], h)
            final.append(h)
        torch.testing.assert_close(scores, model.head(torch.cat(final, -1))[0], rtol=1e-12, atol=1e-12)


def test_numbers_are_read_as_they_are() -> None:
    model = ClassifierNet(2, "rnn", 4, features=3, pooling="mean", dropout=0.5)
    model.reader.recurrent.dropout = 0.0
    x = torch.randn(6, 2, 3)
    assert torch.equal(model.pooled(x), model.eval().pooled(x)), "dropout leaves numbers alone"


def test_word_dropout_reads_words_as_unknown() -> None:
    model = net(word_dropout=0.5, unknown_id=0, pooling="mean").train()
    torch.manual_seed(0)
    dropped = torch.rand(5, 1) < 0.5
    torch.manual_seed(0)
    vectors = model.reader.vectors(IDS[0].unsqueeze(1))
    expected = model.reader.embedding.weight[IDS[0].unsqueeze(1).masked_fill(dropped, 0)]
    assert 0 < dropped.sum() < 5 and torch.equal(vectors, expected)
    zeroed = net(word_dropout=0.5).train()
    torch.manual_seed(0)
    vectors = zeroed.reader.vectors(IDS[0].unsqueeze(1))
    assert torch.equal(vectors == 0, dropped.unsqueeze(-1).expand_as(vectors))
    assert torch.equal(zeroed.eval().reader.vectors(IDS[0]), zeroed.reader.embedding(IDS[0]))


def test_dropout_acts_in_training_alone() -> None:
    model = net(dropout=0.5)
    x, lengths = padded(IDS, 0)
    assert torch.equal(model(x, lengths), model(x, lengths))
    model.train()
    assert not torch.equal(model(x, lengths), model(x, lengths))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"vocab_size": 3, "features": 3}, "give one, for ids or for numbers"),
        ({}, "vocab_size=None and features=None; give one"),
        ({"features": 3, "pooling": "maxx"}, "pooling is 'maxx'; did you mean 'max'?"),
        ({"features": 3, "word_dropout": 1.0}, "word_dropout=1.0; give the probability of dropping"),
    ],
)
def test_bad_options(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        ClassifierNet(2, "rnn", 4, **options)
    assert sentence in str(caught.value)
