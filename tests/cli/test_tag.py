"""Tagging on the command line, from a file of columns to tagged sentences."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from some_sentences import sentences

from elman import Classifier, Tagger
from elman.data.tagged import read_tagged

pytestmark = pytest.mark.usefixtures("eager")

SMALL = ["--cell", "rnn", "--hidden-size", 12, "--embedding-size", 8, "--character-size", 0, "--threads", 1]


def test_from_a_file_to_tagged_sentences(call: Any, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = zip(*sentences(120), strict=True)
    Path("words.tsv").write_text(
        "\n".join("".join(f"{w}\t{t}\n" for w, t in zip(*pair, strict=True)) for pair in pairs)
    )
    said = call("train", "tag", "--data", "words.tsv", "--steps", 60, "--evaluate-every", 30, "--learning-rate", 0.02,
                *SMALL)  # fmt: skip
    assert said.code == 0 and not said.err
    lines = said.out.splitlines()
    assert lines[0] == "sequences 108 to learn from, 12 to judge by"
    assert lines[1] == "tags      5: ADV, DET, NOUN, PRON, VERB"
    run = Path("runs/tag-rnn-1")
    assert lines[4] == f"run       {run}" and (run / "confusion.png").exists()
    assert lines[5].endswith(" tokens/s") and "  accuracy 0." in lines[5]
    assert lines[-1] == f"go on     elman train tag --resume {run} --steps 120"
    model = Tagger.load(run)

    found = call("evaluate", run, "--json")
    assert found.code == 0 and json.loads(found.out) == model.evaluate()
    said = call("predict", run, "they run", "the run", "words.tsv")
    assert said.out.splitlines()[:2] == ["they/PRON run/VERB", "the/DET run/NOUN"]
    assert said.out.count("\n") == 122
    records = [json.loads(line) for line in call("predict", run, "they run", "--json", "--top", 2).out.splitlines()]
    assert records[0]["tokens"] == ["they", "run"] and records[0]["tags"] == ["PRON", "VERB"]
    assert [len(each) for each in records[0]["probabilities"]] == [2, 2]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"they run\nthe run\n")))
    assert call("predict", run, "-").out == "they/PRON run/VERB\nthe/DET run/NOUN\n"
    # Columns come back, and can be read again.
    assert (
        call("predict", run, "they run", "the run", "--conll").out == "they\tPRON\nrun\tVERB\n\nthe\tDET\nrun\tNOUN\n\n"
    )
    Path("tagged.tsv").write_text(call("predict", run, "words.tsv", "--conll").out)
    given, back = read_tagged("words.tsv"), read_tagged("tagged.tsv")
    assert back.inputs.items == given.inputs.items and back.tags == model.predict("words.tsv")
    assert "tokens, each with its one tag; leave json and top out" in refused("predict", run, "a", "--conll", "--json")
    assert "tokens, each with its one tag; leave json and top out" in refused(
        "predict", run, "a", "--conll", "--top", 2
    )
    Path("bad.tsv").write_text("they\tPRON\nrun\n")
    assert refused("evaluate", run, "--data", "bad.tsv").startswith("bad.tsv row 2 has 1 column, but row 1 has 2; ex")


def test_columns_are_for_taggers_of_words(refused: Any) -> None:
    options = {"cell": "rnn", "hidden_size": 4, "steps": 1, "threads": 1}
    Tagger(**options).fit([[0.0, 1.0], [1.0, 0.0]] * 4, [["a", "b"], ["b", "a"]] * 4, run="steps")
    Classifier(**options).fit(["a b", "b a"] * 10, ["x", "y"] * 10, run="labels")
    for run in ("steps", "labels"):
        said = refused("predict", run, "a b", "--conll")
        assert f"{run} tags no words; conll is for models that do, use json (--json) instead" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("train tag", "there is nothing to train on; name a file with data= (--data FILE)"),
        ("train tag --data gone.conllu", "cannot read gone.conllu: No such file or directory; check the name"),
        ("train tag --data a.xml", "a.xml ends in none of .conll, .conllu, .tsv, .txt, .jsonl, .ndjson, .csv, .npz"),
        ("train tag --recipe spam", "recipe spam.toml is for the job 'classify'; use it with elman train classify"),
    ],
)
def test_mistakes_are_told_in_one_sentence(refused: Any, words: str, sentence: str) -> None:
    assert sentence in refused(*words.split())
    assert not Path("runs").exists()


def test_the_recipes_can_be_read(call: Any) -> None:
    said = call("train").out
    for recipe in ("pos-tags", "chunks", "frame-labels"):
        assert f"  {recipe} " in said
