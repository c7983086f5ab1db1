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


def stream(said: bytes, errors: str = "strict") -> io.TextIOWrapper:
    """Standard input, of bytes beneath."""
    return io.TextIOWrapper(io.BytesIO(said), "utf-8", errors)


def test_input_that_is_no_text(refused: Any, talker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for errors in ("strict", "surrogateescape"):  # the second in the C locale
        monkeypatch.setattr("sys.stdin", stream(b"\xff\xfe\n", errors))
        assert refused("chat", talker) == "standard input is not utf-8 text; convert it to that"
    monkeypatch.setattr("sys.stdin", stream(b"hello\n\xff\xfe\n"))
    assert refused("predict", talker, "-").startswith("standard input is not utf-8 text: byte 6 (0xff) in row 2")


def test_predictions(call: Any, refused: Any, talker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call("predict", talker, "hello", "--beam", 3, "--top", 2, "--attention-map", "map.png", "--json")
    record = json.loads(said.out)
    assert said.code == 0 and record["input"] == "hello" and len(record["answers"]) == 2
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    assert call("evaluate", talker).out.startswith("perplexity  ")
    Path("few.txt").write_text("how are you\nhi there\n")
    call("predict", talker, "few.txt", "hello", "--beam", 3, "--attention-map", "file.png")
    monkeypatch.setattr("sys.stdin", stream(b"how are you\n"))
    assert call("predict", talker, "-", "--beam", 3, "--attention-map", "input.png").code == 0
    call("predict", talker, "how are you", "--beam", 3, "--attention-map", "text.png")
    drawn = [Path(f"{name}.png").read_bytes() for name in ("map", "text", "file", "input")]
    assert drawn[0] != drawn[1] == drawn[2] == drawn[3]
    assert refused("predict", talker, "hello", "--beam", 0) == "beam is 0; expected a whole number of at least 1"


def test_refusals(refused: Any, folder: Path, run: Path) -> None:
    assert "chat needs one of seq2seq" in refused("chat", run)
    Path("a.tsv").write_text("source\ttarget\n" + "".join(f"word {n}\tdrow {n}\n" for n in range(12)))
    Seq2Seq(**SMALL).fit("a.tsv", run="turned")
    assert "was not trained on conversations" in refused("chat", "turned")
