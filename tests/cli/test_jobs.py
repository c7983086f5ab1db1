"""The jobs on the command line, from a small file to a prediction."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from some_reviews import reviews

from elman import Classifier

SMALL = ["--cell", "rnn", "--hidden-size", "12", "--embedding-size", "8", "--min-count", "0", "--threads", "1"]


@pytest.fixture
def data(folder: Path) -> str:
    rows = "".join(f"{label},{text}\n" for text, label in zip(*reviews(120), strict=True))
    Path("reviews.csv").write_text("stars,text\n" + rows)
    return "reviews.csv"


@pytest.fixture
def trained(call: Any, data: str) -> Any:
    return call("train", "classify", "--data", data, "--label", "stars", "--steps", 60, "--evaluate-every", 30,
                "--learning-rate", 0.02, *SMALL)  # fmt: skip


def test_from_a_file_to_a_prediction(call: Any, refused: Any, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained.code == 0 and not trained.err
    lines = trained.out.splitlines()
    assert lines[:2] == ["examples  108 to learn from, 12 to judge by", "labels    2: down, up"]
    assert lines[2].startswith("tokens    words, ") and lines[3].startswith("network   rnn, ")
    assert lines[4] == "run       runs/classify-rnn-1"
    assert [line.split("  ")[0] for line in lines[5:7]] == ["step 30", "step 60"]
    assert "  accuracy " in lines[5] and lines[5].endswith(" examples/s")
    assert "of 12 examples)" in trained.out and "label  examples  precision  recall     F1" in trained.out
    assert lines[-1] == "go on     elman train classify --resume runs/classify-rnn-1 --steps 120"
    run = Path("runs/classify-rnn-1")
    best = int((run / "checkpoints" / "best").read_text().rpartition("-")[2])
    assert f"weights   those of step {best}, the best on the validation part" in lines
    assert {path.name for path in run.iterdir()} >= {
        "settings.json", "learned.json", "metrics.jsonl", "curves.png", "confusion.png", "checkpoints"
    }  # fmt: skip
    assert json.loads((run / "settings.json").read_text())["task"] == "classify"
    model = Classifier.load(run)

    found = call("evaluate", run, "--json")
    assert found.code == 0 and json.loads(found.out) == model.evaluate()
    texts, labels = reviews(30, seed=4)
    Path("test.txt").write_text("".join(f"{label}\t{text}\n" for text, label in zip(texts, labels, strict=True)))
    assert f"({sum(model.predict(texts) == labels)} of 30 examples)" in call("evaluate", run, "--data", "test.txt").out
    Path("bad.txt").write_text("up\tfine\nupp\tfine\n")
    assert (run / "on-test" / "confusion.png").exists(), "beside the picture of the validation part"
    assert (
        refused("evaluate", run, "--data", "bad.txt")
        == "bad.txt row 2, column 'label': the label 'upp' was not there in training; did you mean 'up'?"
    )

    said = call("predict", run, "the film was not dull", "a great cast", "--top", 2)
    assert said.code == 0
    for line, probabilities, text in zip(
        said.out.splitlines(),
        model.predict_proba(["the film was not dull", "a great cast"]),
        ["the film was not dull", "a great cast"],
        strict=True,
    ):
        order = probabilities.argsort()[::-1]
        answer = "  ".join(f"{model.classes_[k]} {probabilities[k]:.3f}" for k in order)
        assert line == f"{answer}  {text}"
    records = [json.loads(line) for line in call("predict", run, "test.txt", "--json").out.splitlines()]
    assert [record["label"] for record in records] == model.predict(texts).tolist()
    assert [record["input"] for record in records] == texts and records[2]["place"] == "test.txt row 3, column 'text'"
    Path("gap.jsonl").write_text('{"text": "fine"}\n{"text": ""}\n')
    assert call("predict", run, "gap.jsonl").out.splitlines()[1] == "no label: gap.jsonl row 2, column 'text' is empty"
    assert refused("predict", run, "") == "the text is empty; give at least a word"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a fine tale\nso cold\n")))
    assert call("predict", run, "-").out.count("\n") == 2

    for words, sentence in (
        (["predict", run], "nothing to predict; give a file, a text in quotes, or - for standard input"),
        (["predict", run, "gone.csv"], "cannot read gone.csv: No such file or directory; check the name"),
        (["predict", run, "a", "--top", 0], "top is 0; expected a whole number of at least 1"),
        (["predict", "runs"], "runs is not a run folder: it holds no settings.json; give the folder of a run"),
        (["train", "lm", "--resume", run], f"{run} is a run of classify; go on with elman train classify --resume"),
        (["train", "classify", "--resume", run, "--hidden-size", 3], f"{run} was trained with hidden_size=12; a"),
        (["generate", run], f"{run} is a run of the task 'classify'; expected a language model"),
    ):
        assert refused(*words).startswith(sentence)


def test_what_it_advises_works(call: Any, trained: Any) -> None:
    said = call(*trained.out.splitlines()[-1].removeprefix("go on     elman ").split())
    assert said.code == 0
    steps = [json.loads(line)["step"] for line in Path("runs/classify-rnn-1/metrics.jsonl").read_text().splitlines()]
    assert steps == [30, 60, 90, 120]


def test_a_language_model_ranks_what_comes_next(call: Any, refused: Any, run: Path) -> None:
    said = call("predict", run, "the f__", "--top", 3)
    assert said.code == 0 and said.out.splitlines()[0] == "the f__" and len(said.out.splitlines()) == 4
    found = json.loads(call("predict", run, "the f__", "--json").out)
    assert found["prompt"] == "the f__" and len(found["next"]) == 5
    assert [f"{each['probability']:.4f}" in said.out for each in found["next"][:3]] == [True] * 3
    assert "the gap __ must be at the end" in refused("predict", run, "the __ saw")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("train clasify", "elman train knows no task 'clasify'; did you mean 'classify'?"),
        ("train classify", "there is nothing to train on; name a file with data= (--data FILE)"),
        ("train classify --data gone.csv", "cannot read gone.csv: No such file or directory; check the name"),
        ("train classify reviews.csv", "does not know what to do with 'reviews.csv'; did you mean --data reviews.csv?"),
        ("train classify --data reviews.csv", "has no column 'label', but the columns 'stars', 'text'; name it"),
        ("train classify --poling max", "elman train classify has no option '--poling'; did you mean '--pooling'?"),
        ("train classify --recipe demo", "recipe demo.toml is for the job 'lm'; use it with elman train lm"),
        ("train lm --recipe spam", "recipe spam.toml is for the job 'classify'; use it with elman train classify"),
    ],
)
def test_mistakes_are_told_in_one_sentence(refused: Any, data: str, words: str, sentence: str) -> None:
    assert sentence in refused(*words.split())
    assert not Path("runs").exists()


def test_jobs_and_their_recipes_are_listed(call: Any) -> None:
    said = call("train").out
    assert "  classify  one label for a text, a sequence of numbers, an image" in said
    assert "  question-type" in said and "  demo" in said
