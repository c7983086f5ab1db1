from __future__ import annotations

import io
import itertools
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from some_sentences import chunks, sentences

from elman import Tagger, UserError
from elman.tasks.tag.spans import span_scores

SMALL = {
    "cell": "rnn",
    "hidden_size": 12,
    "embedding_size": 8,
    "character_size": 12,
    "learning_rate": 0.02,
    "threads": 1,
}


def small(**options: Any) -> Tagger:
    return Tagger(**SMALL | {"steps": 4, "evaluate_every": 2} | options)


def write(path: Path, words: list[list[str]], tags: list[list[str]]) -> Path:
    pairs = (zip(*pair, strict=True) for pair in zip(words, tags, strict=True))
    path.write_text("\n".join("".join(f"{word} {tag}\n" for word, tag in each) for each in pairs))
    return path


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    """A tagger of a file's sentences, trained in a run folder of its own."""
    folder = tmp_path_factory.mktemp("tags")
    path = write(folder / "words.conll", *sentences(300))
    return Tagger(**SMALL | {"steps": 80, "evaluate_every": 40}).fit(path, run=folder / "run")


def movements(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[list[str]]]:
    """Walks of two features; the label says whether the first has risen or fallen since the last step."""
    draw = np.random.default_rng(seed)
    X = [draw.normal(size=(int(draw.integers(3, 12)), 2)).cumsum(0) * 5 + 40 for _ in range(count)]
    y = [["up" if x[t, 0] >= x[max(t - 1, 0), 0] else "down" for t in range(len(x))] for x in X]
    return X, y


def test_sequences_that_slow_their_batches_are_named() -> None:
    X = [np.zeros((4, 1))] * 20
    X[3], X[5] = np.zeros((1001, 1)), np.zeros((1200, 1))
    said = io.StringIO()
    y = [["a", "b"] * (len(x) // 2) + ["a"] * (len(x) % 2) for x in X]
    model = Tagger(**SMALL | {"character_size": 0, "steps": 1})
    model.fit(X, y, valid=(X[:2], y[:2]), quiet=False, console=Console(file=said, width=200))
    assert "longest   1,200 steps (X[5], the longest of 2 such), median 4: slows every batch" in said.getvalue()


# Quality


def test_it_learns_what_no_word_says_by_itself(tagger: Tagger) -> None:
    words, tags = sentences(100, seed=7)
    assert tagger.score(words, tags) >= 0.99
    expected = [["PRON", "VERB", "DET", "NOUN"], ["DET", "NOUN", "VERB", "ADV"]]
    assert tagger.predict([["they", "walk", "a", "walk"], ["the", "run", "run", "xquly"]]) == expected
    assert tagger.predict(["they walk a walk", "the run run xquly"]) == expected
    assert tagger.evaluate(words, tags)["unknown"]["accuracy"] >= 0.95, "by its letters"


def test_a_crf_finds_what_goes_with_what() -> None:
    words, tags = sentences(300)
    model = Tagger(**SMALL | {"steps": 80, "evaluate_every": 40}, crf=True, best="spans").fit(words, chunks(tags))
    words, tags = sentences(80, seed=3)
    found = model.evaluate(words, chunks(tags))
    assert found["spans"]["f1"] >= 0.97
    assert found["spans_f1"] == found["spans"]["f1"]
    assert found["spans"] == span_scores(chunks(tags), model.predict(words))
    for probabilities, answers in zip(model.predict_proba(words), model.predict(words), strict=True):
        np.testing.assert_allclose(probabilities.sum(1), 1.0, rtol=1e-5)
        assert len(probabilities) == len(answers)
    lines = model.show(found, None).splitlines()
    assert lines[-3].split() == ["span", "there", "precision", "recall", "F1"] and lines[-1].startswith("all spans")


@pytest.mark.parametrize("crf", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_it_learns_from_unequal_sequences_of_numbers(crf: bool) -> None:
    model = Tagger(**SMALL | {"steps": 120, "evaluate_every": 60}, crf=crf).fit(*movements(200))
    assert model.score(*movements(100, seed=1)) >= 0.9


@pytest.mark.slow
def test_parts_of_speech_of_the_web_treebank(shared_data: Path) -> None:
    place = shared_data / "ud-ewt"
    model = Tagger(column="2", embedding_size=64, dropout=0.3, word_dropout=0.1, batch_size=16, threads=1, epochs=8)
    model.fit(place / "en_ewt-dev.tsv.gz")
    assert model.score(place / "en_ewt-test.tsv.gz") >= 0.85, "from an eighth of the sentences"


@pytest.mark.slow
def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[3] / "examples" / "tag_sentences.py"
    accuracy, simple = runpy.run_path(str(example))["main"]()
    assert accuracy >= 0.99 and simple < 0.9
    assert "the/DET run/NOUN\nthey/PRON run/VERB" in capsys.readouterr().out


# What it gives


def test_company_and_order_change_nothing(tagger: Tagger) -> None:
    words, _ = sentences(40, seed=3)
    together = tagger.predict_proba(words)
    for sentence, probabilities in zip(words[:5], together, strict=False):
        np.testing.assert_allclose(tagger.predict_proba([sentence])[0], probabilities, rtol=1e-4, atol=1e-6)
    for alike, probabilities in zip(tagger.predict_proba(words[::-1])[::-1], together, strict=True):
        np.testing.assert_allclose(alike, probabilities, rtol=1e-4, atol=1e-6)
    assert tagger.predict(words) == [tagger.classes_[p.argmax(1)].tolist() for p in together]


def test_an_empty_sentence_is_answered(tagger: Tagger) -> None:
    assert tagger.predict([[], ["they", "run"]]) == [[], ["PRON", "VERB"]]
    assert tagger.predict([""]) == [[]]
    assert tagger.predict_proba([[]])[0].shape == (0, 5)
    with pytest.raises(UserError, match="the sequences have no steps to judge by"):
        tagger.evaluate([[]], [[]])


def test_evaluation_counts_what_was_given_for_what(tagger: Tagger) -> None:
    words, tags = sentences(30, seed=5)
    tags[0][0], tags[1][0] = "ADV", "X"
    found = tagger.evaluate(words, tags)
    answers, names = tagger.predict(words), found["labels"]
    pairs = [pair for part in zip(tags, answers, strict=True) for pair in zip(*part, strict=True)]
    assert names == [*tagger.labels_.names, "X"]
    for i, j in itertools.product(range(len(names)), repeat=2):
        assert found["confusion"][i][j] == pairs.count((names[i], names[j]))
    assert found["accuracy"] == pytest.approx(np.mean([a == b for a, b in pairs]))
    assert found["whole"] == pytest.approx(np.mean([a == b for a, b in zip(tags, answers, strict=True)]))
    known = set(itertools.chain(*sentences(300)[0]))
    assert 0 < found["unknown"]["steps"] == sum(word not in known for each in words for word in each)
    # The sentence with the tag that training did not have is left out of the loss.
    place = {name: k for k, name in enumerate(tagger.labels_.names)}
    scored = zip(tagger.predict_proba(words), tags, strict=True)
    chosen = [p[t, place[tag]] for i, (p, each) in enumerate(scored) if i != 1 for t, tag in enumerate(each)]
    assert found["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert json.loads(json.dumps(found)) == found
    assert "not there in training: X" in tagger.show(found, None)


def test_the_result_as_lines_and_as_a_picture(tagger: Tagger, tmp_path: Path) -> None:
    lines = tagger.show(tagger.evaluate(), tmp_path).splitlines()
    assert lines[0].startswith("accuracy   ") and lines[0].endswith(" tokens)")
    assert lines[1].endswith("  without a mistake, of 30")
    assert lines[3].startswith("unknown    ") and lines[3].endswith(" tokens outside the vocabulary")
    assert lines[5] == "label  examples  precision  recall     F1"
    assert (tmp_path / "confusion.png").read_bytes()[1:4] == b"PNG"


def test_predictions_for_the_command_line(tagger: Tagger, tmp_path: Path) -> None:
    write(tmp_path / "new.conll", *sentences(3, seed=9))
    (tmp_path / "new.txt").write_text("they run\nthe run\n")
    found = list(tagger.predictions(["they run", str(tmp_path / "new.txt"), str(tmp_path / "new.conll")], 1))
    assert found[0] == ({"tokens": ["they", "run"], "tags": ["PRON", "VERB"]}, "they/PRON run/VERB")
    assert [line for _, line in found[1:3]] == ["they/PRON run/VERB", "the/DET run/NOUN"]
    assert len(found) == 6 and found[5][0]["tokens"] == sentences(3, seed=9)[0][2]
    ((record, line),) = tagger.predictions(["they run"], 2)
    likely = tagger.predict_proba(["they run"])[0]
    assert list(record["probabilities"][0]) == [tagger.classes_[k] for k in np.argsort(-likely[0])[:2]]
    assert line.startswith("they/PRON:") and "|" in line
    with pytest.raises(UserError, match="nothing to predict; give a file"):
        next(tagger.predictions([], 1))


def test_labels_of_numbers_keep_their_type_and_are_shown_in_runs(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6, 2, 1))
    y = (X[:, :, 0, 0] > 0).astype(int)
    model = small().fit(X, y)
    answers = model.predict(X[:3])
    assert np.array(answers).shape == (3, 6) and set(itertools.chain(*answers)) <= {0, 1}
    assert "unknown" not in model.evaluate(X, y)
    write(tmp_path / "a.conll", [["a", "b"]], [["0", "1"]])
    with pytest.raises(UserError, match=r"a\.conll holds tokens, but this model reads numbers; give a file of those"):
        model.predict(tmp_path / "a.conll")
    with pytest.raises(UserError, match="'they run' is no file, and this model reads numbers; give a file"):
        list(model.predictions(["they run"], 1))
    np.savez(tmp_path / "x.npz", x=X[:1])
    ((record, line),) = model.predictions([str(tmp_path / "x.npz")], 1)
    runs = [(label, len(list(same))) for label, same in itertools.groupby(record["tags"])]
    place, _, shown = line.partition("  ")
    assert place == "x.npz row 0, column 'x'"
    assert shown.startswith(f"{runs[0][0]} 1") and shown.count(",") == len(runs) - 1
    assert model.encoder_.shape == (2, 1) and model.encoder_.features == 2


@pytest.mark.slow
def test_in_double_precision_and_with_frames() -> None:
    X = np.random.default_rng(0).normal(size=(20, 5, 4, 4))
    model = small(dtype="float64", frames="cnn", frame_size=3).fit(X, (X.mean((2, 3)) > 0))
    assert next(model.net.parameters()).dtype == torch.float64
    assert {type(tag) for tag in model.predict(X[:1])[0]} == {bool}


def test_columns_of_pandas(tagger: Tagger) -> None:
    class Column:
        """As far as a column of pandas counts here: numbered from 100."""

        def __init__(self, lists: list[list[str]]) -> None:
            self.lists = np.empty(len(lists), object)
            self.lists[:] = lists

        def __len__(self) -> int:
            return len(self.lists)

        def to_numpy(self) -> np.ndarray:
            return self.lists

    words, tags = sentences(10, seed=4)
    assert tagger.evaluate(Column(words), Column(tags)) == tagger.evaluate(words, tags)


# Runs


def test_it_comes_back_from_its_run_and_from_a_copy(tagger: Tagger, tmp_path: Path) -> None:
    words, _ = sentences(20, seed=2)
    tagger.save(tmp_path / "copy")
    for folder in (tagger.run.path, tmp_path / "copy"):
        model = Tagger.load(folder)
        for one, other in zip(model.predict_proba(words), tagger.predict_proba(words), strict=True):
            np.testing.assert_array_equal(one, other)
        assert model.evaluate() == tagger.evaluate(), "the same part of the file is kept for validation"


def test_a_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    words, tags = sentences(60)
    options = {"dropout": 0.3, "word_dropout": 0.2, "evaluate_every": 3}
    small(steps=9, **options).fit(words, tags, run=tmp_path / "whole")
    small(steps=6, **options).fit(words, tags, run=tmp_path / "parts")
    small(steps=9, **options).fit(words, tags, run=tmp_path / "parts", resume=True)
    last = [Tagger.load(tmp_path / run, "last").net.state_dict() for run in ("whole", "parts")]
    for name, value in last[0].items():
        assert torch.equal(last[1][name], value), name
    with pytest.raises(UserError, match="what was kept for validation is in no file; name data to evaluate on"):
        Tagger.load(tmp_path / "parts").evaluate()
    with pytest.raises(UserError, match="the data has changed since"):
        small(steps=12, **options).fit([["new"], *words], [["DET"], *tags], run=tmp_path / "parts", resume=True)


def test_the_validation_part(tmp_path: Path) -> None:
    words, tags = sentences(30)
    data, valid = write(tmp_path / "a.txt", words, tags), write(tmp_path / "b.txt", *sentences(7, seed=1))
    assert small(valid_share=0.2).fit(data).evaluate()["sequences"] == 6
    model = small().fit(data, valid=valid, run=tmp_path / "run")
    assert model.evaluate()["sequences"] == 7 and Tagger.load(tmp_path / "run").evaluate() == model.evaluate()


# Mistakes


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: small().fit(), "there is nothing to train on; name a file with data="),
        (lambda: small().fit([["a"], ["b"]]), "y is missing; give a list of tags for every sequence of X"),
        (lambda: small().fit([["a"], ["b"]], [["X"]]), "X has 2 sequences, y has 1; expected a list of tags for each"),
        (lambda: small().fit([["a"], ["b"]], [["X"], ["X", "Y"]]), "X[1] has 1 tokens and 2 tags; expected one for"),
        (lambda: small(valid_share=0.5).fit([["a"]] * 3, [["X"], [None], ["Y"]]), " has no label; fill it in"),
        (lambda: small().fit([["a"]] * 9, [["X"]] * 9), "all examples have the label 'X'; expected at least two"),
        (lambda: small().fit([["a", "b"]], [["X", "Y"]]), "there is one sequence, which cannot be both learned from"),
        (lambda: small().fit("gone.conll"), "cannot read gone.conll: No such file or directory"),
        (lambda: small().fit("gone.conll", [["X"]]), "X is the file 'gone.conll', which holds the tags; leave y out"),
        (lambda: small(best="spans").fit(*sentences(9)), "best='spans' is for tags such as B-NP I-NP O, not ADV, DET"),
        (lambda: small(character_size=-1).fit(*sentences(9)), "character_size is -1; expected a whole number"),
        (lambda: small(frames="cnn").fit(*sentences(9)), "a step has the axes (); the convolutional net reads frames"),
        (lambda: small().predict([["a"]]), "this Tagger has not been trained; call fit(), or Tagger.load(folder)"),
    ],
)  # fmt: skip
def test_mistakes_are_told(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert sentence in str(caught.value)


def test_what_the_trained_net_cannot_read(tagger: Tagger, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"X\[0\] is \[1.0, 2.0\]; expected a list of words"):
        tagger.predict([[1.0, 2.0]])
    (tmp_path / "a.conll").write_text("they PRON\nrun VERB\nthe\n")
    with pytest.raises(UserError, match=r"a\.conll row 3 has 1 column, but row 1 has 2"):
        tagger.evaluate(tmp_path / "a.conll")


# scikit-learn


def test_clone_and_cross_validation() -> None:
    base = pytest.importorskip("sklearn.base")
    selection = pytest.importorskip("sklearn.model_selection")
    model = small(steps=20, evaluate_every=20, batch_size=16)
    assert base.clone(model).get_params() == model.get_params()
    assert selection.cross_val_score(model, *sentences(80), cv=2).mean() > 0.6
