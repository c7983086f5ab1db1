from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from elman import UserError
from elman.models import TaggerNet
from elman.models.spelling import Spelling

pytestmark = pytest.mark.usefixtures("_without_gradients")
LENGTHS = torch.tensor([5, 0, 2])
IDS = torch.tensor([[1, 0, 2], [2, 0, 1], [3, 0, 0], [1, 0, 0], [1, 0, 0]])
# The words "", "ab", "b", "abb"; word 0 pads.
SPELLING = Spelling(torch.tensor([[0, 1, 2, 1], [0, 2, 0, 2], [0, 0, 0, 2]]), torch.tensor([0, 2, 1, 3]), IDS)


@pytest.fixture
def _without_gradients() -> Iterator[None]:
    """Half of the compiling: no gradient is asked of these nets."""
    with torch.no_grad():
        yield


def words(**options: Any) -> TaggerNet:
    torch.manual_seed(0)
    return TaggerNet(3, "rnn", 12, vocab_size=6, characters=3, embedding_size=5, character_size=12, **options).eval()


def row(number: int) -> tuple[Tensor, Tensor, Spelling]:
    """One row of the batch by itself, without padding, every word spelt where it stands."""
    length = max(int(LENGTHS[number]), 1)
    which = IDS[:length, number]
    spelling = Spelling(SPELLING.characters[:, which], SPELLING.lengths[which], torch.arange(length).unsqueeze(1))
    return which.unsqueeze(1), LENGTHS[number : number + 1], spelling


@pytest.mark.parametrize("crf", [False, True])
def test_a_batch_gives_what_its_rows_give(crf: bool) -> None:
    net = words(crf=crf)
    tags = torch.tensor([[0, -1, 2], [1, -1, 2], [2, -1, -1], [0, -1, -1], [1, -1, -1]])
    scores = net(IDS, LENGTHS, SPELLING)
    found = net.losses(scores, tags, LENGTHS), net.decode(scores, LENGTHS), net.probabilities(scores, LENGTHS)
    for number, length in enumerate(LENGTHS.tolist()):
        x, lengths, spelling = row(number)
        alone = net(x, lengths, spelling)
        torch.testing.assert_close(scores[:length, number], alone[:length, 0], rtol=1e-5, atol=1e-5)
        loss = net.losses(alone, tags[: len(x), number : number + 1], lengths)
        torch.testing.assert_close(found[0][number : number + 1], loss, rtol=1e-5, atol=1e-5)
        assert torch.equal(found[1][:length, number], net.decode(alone, lengths)[:length, 0])
        assert not found[1][length:, number].any()
        torch.testing.assert_close(found[2][:length, number].sum(-1), torch.ones(length))


def test_without_a_crf_every_step_is_judged_by_itself() -> None:
    net = words()
    scores = net(IDS, LENGTHS, SPELLING)
    tags = torch.tensor([[0, 0, 2], [1, 0, 2], [2, 0, 0], [0, 0, 0], [1, 0, 0]])
    expected = F.cross_entropy(scores[:, 0], tags[:, 0], reduction="sum")
    torch.testing.assert_close(net.losses(scores, tags, LENGTHS)[0], expected)
    assert net.losses(scores, tags, LENGTHS)[1] == 0
    assert torch.equal(net.decode(scores, LENGTHS)[:, 0], scores[:, 0].argmax(-1))


def test_a_word_read_as_unknown_is_still_spelt() -> None:
    net = words(word_dropout=0.999, unknown_id=0).train()
    torch.manual_seed(1)
    same = net(IDS, LENGTHS, SPELLING)[:2, 0]
    torch.testing.assert_close(same, net.eval()(torch.zeros_like(IDS), LENGTHS, SPELLING)[:2, 0])
    other = SPELLING._replace(characters=SPELLING.characters.clamp(max=1))
    assert not torch.allclose(net(IDS, LENGTHS, other)[:2, 0], same)


def test_frames_go_through_the_convolutional_net() -> None:
    net = TaggerNet(2, "rnn", 12, features=16, frames="cnn", frame_shape=(4, 4), frame_size=5)
    assert net(torch.randn(7, 2, 16)).shape == (7, 2, 2)
    assert net.reader.recurrent.layers[0][0].input_size == 5  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "vocab_size=None and features=None; give one"),
        ({"vocab_size": 3, "features": 3}, "vocab_size=3 and features=3; give one"),
        ({"features": 3, "characters": 4}, "characters=4, but numbers are not spelt; leave it out"),
        ({"features": 3, "dropout": 1.0}, "dropout=1.0; give the probability of dropping"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        TaggerNet(2, "rnn", 3, **options)
    assert sentence in str(caught.value)


def test_spelling_is_asked_for() -> None:
    with pytest.raises(UserError, match="reads the spelling of tokens; give it with spelling="):
        words()(IDS, LENGTHS)
