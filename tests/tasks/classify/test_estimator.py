from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from some_reviews import reviews

from elman import Classifier, UserError

SMALL = {"cell": "rnn", "hidden_size": 12, "embedding_size": 8, "min_count": 0, "learning_rate": 0.01, "threads": 1}


def small(**options: Any) -> Classifier:
    return Classifier(**SMALL | {"steps": 4, "evaluate_every": 2} | options)


def sequences(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Noise of 3 to 12 steps with two features, of which one steps up or down somewhere."""
    draw = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(count):
        length = int(draw.integers(3, 13))
        up = bool(draw.integers(2))
        x = draw.normal([50.0, 0.0], [10.0, 0.1], (length, 2))
        x[int(draw.integers(length)), 0] += 60.0 if up else -60.0
        X.append(x)
        y.append("up" if up else "down")
    return X, y


# Quality


def test_it_learns_what_no_count_of_words_can_tell(reviewer: Classifier) -> None:
    texts, labels = reviews(300, seed=7)
    assert reviewer.score(texts, labels) >= 0.98
    assert reviewer.predict(["the film was not good", "the film was not bad"]).tolist() == ["down", "up"]
    assert reviewer.evaluate(texts, labels)["loss"] < 0.1


@pytest.mark.parametrize("pooling", ["last", "attention"])
def test_it_learns_from_unequal_sequences_of_numbers(pooling: str) -> None:
    X, y = sequences(300)
    model = Classifier(**SMALL | {"min_count": None, "steps": 150, "pooling": pooling}).fit(X, y)
    assert model.score(*sequences(200, seed=1)) >= 0.95


@pytest.mark.slow
def test_digits_by_rows_and_by_pixels(shared_data: Path) -> None:
    table = np.loadtxt(shared_data / "digits" / "digits.csv.gz", delimiter=",")
    X, y = table[:, :64], table[:, 64].astype(int)
    options = {"cell": "gru", "hidden_size": 64, "threads": 1, "learning_rate": 5e-3}
    rows = Classifier(**options, step_size=8, pooling="last", epochs=12).fit(X[:1400], y[:1400])
    assert rows.score(X[1400:], y[1400:]) >= 0.92
    pixels = Classifier(**options, step_size=1, dropout=0.2, epochs=20).fit(X[:1400], y[:1400])
    assert pixels.score(X[1400:], y[1400:]) >= 0.80


# What it gives


def test_probabilities_and_labels_belong_together(reviewer: Classifier) -> None:
    texts, _ = reviews(150, seed=3)
    probabilities = reviewer.predict_proba(texts)
    assert probabilities.shape == (150, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1.0, rtol=1e-12)
    assert reviewer.classes_.tolist() == ["down", "up"]
    assert (reviewer.predict(texts) == reviewer.classes_[probabilities.argmax(1)]).all()
    # The order is that of X, though batches are made by length, and company changes nothing.
    np.testing.assert_allclose(reviewer.predict_proba(texts[:40][::-1]), probabilities[:40][::-1], rtol=1e-5)


def test_an_empty_text_is_answered(reviewer: Classifier) -> None:
    assert np.isfinite(reviewer.predict_proba(["", "   ", "unheard of words"])).all()


def test_evaluation_counts_what_was_taken_for_what(reviewer: Classifier) -> None:
    texts, labels = reviews(60, seed=5)
    labels[0], labels[1] = ("up" if label == "down" else "down" for label in labels[:2])
    found = reviewer.evaluate(texts, labels)
    predicted = reviewer.predict(texts)
    names = found["labels"]
    for i, truth in enumerate(names):
        for j, answer in enumerate(names):
            pairs = zip(labels, predicted, strict=True)
            assert found["confusion"][i][j] == sum(pair == (truth, answer) for pair in pairs)
        right, row, column = found["confusion"][i][i], sum(found["confusion"][i]), sum(c[i] for c in found["confusion"])
        assert found["per_label"]["precision"][i] == pytest.approx(right / column)
        assert found["per_label"]["recall"][i] == pytest.approx(right / row)
    assert found["accuracy"] == pytest.approx(float(np.mean(predicted == labels)))
    assert found["f1"] == pytest.approx(np.mean(found["per_label"]["f1"]))
    chosen = reviewer.predict_proba(texts)[np.arange(60), [names.index(label) for label in labels]]
    assert found["loss"] == pytest.approx(-np.log(chosen).mean())
    assert json.loads(json.dumps(found)) == found


def test_the_result_as_lines_and_as_a_picture(reviewer: Classifier, tmp_path: Path) -> None:
    lines = reviewer.show(reviewer.evaluate(), tmp_path).splitlines()
    assert lines[0].startswith("accuracy  ") and lines[0].endswith(" of 40 examples)")
    assert lines[4] == "label  examples  precision  recall     F1"
    assert lines[-1] == f"drawn in {tmp_path / 'confusion.png'}"
    assert (tmp_path / "confusion.png").read_bytes()[1:4] == b"PNG"


def test_labels_keep_their_type() -> None:
    X, y = sequences(30)
    for labels in (np.array([3 if label == "up" else -1 for label in y]), np.array([label == "up" for label in y])):
        predicted = small(min_count=None).fit(X, labels).predict(X[:5])
        assert predicted.dtype == labels.dtype
        assert set(predicted.tolist()) <= set(labels.tolist())


def test_rare_labels_weigh_more_when_balanced() -> None:
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(200, 3, 2)), np.arange(200) % 20 == 0
    plain, balanced = (
        small(min_count=None, steps=40, evaluate_every=40, class_weight=weight, best="loss").fit(X, y).predict_proba(X)
        for weight in (None, "balanced")
    )
    assert balanced[:, 1].mean() > 0.3 > 0.15 > plain[:, 1].mean()


def test_in_double_precision_too() -> None:
    X, y = sequences(30)
    model = small(min_count=None, dtype="float64").fit(X, y)
    assert next(model.net.parameters()).dtype == torch.float64
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1, rtol=1e-14)


# Validation


def test_the_best_weights_are_those_of_the_judge() -> None:
    texts, labels = reviews(120)
    model = small(steps=40, evaluate_every=8, best="f1", learning_rate=0.03).fit(texts, labels, valid=reviews(40, 9))
    found = model.evaluate()
    assert model.result.best_metrics == pytest.approx({name: found[name] for name in ("loss", "accuracy", "f1")})
    assert found["examples"] == 40


def test_patience_ends_a_run_that_gets_no_better() -> None:
    X, y = sequences(40)
    shuffled = np.random.default_rng(0).permutation(y)
    model = small(min_count=None, steps=400, evaluate_every=2, patience=3, best="loss").fit(X, shuffled)
    assert model.result.stopped_by == "patience"
    assert model.result.steps < 400


@pytest.mark.parametrize("part", ["learnt from", "judged by"])
def test_a_text_that_slows_its_batches_is_named(part: str) -> None:
    texts, labels = ["fine film", "dull film"] * 10, ["up", "down"] * 10
    far = [*texts[:17], "film " * 1100, *texts[18:]]
    train, held = (far, texts) if part == "learnt from" else (texts, far)
    said = io.StringIO()
    small(steps=1).fit(train, labels, valid=(held, labels), quiet=False, console=Console(file=said, width=200))
    advice = "set max_length (--max-length), shorten it or leave it out"
    line = f"longest   1,100 tokens (X[17]), median 2: slows every batch it is in; {advice}\n"
    assert line in said.getvalue()


def test_groups_are_never_on_both_sides() -> None:
    X, y = sequences(40)
    groups = np.arange(40) // 5
    model = small(min_count=None, valid_share=0.25)
    model._begin(model.get_params())
    parts = [
        {int(groups[int(part.inputs.place(row)[2:-1])]) for row in range(len(part.inputs))}
        for part in model._split(X, y, groups, None)
    ]
    assert [len(part) for part in parts] == [6, 2] and not parts[0] & parts[1]
    assert model.fit(X, y, groups=groups).evaluate()["examples"] == 10


# Runs


def test_a_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    texts, labels = reviews(60)
    options = {"dropout": 0.3, "word_dropout": 0.1, "evaluate_every": 3}
    whole = small(steps=12, **options).fit(texts, labels, run=tmp_path / "whole")
    small(steps=6, **options).fit(texts, labels, run=tmp_path / "parts")
    parts = small(steps=12, **options).fit(texts, labels, run=tmp_path / "parts", resume=True)
    for name, value in whole.net.state_dict().items():
        assert torch.equal(parts.net.state_dict()[name], value), name
    kept = [
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("whole", "parts")
    ]
    for one, other in zip(*kept, strict=True):
        assert {**one, "seconds": 0, "examples_per_second": 0} == {**other, "seconds": 0, "examples_per_second": 0}


def test_it_comes_back_from_its_run_and_from_a_copy(reviewer: Classifier, tmp_path: Path) -> None:
    texts, _ = reviews(20, seed=2)
    reviewer.save(tmp_path / "copy")
    for folder in (reviewer.run.path, tmp_path / "copy"):
        model = Classifier.load(folder)
        np.testing.assert_array_equal(model.predict_proba(texts), reviewer.predict_proba(texts))
        assert model.get_params() == {**reviewer.get_params(), "data": str(reviewer.run.path.parent / "reviews.csv")}
        assert model.evaluate() == reviewer.evaluate(), "the same part of the file is kept for validation"
    with pytest.raises(UserError, match="holds a model already; choose another folder"):
        reviewer.save(tmp_path / "copy")


def test_nothing_is_kept_without_a_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = small().fit(*reviews(30))
    assert not list(tmp_path.iterdir())
    assert not hasattr(model, "run")


def test_fit_again_starts_anew() -> None:
    texts, labels = reviews(30)
    model = small().fit(texts, labels)
    first = copy.deepcopy(model.net.state_dict())
    model.fit(*sequences(30))
    assert model.encoder_.kind == "numbers"
    model.fit(texts, labels)
    assert all(torch.equal(model.net.state_dict()[name], value) for name, value in first.items())


def test_another_data_set_is_not_resumed(tmp_path: Path) -> None:
    texts, labels = reviews(40)
    small().fit(texts, labels, run=tmp_path / "run")
    with pytest.raises(UserError, match="the data has changed since"):
        small(steps=6).fit([*texts, "unheard of"], [*labels, "up"], run=tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="was trained with pooling='max'; a resumed run cannot change it to 'mean'"):
        small(steps=6, pooling="mean").fit(texts, labels, run=tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="holds a run already"):
        small().fit(texts, labels, run=tmp_path / "run")
    with pytest.raises(UserError, match="name it with run="):
        small().fit(texts, labels, resume=True)


# Inputs


def test_files_of_all_kinds_give_the_same_model(tmp_path: Path) -> None:
    texts, labels = reviews(30)
    rows = list(zip(texts, labels, strict=True))
    (tmp_path / "a.csv").write_text("text,stars\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t, "stars": s}) + "\n" for t, s in rows))
    (tmp_path / "a.txt").write_text("".join(f"{label}\t{text}\n" for text, label in rows))
    expected = small().fit(texts, labels).predict_proba(texts)
    for name, label in (("a.csv", "stars"), ("a.jsonl", "stars"), ("a.txt", None)):
        model = small(label=label).fit(tmp_path / name)
        np.testing.assert_array_equal(model.predict_proba(texts), expected, err_msg=name)
        np.testing.assert_array_equal(model.predict_proba(tmp_path / name), expected, err_msg=name)


def test_numbers_in_columns_and_in_arrays(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(30, 4)).round(3), np.arange(30) % 2
    rows = "".join(f"{','.join(map(str, x))},{label}\n" for x, label in zip(X, y, strict=True))
    (tmp_path / "a.csv").write_text("p1,p2,p3,p4,kind\n" + rows)
    np.savez(tmp_path / "a.npz", x=X, y=y)
    plain = {"min_count": None, "step_size": 2}
    expected = small(**plain).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(small(**plain).fit(tmp_path / "a.npz").predict_proba(X), expected, rtol=1e-6)
    model = small(**plain, input=["p*"], label="kind").fit(tmp_path / "a.csv")
    np.testing.assert_allclose(model.predict_proba(tmp_path / "a.csv"), expected, rtol=1e-6)
    assert model.classes_.tolist() == ["0", "1"], "a CSV file holds texts"


@pytest.mark.parametrize(
    ("options", "content", "sentence"),
    [
        ({}, "text,label\na,x\nb,\n", "a.csv row 3, column 'label' has no label; fill it in"),
        ({}, "text,label\na,x\n ,y\n", "a.csv row 3, column 'text' is empty; fill it in or take the row out"),
        ({}, "text,stars\na,x\nb,y\n", "has no column 'label', but the columns 'text', 'stars'; name it with label="),
        ({"label": "strs"}, "text,stars\na,x\n", "a.csv has no column 'strs'; did you mean 'stars'?"),
        ({}, "a,b,label\n1,2,x\n", "a.csv has the columns 'a', 'b', 'label'; name those of the examples with input="),
        ({"input": ["a", "b"]}, "a,b,label\n1,2,x\n3,?,y\n", "a.csv row 3, column 'b' is '?'; expected a number"),
        ({"input": ["a", "b"]}, "a,b,label\n1,2,x\n3,nan,y\n", "a.csv row 3 is nan at step 1; expected numbers"),
        ({}, "text,label\na,x\nb,x\n", "all examples have the label 'x'"),
        ({"group": "who"}, "text,label\na,x\nb,y\n", "a.csv has no column 'who'"),
        ({"encoding": "ascii"}, "text,label\n\u00e9,x\n", "a.csv is not ascii text: byte 11"),
    ],
)
def test_bad_files_are_named(options: dict[str, Any], content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content, "utf-8")
    with pytest.raises(UserError) as caught:
        small(**options).fit(tmp_path / "a.csv", run=tmp_path / "run")
    assert sentence in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_label_that_training_did_not_have(reviewer: Classifier, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("text,label\nfine,up\ndull,dwn\n")
    with pytest.raises(
        UserError, match=r"b.csv row 3, column 'label': the label 'dwn' was not there in training; did you mean 'down'?"
    ):
        reviewer.evaluate(tmp_path / "b.csv")
    with pytest.raises(UserError, match=r"y\[1\]: the label 'meh' was not there in training; valid: down, up"):
        reviewer.evaluate(["fine", "so so"], ["up", "meh"])
    assert len(reviewer.predict(tmp_path / "b.csv")) == 2, "labels are not read to predict"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: small().fit(), "there is nothing to train on; name a file with data="),
        (lambda: small().fit(["a", "b"]), "y is missing; give a label for every example of X"),
        (lambda: small().fit(["a", "b"], ["x"]), "X has 2 examples, y has 1; expected one for each"),
        (lambda: small().fit(["a", "b"], ["x", "y"], groups=[1]), "X has 2 examples, groups has 1"),
        (lambda: small().fit(["a", "b"], [["x", "y"], ["x", "y"]]), r"y is (2, 2); expected one label an example"),
        (lambda: small().fit("gone.csv", ["x"]), "X is the file 'gone.csv', which holds the labels; leave y out"),
        (lambda: small().fit("gone.csv"), "cannot read gone.csv: No such file or directory"),
        (lambda: small().fit(["a", "b"], ["x", "y"], valid=3), "valid is neither a file nor a pair; give (X, y)"),
        (lambda: small().fit(["a b"] * 9, list("xyz" * 3), valid=([[1.0]], ["x"])), "X[0] is [1.0]; expected a text"),
        (lambda: small(pooling="maxx").fit(["a"], ["x"]), "pooling is 'maxx'; did you mean 'max'?"),
        (lambda: small(word_dropout=1.0).fit(["a"], ["x"]), "word_dropout is 1.0; expected a probability"),
        (lambda: small(step_size=0).fit(["a"], ["x"]), "step_size is 0; expected a whole number of at least 1"),
        (lambda: small(best="acuracy").fit(["a"], ["x"]), "best is 'acuracy'; did you mean 'accuracy'?"),
        (lambda: small(device="tpu").fit(["a"], ["x"]), "device='tpu'; expected 'auto', 'cpu' or 'cuda'"),
        (
            lambda: small().predict(["a"]),
            "this Classifier has not been trained; call fit(), or Classifier.load(folder)",
        ),
        (lambda: Classifier(hiden_size=3), "Classifier has no option 'hiden_size'; did you mean 'hidden_size'?"),
    ],
)
def test_mistakes_are_told(call: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert sentence in str(caught.value)


def test_inputs_of_another_kind_are_refused(reviewer: Classifier) -> None:
    with pytest.raises(UserError, match=r"X\[0\] is \[1.0, 2.0\]; expected a text"):
        reviewer.predict([[1.0, 2.0]])
    with pytest.raises(UserError, match=r"cannot read a film.csv"):
        reviewer.predict("a film.csv")


def test_a_validation_part_that_is_in_no_file_is_not_made_up(tmp_path: Path) -> None:
    texts, labels = reviews(30)
    (tmp_path / "a.txt").write_text("".join(f"{label}\t{text}\n" for text, label in zip(texts, labels, strict=True)))
    small().fit(tmp_path / "a.txt", valid=(texts, labels), run=tmp_path / "run")
    with pytest.raises(UserError, match="what was kept for validation is in no file; name data to evaluate on"):
        Classifier.load(tmp_path / "run").evaluate()


def test_a_column_of_groups(tmp_path: Path) -> None:
    texts, labels = reviews(30)
    rows = [f"{label},{text},{row % 3}\n" for row, (text, label) in enumerate(zip(texts, labels, strict=True))]
    (tmp_path / "a.csv").write_text("".join(["label,text,who\n", *rows]))
    model = small(group="who", valid_share=0.3, seed=1).fit(tmp_path / "a.csv", run=tmp_path / "run")
    assert model.evaluate()["examples"] == 10, "one of three groups"
    assert Classifier.load(tmp_path / "run").evaluate() == model.evaluate()
    with pytest.raises(UserError, match="name its column of groups with group=, and leave groups out"):
        small().fit(tmp_path / "a.csv", groups=[1])
    (tmp_path / "new.csv").write_text("label,text\n" + f"{labels[0]},{texts[0]}\n")
    assert model.evaluate(tmp_path / "new.csv")["examples"] == 1, "groups are for training only"
    (tmp_path / "a.csv").write_text("".join(["label,text,who\n", *rows, rows[0]]))
    with pytest.raises(
        UserError, match=r"a.csv has changed since training: what was kept for validation can no longer"
    ):
        Classifier.load(tmp_path / "run").evaluate()


def test_a_fit_that_fails_leaves_no_half_model() -> None:
    texts, labels = reviews(30)
    model = small().fit(texts, labels)
    with pytest.raises(UserError, match="was not there in training"):
        model.fit(texts, ["x", "y"] * 15, valid=(["a dull film"], ["z"]))
    with pytest.raises(UserError, match="this Classifier has not been trained"):
        model.predict(texts[:1])


def test_letters_tell_what_unknown_words_mean(tmp_path: Path) -> None:
    """Every word is new; its ending alone tells the label."""
    draw = np.random.default_rng(0)

    def made(count: int) -> tuple[list[str], list[str]]:
        stems = ["".join(draw.choice(list("bdfgklmnprst"), 4)) for _ in range(count)]
        ends = [("ing", "now"), ("ed", "then")]
        return [f"They {stem}{ends[row % 2][0]}" for row, stem in enumerate(stems)], [
            ends[row % 2][1] for row in range(count)
        ]

    texts, labels = made(200)
    options = {"character_size": 12, "hidden_size": 12, "steps": 120, "evaluate_every": 60, "lowercase": True}
    model = small(**options).fit(texts, labels, run=tmp_path / "run")
    assert model.score(*made(60)) >= 0.95
    again = Classifier.load(tmp_path / "run")
    np.testing.assert_array_equal(again.predict_proba(texts[:9]), model.predict_proba(texts[:9]))
    one_by_one = np.concatenate([model.predict_proba([text]) for text in texts[:3]])
    np.testing.assert_allclose(one_by_one, model.predict_proba(texts)[:3], rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="only words are spelt; read texts with tokens='word'"):
        small(**options, tokens="char").fit(texts, labels)
    with pytest.raises(UserError, match="character_size is for texts"):
        Classifier(character_size=3, steps=1, threads=1).fit(*sequences(30))


def test_a_label_of_a_file_is_one_number_however_it_is_spelt(tmp_path: Path) -> None:
    texts, labels = reviews(30)
    spelt = [str(int(label == labels[0])) + ".0" * (row % 3 == 0) for row, label in enumerate(labels)]
    rows = [f"{label},{text},{row % 3}\n" for row, (text, label) in enumerate(zip(texts, spelt, strict=True))]
    (tmp_path / "a.csv").write_text("".join(["label,text,who\n", *rows]))
    # Those spelt 1.0 are one of the groups; whichever is kept back, no label is in it alone.
    for seed in range(3):
        model = small(group="who", valid_share=0.3, seed=seed).fit(tmp_path / "a.csv")
        assert model.classes_.tolist() == ["0", "1"]
        assert len(model.evaluate(tmp_path / "a.csv")["confusion"]) == 2


def test_a_column_of_other_things_is_no_label(tmp_path: Path) -> None:
    texts, labels = reviews(60)
    with pytest.raises(
        UserError, match=r"60 examples have 60 different labels, such as .*is label= \(--label\) the right"
    ):
        small().fit(texts, [f"{label} {row}" for row, label in enumerate(labels)], valid=(texts[:2], ["up 0", "up 1"]))
    with pytest.raises(UserError, match="all examples of the label 'rare' fell into the part kept back"):
        small(valid_share=0.4, seed=1).fit(texts, ["rare", *labels[1:]], groups=["a", *"bc" * 29, "b"])
    (tmp_path / "a.txt").write_text("up\tfine\ndown\tdull\n" * 9)
    with pytest.raises(UserError, match=r"valid is .*a.txt, which is learned from"):
        small().fit(tmp_path / "a.txt", valid=tmp_path / "a.txt")


def test_labels_of_a_file_are_numbers_too(tmp_path: Path) -> None:
    texts, labels = reviews(30)
    numbers = [int(label == labels[0]) for label in labels]
    model = small().fit(texts, numbers)
    (tmp_path / "a.csv").write_text("label,text\n" + f"{numbers[0]},{texts[0]}\n{numbers[1]},{texts[1]}\n")
    assert model.evaluate(tmp_path / "a.csv") == model.evaluate(texts[:2], numbers[:2])


def test_options_that_would_do_nothing_are_refused() -> None:
    for given in ({"tokens": "char"}, {"lowercase": True}, {"min_count": 3}, {"word_dropout": 0.5}):
        model = Classifier(**{"cell": "rnn", "hidden_size": 4, "steps": 1, "threads": 1} | given)
        with pytest.raises(UserError, match=f"{next(iter(given))} is for texts, but the examples are numbers"):
            model.fit(*sequences(30))
    with pytest.raises(UserError, match="step_size is for numbers, but the examples are texts"):
        small(step_size=4).fit(*reviews(30))


def test_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="Classifier trains in one process; start it without torchrun"):
        small().fit(["a", "b"], ["x", "y"])


# scikit-learn


def test_clone_and_cross_validation() -> None:
    base = pytest.importorskip("sklearn.base")
    selection = pytest.importorskip("sklearn.model_selection")
    model = small(steps=100, evaluate_every=30)
    assert base.clone(model).get_params() == model.get_params()
    assert base.is_classifier(model)
    texts, labels = reviews(150)
    scores = selection.cross_val_score(model, texts, labels, cv=2)
    assert scores.mean() > 0.7


def test_several_vote() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    texts, labels = reviews(60)
    nets = [(str(seed), small(steps=20, evaluate_every=10, seed=seed)) for seed in (0, 1)]
    voting = ensemble.VotingClassifier(nets, voting="soft").fit(texts, labels)
    each = [model.predict_proba(texts) for model in voting.estimators_]
    assert np.allclose(voting.predict_proba(texts), np.mean(each, 0)) and not np.allclose(*each)


@pytest.mark.slow
def test_a_search_finds_the_better_option() -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    texts, labels = reviews(150)
    model = small(steps=60, evaluate_every=30)
    search = selection.GridSearchCV(model, {"learning_rate": [1e-5, 0.01]}, cv=2).fit(texts, labels)
    assert search.best_params_ == {"learning_rate": 0.01}


def test_columns_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    texts, labels = reviews(30)
    frame = pandas.DataFrame({"text": texts, "label": labels})
    expected = small().fit(texts, labels).predict_proba(texts)
    for X in (frame["text"], frame[["text"]]):
        np.testing.assert_array_equal(small().fit(X, frame["label"]).predict_proba(X), expected)
