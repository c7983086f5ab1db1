from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elman.data.pairs import Pairs, aligned_pairs, as_pairs, conversation_pairs, pairs_in_table, read_conversations
from elman.data.table import read_table
from elman.errors import UserError


def contents(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


WANTED = [("one, two", "1"), ("three", "3\n3"), ("one, two", "12")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'other,question,answer\nx,"one, two",1\nx,three,"3\n3"\nx,"one, two",12\n'),
        ("a.tsv", 'question\tanswer\none, two\t1\nthree\t"3\n3"\none, two\t12\n'),
        ("a.jsonl", "".join(json.dumps({"answer": b, "question": a}) + "\n" for a, b in WANTED)),
    ],
)
def test_tables(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    pairs = pairs_in_table(read_table(tmp_path / name), "question", "answer")
    assert contents(pairs) == WANTED
    assert pairs.groups[0] == pairs.groups[2] != pairs.groups[1]  # equal sources go to one side
    assert contents(pairs[[2, 0]]) == [WANTED[2], WANTED[0]]


def test_lines_with_a_tab_need_no_names(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\t1\ntwo\t2 2\n")
    pairs = pairs_in_table(read_table(tmp_path / "a.txt"), "source", "target")
    assert contents(pairs) == [("one", "1"), ("two", "2 2")]


def test_aligned_files(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("one\n\n two\n")
    (tmp_path / "a.de.gz").write_bytes(gzip.compress("eins\n\nzwölf\n".encode()))
    pairs = aligned_pairs(tmp_path / "a.en", tmp_path / "a.de.gz")
    assert contents(pairs) == [("one", "eins"), ("two", "zwölf")]
    assert pairs.place(1) == "a.en row 3"


def test_only_line_ends_end_a_line(tmp_path: Path) -> None:
    """Other signs that Python takes for ends of a line stand in real text."""
    (tmp_path / "a.en").write_bytes("one\u2028two\r\nthree\n".encode())
    (tmp_path / "a.de").write_bytes("eins zwei\ndr\x85e\x0ci\r\n".encode())
    pairs = aligned_pairs(tmp_path / "a.en", tmp_path / "a.de")
    assert contents(pairs) == [("one\u2028two", "eins zwei"), ("three", "dr\x85e\x0ci")]
    (tmp_path / "a.jsonl").write_text('["Hi.\u2028You!", "Hello!"]\n')
    (tmp_path / "a.txt").write_text("Hi.\u2028You!\nHello!\n")
    assert contents(read_conversations(tmp_path / "a.jsonl", 1)) == [("Hi. You!", "Hello!")]
    assert contents(read_conversations(tmp_path / "a.txt", 1)) == [("Hi.\u2028You!", "Hello!")]


def test_conversations(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hi.\nHello!\n  How are you?\n\n\nBye.\n\nWho?\nMe.\n")
    (tmp_path / "a.jsonl").write_text(
        '["Hi.", "Hello!", "How  are you?"]\n{"turns": ["Bye."]}\n\n{"turns": [[0, "Who?"], ["me", "Me."], [0, " "]]}\n'
    )
    wanted = [("Hi.", "Hello!"), ("Hi.\nHello!", "How are you?"), ("Who?", "Me.")]
    for name, rows in (("a.txt", (1, 8)), ("a.jsonl", (1, 4))):
        pairs = read_conversations(tmp_path / name, turns=2)
        assert contents(pairs) == wanted and pairs.groups == [0, 0, 2]
        assert [pairs.place(i) for i in (1, 2)] == [f"{name} row {rows[0]}, turn 3", f"{name} row {rows[1]}, turn 2"]
    assert conversation_pairs([list("abcd")], 1, str).sources == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("read", "files", "message"),
    [
        (lambda at: pairs_in_table(read_table(at / "a.csv"), "source", "target"),
         {"a.csv": "source,target\na,b\nc, \n"},
         "a.csv row 3, column 'target' is empty; fill it in"),
        (lambda at: pairs_in_table(read_table(at / "a.csv"), "source", "target"), {"a.csv": "source,tarket\na,b\n"},
         "a.csv has no column 'target'; did you mean 'tarket'"),
        (lambda at: pairs_in_table(read_table(at / "a.jsonl"), "source", "target"),
         {"a.jsonl": '{"source": "a", "target": "b"}\n{"source": "a"}\n'}, "a.jsonl row 2, column 'target' is None"),
        (lambda at: aligned_pairs(at / "a.en", at / "a.de"), {"a.en": "a\nb\n", "a.de": "a\n"},
         "a.en has 2 lines, a.de has 1"),
        (lambda at: aligned_pairs(at / "a.en", at / "a.de"), {"a.en": "a\nb\n", "a.de": "a\n\n"},
         "a.de row 2 is empty"),
        (lambda at: aligned_pairs(at / "a.en", at / "a.de"), {"a.en": "\n", "a.de": "\n"}, "a.en holds no lines"),
        (lambda at: read_conversations(at / "a.jsonl", 1), {"a.jsonl": '["a", "b"]\n["a"\n'},
         "a.jsonl row 2 is no JSON"),
        (lambda at: read_conversations(at / "a.jsonl", 1), {"a.jsonl": '{"said": ["a"]}\n'},
         "a.jsonl row 1 is no conversation"),
        (lambda at: read_conversations(at / "a.jsonl", 1), {"a.jsonl": '["a", 3]\n'},
         "a.jsonl row 1, turn 2 is 3; expected a text"),
        (lambda at: read_conversations(at / "a.txt", 1), {"a.txt": "a\n\nb\n"},
         "no conversation of at least two turns"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, read: Callable[[Path], Any], files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert message in str(error.value)


def test_bad_lists() -> None:
    with pytest.raises(UserError, match="y is missing"):
        as_pairs(["a"], None)
    with pytest.raises(UserError, match="X has 2 sources, y has 1 targets"):
        as_pairs(["a", "b"], ["c"])
    with pytest.raises(UserError, match=r"X\[1\] is 3; expected a text, as X\[0\] is"):
        as_pairs(["a", 3], ["c", "d"])
    with pytest.raises(UserError, match=r"y\[1\] is empty"):
        as_pairs(["a", "b"], ["c", " "])
