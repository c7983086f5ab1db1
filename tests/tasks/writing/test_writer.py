from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from elman.data import Encoder, Sequences
from elman.generation import Sampling
from elman.models import DecoderNet
from elman.tasks.writing.bleu import bleu
from elman.tasks.writing.settings import SearchSettings
from elman.tasks.writing.writer import Writer, as_target, exact, perplexity, shifted, writing_loss

TEXTS = Sequences("texts", ["a b c", "b", "c a"], str)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    """Half of what would be compiled."""
    with torch.no_grad():
        yield


@pytest.fixture
def writer() -> Writer:
    return Writer(Encoder.learned(TEXTS, tokens="word", min_count=0), 4)


def test_the_loss_is_that_of_each_text_by_itself(writer: Writer) -> None:
    net = DecoderNet(writer.encoder.vocab_size, "gru", 4, vector_size=3, dtype=torch.float64).eval()
    vectors = torch.randn(3, 3, dtype=torch.float64)
    ids = writer.ids(TEXTS)
    target = as_target(ids)
    loss = writing_loss(net, net.begin(vector=vectors), shifted(target.ids, writer.end), target)
    total = 0.0
    for vector, each in zip(vectors, ids, strict=True):
        truth = torch.from_numpy(each)
        read = torch.cat([torch.tensor([writer.end]), truth[:-1]])
        scores, _ = net(read[:, None], net.begin(vector=vector[None]))
        total += float(F.cross_entropy(scores[:, 0].detach(), truth, reduction="sum"))
    assert float(loss.detach()) == pytest.approx(total / sum(map(len, ids)), rel=1e-5)


def test_the_unknown_type_is_never_written(writer: Writer) -> None:
    net = DecoderNet(writer.encoder.vocab_size, "gru", 4, vector_size=3).eval()
    assert writer.encoder.tokenizer is not None
    unknown = writer.encoder.tokenizer.unknown_id
    with torch.no_grad():
        net.head.bias[unknown] = 50.0
    state = net.begin(vector=torch.randn(8, 3))
    written = [found[0].text for found in writer.best(net, state, SearchSettings(beam=2))]
    drawn = writer.drawn(net, state, Sampling(1.0), generator=torch.Generator().manual_seed(0))
    for text in (*written, *drawn):
        assert "<unk>" not in text and len(text.split()) <= 4
    assert len(set(drawn)) > 1


def test_perplexity_weighs_by_tokens() -> None:
    found = perplexity([(torch.tensor(1.0), 3), (torch.tensor(2.0), 1)])
    assert found == {"loss": 1.25, "perplexity": math.exp(1.25)}


def test_exact_and_bleu_take_several_references() -> None:
    answers = ["a dog runs on green grass", "two boys play in the water"]
    one = ["a dog runs over the green grass", "two boys are in the water"]
    more = [[one[0], answers[0]], [one[1]]]
    assert exact(answers, more) == 0.5
    pytest.importorskip("sacrebleu")
    few, many = bleu(answers, one), bleu(answers, more)
    assert few[0] is not None and many[0] is not None and many[0] > few[0] + 20
    assert "nrefs:var" in many[1] and bleu(answers, [[text] for text in answers])[0] == pytest.approx(100.0)
