"""Sequence to sequence on the command line: predictions with their options, and a conversation."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from elman import Seq2Seq

SMALL = {"cell": "gru", "hidden_size": 8, "embedding_size": 4, "min_count": 0, "threads": 1, "steps": 2}

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def talker(folder: Path) -> str:
    Path("talk.txt").write_text("\n\n".join("hello\nhi there\nhow are you\nfine" for _ in range(12)))
    Seq2Seq(**SMALL, turns=2).fit("talk.txt", run="talker")
    return "talker"


def test_a_conversation(call: Any, talker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(text: str, *options: object) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        said = call("chat", talker, *options)
        assert said.code == 0 and not said.err
        return said.out.splitlines()

    model = Seq2Seq.load(talker)
    first = model.reply(["hello"])
    second = model.reply(["hello", first, "hi there"])
    assert say("hello\n\nhi there\n/reset\nhello", "--beam", 5) == [first, second, first]
    assert say("hello\nfine\n", "--seed", 3, "--temperature", 1) == say(
        "hello\nfine\n", "--seed", 3, "--temperature", 1
    )
    assert say("") == []


def test_predictions(call: Any, refused: Any, talker: str) -> None:
    said = call("predict", talker, "hello", "--beam", 3, "--top", 2, "--attention-map", "map.png", "--json")
    record = json.loads(said.out)
    assert said.code == 0 and record["input"] == "hello" and len(record["answers"]) == 2
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    assert call("evaluate", talker).out.startswith("perplexity  ")
    assert refused("predict", talker, "hello", "--beam", 0) == "beam is 0; expected a whole number of at least 1"


def test_refusals(refused: Any, folder: Path, run: Path) -> None:
    assert "chat needs one of seq2seq" in refused("chat", run)
    Path("a.tsv").write_text("source\ttarget\n" + "".join(f"word {n}\tdrow {n}\n" for n in range(12)))
    Seq2Seq(**SMALL).fit("a.tsv", run="turned")
    assert "was not trained on conversations" in refused("chat", "turned")
