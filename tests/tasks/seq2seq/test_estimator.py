"""The estimator of sequence to sequence, tried on words written backwards."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elman import Seq2Seq
from elman.errors import UserError
from elman.generation import Sampling
from elman.models import DecoderNet
from elman.tasks.seq2seq.estimator import own_share, with_own_tokens
from elman.tasks.seq2seq.settings import Seq2SeqSettings, TeachingSettings
from elman.tasks.settings import CellSettings
from elman.tasks.writing.attention_figure import draw_attention
from elman.tasks.writing.bleu import bleu

pytestmark = pytest.mark.usefixtures("eager")

SMALL: dict[str, Any] = {
    "cell": "gru", "hidden_size": 32, "embedding_size": 12, "tokens": "char", "threads": 1, "batch_size": 16,
    "learning_rate": 0.01, "beam": 2, "attention": "additive",
}  # fmt: skip


def backwards(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Different words of two to four letters, and each from its end."""
    draw = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(draw.choices("abcde", k=draw.randint(2, 4)))] = None
    return list(words), [word[::-1] for word in words]


WORDS, TURNED = backwards(500, 0)
TRAIN, NEW = (WORDS[:400], TURNED[:400]), (WORDS[400:], TURNED[400:])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, eager: None) -> Seq2Seq:
    run = tmp_path_factory.mktemp("runs") / "turned"
    return Seq2Seq(**SMALL, epochs=8, schedule="cosine").fit(*TRAIN, run=run)


@pytest.fixture
def barely() -> Any:
    """Trains for two steps, for what needs no quality."""

    def fit(X: Any = None, y: Any = None, run: Any = None, valid: Any = None, **options: Any) -> Seq2Seq:
        few = {"steps": 2, "hidden_size": 8, "encoder_size": 4, "embedding_size": 4}
        return Seq2Seq(**{**SMALL, **few, **options}).fit(X, y, run=run, valid=valid)

    return fit


def test_it_learns(model: Seq2Seq) -> None:
    found = model.evaluate(*NEW)
    assert found["exact"] >= 0.95 and found["perplexity"] < 1.3
    assert found["examples"] == found["written"] == 100 and found["bleu"] is None
    answers = model.predict(NEW[0])
    assert found["exact"] == np.mean([a == b for a, b in zip(answers, NEW[1], strict=True)])
    assert model.score(*NEW) == found["exact"]


def test_a_batch_of_mixed_lengths_gives_the_answers_of_one_by_one(model: Seq2Seq) -> None:
    some = [*NEW[0][:12], "a", "edcbaedcba"]
    together = model.answers(some, n_best=2)
    for text, answers in zip(some, together, strict=True):
        (alone,) = model.answers([text], n_best=2)
        assert [each.text for each in alone] == [each.text for each in answers]
        assert all(math.isclose(a.score, b.score, rel_tol=1e-4) for a, b in zip(alone, answers, strict=True))
        assert answers[0].score >= answers[1].score


def test_perplexity_is_that_of_teacher_forcing(model: Seq2Seq) -> None:
    total, count = 0.0, 0
    for source, target in zip(NEW[0][:7], NEW[1][:7], strict=True):
        ids = [*model.writer_.encoder.tokenizer.encode(target).tolist(), 0]
        x = torch.tensor([*model.source_.tokenizer.encode(source).tolist(), 0])[:, None]
        with torch.no_grad():
            logits, _ = model.net(x, torch.tensor([len(x)]), torch.tensor([0, *ids[:-1]])[:, None])
        total -= float(logits[:, 0].log_softmax(-1)[range(len(ids)), ids].sum())
        count += len(ids)
    found = model.evaluate(NEW[0][:7], NEW[1][:7])["loss"]
    assert math.isclose(found, total / count, rel_tol=1e-4)


def test_attention_goes_backwards(model: Seq2Seq, tmp_path: Path) -> None:
    source, target, weights = model.attention_weights("abcd", "dcba")
    assert source == [*"abcd", "end"] and target == [*"dcba", "end"]
    assert weights.shape == (5, 5) and np.allclose(weights.sum(1), 1)
    centres = (weights * np.arange(5)).sum(1)
    assert centres[0] > centres[1] > centres[3]
    model.attention_figure(tmp_path / "map.png", "abcd")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="cannot write"):
        draw_attention(source, target, weights, tmp_path / "map.png" / "map.png")


def test_what_is_saved_answers_alike(model: Seq2Seq, tmp_path: Path) -> None:
    model.save(tmp_path / "saved")
    for folder in (model.run.path, tmp_path / "saved"):
        loaded = Seq2Seq.load(folder)
        assert loaded.predict(NEW[0][:9]) == model.predict(NEW[0][:9])
        assert loaded.settings_ == model.settings_
    with pytest.raises(UserError, match="is in no file; name data"):
        loaded.evaluate()
    learned = json.loads((tmp_path / "saved" / "learned.json").read_text())
    (tmp_path / "saved" / "learned.json").write_text(json.dumps({**learned, "longest": None}))
    with pytest.raises(UserError, match="says nothing of its targets"):
        Seq2Seq.load(tmp_path / "saved")


def test_the_search_can_be_set(model: Seq2Seq) -> None:
    other = Seq2Seq.load(model.run.path).set_search(beam=1, longest=2)
    assert {len(text) for text in other.predict(NEW[0][:9])} == {2}
    assert other.evaluate(*NEW)["beam"] == 1
    assert "exact" not in other.set_search(evaluate_texts=0).evaluate(*NEW)
    with pytest.raises(UserError, match="evaluate_texts is 0, so nothing is written"):
        other.score(*NEW)
    assert other.set_search(evaluate_texts=7).evaluate(*NEW)["written"] == 7
    with pytest.raises(UserError, match="beam is 0"):
        other.set_search(beam=0)
    with pytest.raises(UserError, match="the search has no option 'beem'; did you mean 'beam'"):
        other.set_search(beem=3)


def test_every_way_to_build_it_trains(barely: Any) -> None:
    words = ["one two", "two one", "three one"] * 5
    for options in (
        {"input_feeding": True, "tied": True},
        {"attention": "none", "shared": True},
        {"attention": "dot", "hidden_size": 8, "encoder_size": 4},
        {"num_layers": 2, "encoder_layers": 2, "dropout": 0.3, "encoder_cell": "rnn"},
        {"tokens": "bpe", "vocab_size": 270, "target_tokens": "char"},
        {"tokens": "word", "min_count": 0, "lowercase": True, "max_length": 3},
        {"scheduled_sampling": 0.9, "sampling_epochs": 0.01, "label_smoothing": 0.1},
    ):
        model = barely(words, words, **options)
        assert math.isfinite(model.evaluate(words, words)["loss"])
        assert len(model.predict(["one three"])) == 1


def test_resumed_bit_for_bit(tmp_path: Path, barely: Any) -> None:
    options = {"evaluate_every": 2, "dropout": 0.2, "scheduled_sampling": 0.5, "sampling_epochs": 0.1}
    whole = barely(*TRAIN, steps=6, run=tmp_path / "whole", **options)
    barely(*TRAIN, steps=4, run=tmp_path / "run", **options)
    again = Seq2Seq(**{**dataclasses.asdict(whole.settings_.pairs), **_flat(whole)})
    again.fit(*TRAIN, run=tmp_path / "run", resume=True)
    last = [Seq2Seq.load(tmp_path / run, "last").net.state_dict() for run in ("whole", "run")]
    assert all(map(torch.equal, last[0].values(), last[1].values()))
    with pytest.raises(UserError, match="the data has changed since"):
        again.fit(["xyz"] * 30, ["zyx"] * 30, valid=(["xyz"], ["zyx"]), run=tmp_path / "run", resume=True)


def _flat(model: Seq2Seq) -> dict[str, Any]:
    groups = [getattr(model.settings_, field.name) for field in dataclasses.fields(model.settings_)]
    return {field.name: getattr(group, field.name) for group in groups for field in dataclasses.fields(group)}


def test_files_of_every_kind(tmp_path: Path, barely: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = list(zip(*TRAIN, strict=True))[:40]
    Path("a.csv").write_text("q,a\n" + "".join(f"{x},{y}\n" for x, y in lines))
    Path("a.en").write_text("".join(f"{x}\n" for x, _ in lines))
    Path("a.de").write_text("".join(f"{y}\n" for _, y in lines))
    named = barely("a.csv", source="q", target="a", run="one")
    aligned = barely(source="a.en", target="a.de", run="two")
    judged = barely(source="a.en", target="a.de", valid_source="a.en", valid_target="a.de", run="three")
    assert named.evaluate() == Seq2Seq.load("one").evaluate() == Seq2Seq.load("two").evaluate()
    assert judged.evaluate()["examples"] == 40
    assert named.evaluate("a.csv")["examples"] == 40
    Path("b.tsv").write_text("source\ttarget\nab\tba\n")
    assert aligned.evaluate("b.tsv")["examples"] == 1
    Path("c.txt").write_text("abc\nfed\n")
    found = list(aligned.predictions(["c.txt", "fa", "b.tsv"], 2))
    assert [record["input"] for record, _ in found] == ["abc", "fed", "fa", "ab"]
    assert all(
        len(record["answers"]) == 2 and record["answer"] == record["answers"][0]["answer"] for record, _ in found
    )
    lists = barely(*TRAIN, source="q", target="a", run="four")
    assert lists.evaluate("a.csv")["examples"] == Seq2Seq.load("four").evaluate("a.csv")["examples"] == 40
    assert len(list(lists.predictions(["a.csv"], 1))) == 40
    monkeypatch.chdir("/")
    with pytest.raises(UserError, match=r"name two aligned text files with source= and target="):
        Seq2Seq(**SMALL).fit()


def test_dialogue(tmp_path: Path, barely: Any) -> None:
    talk = tmp_path / "talk.txt"
    talk.write_text("\n\n".join("hello\nhi there\nhow are you\nfine" for _ in range(12)))
    model = barely(talk, turns=2, tokens="word", min_count=0, valid_share=0.3)
    assert model.evaluate()["examples"] == 4 * 3  # whole conversations
    history = ["forgotten", "hello", "hi there"]
    assert model.reply(history) == model.predict(["hello\nhi there"])[0]
    drawn = [model.reply(history, Sampling(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    with pytest.raises(UserError, match="at least one turn"):
        model.reply([])


def test_own_share_rises() -> None:
    sigmoid = TeachingSettings(scheduled_sampling=0.4, sampling_rise="sigmoid", sampling_epochs=2)
    shares = [own_share(sigmoid, epoch) for epoch in (0, 0.5, 1, 1.5, 2, 9)]
    assert shares[0] == 0 and math.isclose(shares[2], 0.2) and math.isclose(shares[5], 0.4)
    assert shares == sorted(shares) and math.isclose(shares[1] + shares[3], 0.4)


def test_own_tokens_are_drawn_after_those_read_before() -> None:
    """A decoder whose every token is sure: one more than the one before."""
    net = DecoderNet(5, "rnn", 5, embedding_size=5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.embedding.weight.copy_(torch.eye(5))
        net.lowest.layers[0][0].weight_ih.copy_(torch.eye(5) * 9)  # type: ignore[index]
        net.head.weight.copy_(torch.eye(5).roll(1, 0) * 60)
    read = torch.tensor([[0, 3], [3, 3], [0, 0], [0, 4]])
    state = net.begin(rows=2)
    assert with_own_tokens(net, state, read, 1.0).T.tolist() == [[0, 1, 2, 3], [3, 4, 0, 1]]
    mixed = torch.stack([with_own_tokens(net, state, read, 0.5) for _ in range(40)])
    for row in mixed.transpose(1, 2).flatten(0, 1).tolist():
        start = read[0].tolist().index(row[0])
        expected = [{(row[t] + 1) % 5, int(read[t + 1, start])} for t in range(3)]
        assert all(row[t + 1] in expected[t] for t in range(3))
    assert len(torch.unique(mixed.flatten(1), dim=0)) > 4


def test_bleu_where_sacrebleu_is() -> None:
    pytest.importorskip("sacrebleu")
    references = ["the cat sat on the mat today", "a dog ran over the green hill"]
    score, signature = bleu(["the cat sat on the mat", "a dog ran over a green hill"], references)
    # 13 words against 14; matches of 1 to 4 words in a row: 12 of 13, 9 of 11, 6 of 9, 4 of 7.
    precision = (12 / 13 * 9 / 11 * 6 / 9 * 4 / 7) ** 0.25
    assert score is not None and math.isclose(score, 100 * math.exp(1 - 14 / 13) * precision, rel_tol=1e-6)
    assert "case:mixed" in signature


def test_refusals(barely: Any, model: Seq2Seq) -> None:
    with pytest.raises(UserError, match="has not been trained"):
        Seq2Seq().predict(["a"])
    with pytest.raises(UserError, match="target_tokens='char' contradicts shared=True"):
        Seq2Seq(shared=True, target_tokens="char").settings()
    with pytest.raises(UserError, match=r"coverage_penalty=0.2 counts where attention went, .* attention='none'"):
        Seq2Seq(attention="none", coverage_penalty=0.2).settings()
    with pytest.raises(UserError, match="vocab_size does not go with tokens='char'"):
        barely(*TRAIN, vocab_size=300)
    with pytest.raises(UserError, match="every target has more than max_length=1 tokens"):
        barely(*TRAIN, max_length=1)
    with pytest.raises(UserError, match="valid is neither a file nor a pair"):
        barely(*TRAIN, valid=3)
    with pytest.raises(UserError, match="was not trained on conversations"):
        model.reply(["a"])
    with pytest.raises(UserError, match=r"label_smoothing is 1.0; expected a probability"):
        TeachingSettings(label_smoothing=1.0)
    with pytest.raises(UserError, match="sampling_epochs is 0"):
        TeachingSettings(sampling_epochs=0)


def test_options_are_those_of_the_settings() -> None:
    model = Seq2Seq(beam=3, hidden_size=7)
    assert model.get_params()["beam"] == 3 and Seq2Seq(**model.get_params()).settings() == model.settings()
    assert isinstance(Seq2SeqSettings().net, CellSettings)
