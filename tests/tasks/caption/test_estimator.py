from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elman import Captioner, UserError

pytestmark = pytest.mark.usefixtures("eager")

SMALL = {"cell": "gru", "hidden_size": 16, "embedding_size": 8, "input_size": 8, "min_count": 0, "learning_rate": 0.02,
         "threads": 1}  # fmt: skip
LANGUAGES = {
    "Ki": ("ka", "ki", "ku", "ra", "ri"),
    "Osk": ("bosk", "dask", "gosk", "tusk"),
    "Lem": ("lem", "lom", "lum"),
}


def small(**options: Any) -> Captioner:
    return Captioner(**SMALL | {"steps": 4, "evaluate_every": 2} | options)


def names(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Names of three languages, of two or three syllables of their own."""
    draw = random.Random(seed)
    labels = [draw.choice(list(LANGUAGES)) for _ in range(count)]
    return labels, ["".join(draw.choices(LANGUAGES[label], k=draw.randint(2, 3))) for label in labels]


def is_name(name: str, language: str) -> bool:
    """Whether a name is made of two or three syllables of a language."""
    left = [name]
    for taken in range(4):
        if taken in (2, 3) and "" in left:
            return True
        left = [rest[len(s) :] for rest in left for s in LANGUAGES[language] if rest.startswith(s)]
    return False


def vectors(count: int, seed: int = 0) -> tuple[np.ndarray, list[list[str]]]:
    """Vectors of two numbers with noise; the captions say which are high, in two ways."""
    draw = np.random.default_rng(seed)
    which = draw.integers(0, 3, (count, 2))
    words = ("low", "middle", "high")
    texts = [[f"{words[a]} then {words[b]}", f"{words[a]} and {words[b]}"] for a, b in which]
    return which * 2.0 + draw.normal(0, 0.2, (count, 2)), texts


def dots(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Pictures of two dots, and where the bright one is seen from the dim one."""
    draw = np.random.default_rng(seed)
    pictures, texts = np.zeros((count, 12, 12)), []
    for picture in pictures:
        (top, left), (down, right) = draw.integers(0, 5, 2), draw.integers(7, 11, 2)
        rows = (top, down) if draw.random() < 0.5 else (down, top)
        columns = (left, right) if draw.random() < 0.5 else (right, left)
        for row, column, value in zip(rows, columns, (1.0, 0.4), strict=True):
            picture[row : row + 2, column : column + 2] = value
        sides = ("above" if rows[0] < rows[1] else "below", "left" if columns[0] < columns[1] else "right")
        texts.append(f"bright {sides[0]} dim , {sides[1]} of it")
    return pictures, texts


@pytest.fixture(scope="module")
def namer(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    """Trained on a CSV file in a run folder."""
    folder = tmp_path_factory.mktemp("names")
    with open(folder / "names.csv", "w", newline="") as file:
        csv.writer(file).writerows([("language", "name"), *zip(*names(240), strict=True)])
    model = Captioner(**SMALL | {"steps": 240, "evaluate_every": 120, "batch_size": 16,
                                 "tokens": "char", "temperature": 0.5, "input": "language",
                                 "text": "name"})  # fmt: skip
    return model.fit(folder / "names.csv", run=folder / "run")


@pytest.fixture(scope="module")
def teller() -> Captioner:
    """Trained on vectors with two captions each."""
    return Captioner(**SMALL | {"steps": 110, "evaluate_every": 55, "batch_size": 16}).fit(*vectors(160))


# Quality


def test_names_are_of_their_class_and_new_ones_too(namer: Captioner) -> None:
    drawn = namer.samples(list(LANGUAGES), 40, seed=0)
    right = [is_name(name, language) for language, each in zip(LANGUAGES, drawn, strict=True) for name in each]
    assert np.mean(right) >= 0.9
    assert len({name for each in drawn for name in each}) >= 30
    found = namer.evaluate()
    assert found["written"] == 60 and 0.2 < found["distinct"] <= 1 and "bleu" not in found
    # The syllables of a language are equally likely: no model can be surer.
    assert 1.3 < found["perplexity"] < 2.2


def test_captions_of_vectors(teller: Captioner) -> None:
    X, texts = vectors(60, seed=1)
    found = teller.evaluate(X, texts)
    assert found["exact"] >= 0.95 and found["perplexity"] < 1.6
    assert found["inputs"] == 60 and found["texts"] == 120 and found["distinct"] <= 18 / 60
    assert teller.predict(np.array([[0.0, 4.0], [2.0, 2.0]]))[0] in ("low then high", "low and high")
    assert teller.score(X, texts) == -found["loss"]


@pytest.mark.slow
def test_captions_of_pictures_by_attention() -> None:
    X, texts = dots(400)
    model = Captioner(**SMALL | {"steps": 250, "init": "xavier", "batch_size": 16}).fit(X, texts)
    assert model.evaluate(*dots(100, seed=1))["exact"] >= 0.9


# What it gives


def test_the_beam_gives_the_likeliest_and_its_probability(teller: Captioner) -> None:
    x = np.array([[0.0, 4.0]])
    found = teller.set_search(length_penalty=0.0).answers(x, 2)[0]
    assert {each.text for each in found} == {"low then high", "low and high"}
    for each in found:
        tokens = teller.evaluate(x, [each.text])
        assert -tokens["loss"] * 4 == pytest.approx(each.log_prob, rel=1e-4)
        assert each.score == pytest.approx(each.log_prob)
    assert found[0].log_prob >= found[1].log_prob


def test_draws_follow_the_seed_and_the_temperature(namer: Captioner) -> None:
    first, again = (namer.samples(["Ki"], 12, seed=5) for _ in range(2))
    assert first == again != namer.samples(["Ki"], 12, seed=6)
    assert len(set(namer.samples(["Ki"], 12, temperature=0.0, seed=5)[0])) == 1
    cold = namer.samples(["Ki"], 1, temperature=0.0)[0][0]
    best = namer.set_search(temperature=None, beam=1).predict(["Ki"])[0]
    namer.set_search(temperature=0.5, beam=5)
    assert cold == best
    assert namer.set_search(beam=3).settings_.search.temperature is None, "a beam looks for the best"
    namer.set_search(temperature=0.5, beam=5)


def test_what_cannot_be_searched_or_drawn_is_refused(namer: Captioner) -> None:
    with pytest.raises(UserError, match="count is 0; expected a whole number of at least 1"):
        namer.samples(["Ki"], 0)
    with pytest.raises(UserError, match="the search has no option 'temprature'; did you mean 'temperature'"):
        namer.set_search(temprature=1.0)
    with pytest.raises(UserError, match=r"coverage_penalty=0.5 counts where attention went, and there is none to"):
        namer.set_search(coverage_penalty=0.5)
    assert namer.settings_.search.coverage_penalty == 0.0


def test_several_texts_of_an_input_are_all_learned_from_and_kept_together() -> None:
    X, texts = vectors(40)
    model = small().fit(X, texts)
    assert model.evaluate()["inputs"] == 4 and model.evaluate()["texts"] == 8
    assert small(max_length=2, min_count=None).fit(X, [["a b", each[0]] for each in texts]).writer_.longest == 3


def test_a_text_of_a_class_is_in_one_part_only() -> None:
    labels, texts = ["a", "b"] * 20, [f"x{k % 5}" for k in range(40)]
    model = small(tokens="char", valid_share=0.2).fit(labels, texts)
    kept = {text for each in model._kept.texts for text in each}
    assert model.evaluate()["texts"] == 8 and len(kept) == 1


def test_save_load_and_resume(namer: Captioner, tmp_path: Path) -> None:
    namer.save(tmp_path / "saved")
    again = Captioner.load(tmp_path / "saved")
    assert again.evaluate() == namer.evaluate()
    assert json.loads(json.dumps(again.evaluate())) == again.evaluate()
    X, texts = vectors(20)
    small(dropout=0.3).fit(X, texts, run=tmp_path / "whole")
    small(dropout=0.3, steps=2).fit(X, texts, run=tmp_path / "run")
    resumed = small(dropout=0.3).fit(X, texts, run=tmp_path / "run", resume=True)
    last = [Captioner.load(tmp_path / run, "last").net.state_dict() for run in ("whole", "run")]
    for name, weight in last[0].items():
        assert np.array_equal(weight, last[1][name]), name
    assert Captioner.load(tmp_path / "run").predict(X) == resumed.predict(X)


def test_what_was_found_is_shown(namer: Captioner, teller: Captioner) -> None:
    said = namer.show(namer.evaluate(), None).splitlines()
    assert said[0].startswith("perplexity  ") and said[1].endswith(" of 60 texts written")
    assert [line.split(":")[0] for line in said[2:]] == ["  Ki", "  Lem", "  Osk"]
    found = teller.evaluate(*vectors(8, seed=3))
    said = teller.show(found, None).splitlines()
    assert said[1] == f"exact       {found['exact']:.4f} of 8 texts written (beam 5)"
    assert said[2] == "BLEU        not counted: the targets have fewer than 4 words on average"
    assert said[5].startswith("  X[0]") and said[6] == f"  = {vectors(8, seed=3)[1][0][0]}"


# Files and the command line


def test_vectors_by_number_and_by_name_from_a_file(tmp_path: Path) -> None:
    X, texts = vectors(30)
    np.save(tmp_path / "v.npy", X)
    np.savez(tmp_path / "v.npz", features=X, names=np.array([f"n{k}" for k in range(30)]))
    rows = [(k, text) for k, each in enumerate(texts) for text in each]
    (tmp_path / "a.csv").write_text("index,text\n" + "".join(f"{k},{text}\n" for k, text in rows))
    lines = (json.dumps({"image": f"n{k}", "caption": text}) + "\n" for k, text in rows)
    (tmp_path / "a.jsonl").write_text("".join(lines))
    expected = small().fit(X, texts).predict(X)
    model = small(features=str(tmp_path / "v.npy")).fit(tmp_path / "a.csv", run=tmp_path / "run")
    assert model.predict(X) == expected
    assert small(features=str(tmp_path / "v.npz")).fit(tmp_path / "a.jsonl").predict(X) == expected
    loaded = Captioner.load(tmp_path / "run")
    assert loaded.evaluate() == model.evaluate() and loaded.evaluate()["inputs"] == 3
    assert loaded.evaluate(tmp_path / "a.csv")["texts"] == 60
    records = [record for record, _ in loaded.predictions([str(tmp_path / "v.npy")], 2)]
    assert [record["text"] for record in records] == expected and len(records[0]["texts"]) == 2
    (tmp_path / "b.csv").write_text("index,text\n3,low\n30,low\n")
    with pytest.raises(
        UserError, match=r"b.csv row 3, column 'index' is '30', which is no row of .*; expected a number"
    ):
        loaded.evaluate(tmp_path / "b.csv")
    (tmp_path / "b.jsonl").write_text('{"image": "m1", "caption": "low"}\n')
    with pytest.raises(
        UserError, match=r"b.jsonl row 1, column 'image' is 'm1', which is no row of .*; expected a name"
    ):
        small(features=str(tmp_path / "v.npz")).fit(tmp_path / "b.jsonl")


def test_pictures_by_their_paths(tmp_path: Path) -> None:
    X, texts = dots(20)
    for k, picture in enumerate(X):
        Image.fromarray((picture * 255).astype(np.uint8)).save(tmp_path / f"{k}.png")
    rows = "".join(f'{k}.png,"{text}"\n' for k, text in enumerate(texts))
    (tmp_path / "a.csv").write_text("image,caption\n" + rows)
    model = small().fit(tmp_path / "a.csv", run=tmp_path / "run")
    assert model.reader_.kind == "pictures" and model.evaluate()["inputs"] == 2
    ((record, line),) = Captioner.load(tmp_path / "run").predictions([str(tmp_path / "3.png")], 1)
    assert line == f"{tmp_path / '3.png'}: {record['text']}"
    assert record["text"] == model.predict((X[3:4] * 255).astype(np.uint8))[0]
    tokens, weights = model.attention_weights((X[3] * 255).astype(np.uint8), "bright above")
    assert tokens == ["bright", "above", "end"] and weights.shape == (3, 3, 3)
    np.testing.assert_allclose(weights.sum((1, 2)), 1.0, rtol=1e-5)
    model.attention_figure(tmp_path / "looked.png", tmp_path / "3.png", "bright above")
    assert len(np.unique(np.asarray(Image.open(tmp_path / "looked.png").convert("L")))) > 20
    (tmp_path / "a.csv").write_text("image,caption\ngone.png,a\n")
    with pytest.raises(UserError, match=r"a.csv row 2, column 'image': cannot read .*gone.png as a picture"):
        small().fit(tmp_path / "a.csv")


def test_classes_on_the_command_line(namer: Captioner) -> None:
    ((record, line),) = namer.predictions(["Osk"], 4)
    assert len(record["texts"]) == 4 and record["input"] == "Osk"
    assert line == "\n".join(f"Osk: {text}" for text in record["texts"])
    with pytest.raises(UserError, match=r"the command line: the label 'Oks' was not there in training; did you mean"):
        list(namer.predictions(["Oks"], 1))
    with pytest.raises(UserError, match="nothing to predict; give a class, such as 'Ki', or a file"):
        list(namer.predictions([], 1))
    numbered = small(tokens="char").fit([1, 2] * 10, ["one", "two"] * 5 + ["uno", "due"] * 5)
    assert len(list(numbered.predictions(["2"], 1))) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("label,text\na,x\nb,\n", "a.csv row 3, column 'text' is ''; expected a text, so fill it in"),
        ("label,text\na,x\n,y\n", "a.csv row 3, column 'label' has no label; fill it in"),
        ("label,word\na,x\n", "a.csv has the columns 'label', 'word'; name one with text= (--text)"),
        ("kind,text\na,x\n", "a.csv has the columns 'kind', 'text'; name one with input= (--input)"),
        ("label,text\na,x\na,y\na,z\n", "all examples have the label 'a'; expected at least two"),
    ],
)
def test_bad_files_are_named(content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError) as caught:
        small().fit(tmp_path / "a.csv", run=tmp_path / "run")
    assert sentence in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda X, y: small().fit(), "there is nothing to train on; name a file with data="),
        (lambda X, y: small().fit(X), "texts are missing; give one, or a list of them, for everything in X"),
        (lambda X, y: small().fit(X, y[:3]), "X has 6 inputs, there are 3 texts; expected one, or a list, for each"),
        (
            lambda X, y: small().fit(X, [*y[:5], []]),
            "texts[5] is []; expected a text, or a list of texts, none of them",
        ),
        (lambda X, y: small().fit("gone.csv", y), "X is the file 'gone.csv', which holds the texts; leave texts out"),
        (lambda X, y: small().fit("Ki", None), "Ki ends in none of .csv, .tsv"),
        (lambda X, y: small().fit([*X[:5], X[5][:1]], y), "X[5] is (1,), X[0] is (2,); expected one size for all"),
        (lambda X, y: small().fit(X * np.nan, y), "X[0] is nan at feature 0; expected numbers"),
        (lambda X, y: small(max_length=1).fit(X, y), "every text has more than max_length=1 tokens; raise it"),
        (lambda X, y: small().fit(X, y, valid=(X[:, :1], y)), "X[0] has 1 features; the model was trained on 2"),
        (lambda X, y: small().fit(X, y, valid=(list("ababab"), y)), "X[0]: the model writes from vectors, these are"),
        (
            lambda X, y: small(coverage_penalty=0.5).fit(X, y),
            "counts where attention went, and there is none to vectors",
        ),
        (lambda X, y: small(temperature=-1.0).fit(X, y), "temperature is -1.0; expected 0 or more"),
        (lambda X, y: small(halvings=0).fit(X, y), "halvings is 0; expected a whole number of at least 1"),
        (lambda X, y: small().predict(X), "this Captioner has not been trained; call fit()"),
    ],
)
def test_mistakes_are_told(call: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        call(*vectors(6))
    assert sentence in str(caught.value)
