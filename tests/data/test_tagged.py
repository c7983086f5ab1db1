from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman import UserError
from elman.data import as_sequences
from elman.data.tagged import Tagged, read_tagged

WORDS, TAGS = [["The", "run"], ["They", "run", "."]], [["DET", "NOUN"], ["PRON", "VERB", "PUNCT"]]
JSON_LINES = "".join(json.dumps({"words": w, "labels": t}) + "\n" for w, t in zip(WORDS, TAGS, strict=True))
CONLLU = """# text = The run
1\tThe\tthe\tDET\tDT\t_\t2\tdet\t_\t_
2\trun\trun\tNOUN\tNN\t_\t0\troot\t_\t_

# text = They run.
1-2\tTheyrun\t_\t_\t_\t_\t_\t_\t_\t_
1\tThey\tthey\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2\trun\trun\tVERB\tVBP\t_\t0\troot\t_\t_
2.1\tran\t_\t_\t_\t_\t_\t_\t_\t_
3\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain(tagged: Tagged) -> tuple[Any, Any]:
    return list(tagged.inputs.items), None if tagged.tags is None else [list(tags) for tags in tagged.tags]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.txt", "The DET\nrun NOUN\n\n\nThey PRON\nrun  VERB\n. PUNCT", {}),
        ("a.conll", "The\tDET\r\nrun\tNOUN\r\n\r\nThey\tPRON\r\nrun\tVERB\r\n.\tPUNCT\r\n\r\n", {}),
        ("a.tsv", "1\tThe\tDET\tx\n2\trun\tNOUN\tx\n\n1\tThey\tPRON\tx\n2\trun\tVERB\tx\n3\t.\tPUNCT\tx\n",
         {"inputs": ["2"], "tags": "3"}),
        ("a.conllu", CONLLU, {}),
        ("a.jsonl", JSON_LINES, {}),
        ("a.csv", "s,token,tag\n1,The,DET\n1,run,NOUN\n2,They,PRON\n2,run,VERB\n2,.,PUNCT\n", {"sequence": "s"}),
    ],
)  # fmt: skip
def test_files_of_all_kinds_say_the_same(name: str, content: str, options: dict[str, Any]) -> None:
    Path(name).write_bytes(content.encode())
    assert plain(read_tagged(name, **options)) == (WORDS, TAGS)
    Path(f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    assert plain(read_tagged(f"{name}.gz", **options)) == (WORDS, TAGS)
    if not name.endswith(".txt"):
        assert plain(read_tagged(name, **options, strict=False)) == (WORDS, None)


def test_another_column_of_conllu() -> None:
    Path("a.conllu").write_text(CONLLU)
    assert plain(read_tagged("a.conllu", tags="5"))[1] == [["DT", "NN"], ["PRP", "VBP", "."]]


def test_places_are_those_of_the_file() -> None:
    Path("a.conllu").write_text(CONLLU)
    tagged = read_tagged("a.conllu")
    assert (tagged.place(1, 2), tagged.inputs.place(1)) == ("a.conllu row 10, column 4", "a.conllu row 7")
    assert tagged[[1]].place(0, 1) == "a.conllu row 8, column 4"
    Path("a.csv").write_text("s,token,tag\n1,The,DET\n\n2,They,PRON\n2,run,VERB\n")
    assert read_tagged("a.csv", sequence="s").place(1, 1) == "a.csv row 5, column 'tag'"
    Path("a.jsonl").write_text('\n{"tokens": ["a", "b"], "tags": ["x", "y"]}\n')
    assert read_tagged("a.jsonl").place(0, 1) == "a.jsonl row 2, column 'tags', step 2"


def test_a_token_may_hold_blanks_of_other_kinds() -> None:
    Path("a.conll").write_text("a\u00a0b X\nc\u2028d Y\n", "utf-8")
    assert plain(read_tagged("a.conll")) == ([["a\u00a0b", "c\u2028d"]], [["X", "Y"]])
    Path("a.tsv").write_text("New York\tPROPN\n", "utf-8")
    assert plain(read_tagged("a.tsv"))[0] == [["New York"]]


def test_numbers_from_arrays_and_from_rows() -> None:
    x, y = np.arange(24.0).reshape(2, 4, 3), np.array([[0, 1, 1, 0], [1, 1, 9, 9]])
    np.savez("a.npz", x=x, y=y, lengths=[4, 2])
    inputs, tags = plain(read_tagged("a.npz"))
    np.testing.assert_array_equal(inputs[0], x[0])
    np.testing.assert_array_equal(inputs[1], x[1, :2])
    assert tags == [[0, 1, 1, 0], [1, 1]]
    rows = [f"{'ab'[i]},{','.join(map(str, x[i, t]))},{y[i, t]}\n" for i, t in ((0, 0), (0, 1), (1, 0))]
    Path("a.csv").write_text("who,x1,x2,x3,label\n" + "".join(rows))
    for options in ({}, {"inputs": ["x*"], "tags": "label"}):
        tagged = read_tagged("a.csv", sequence="who", **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(np.concatenate(list(tagged.inputs.items)), [x[0, 0], x[0, 1], x[1, 0]])
        assert tagged.tags == [["0", "1"], ["1"]]
        assert read_tagged("a.csv", sequence="who", strict=False, **options).tags is None  # type: ignore[arg-type]


def test_lines_of_text_to_be_tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.txt").write_text("The king slept.\nWho's there?\n")
    expected = [["The", "king", "slept", "."], ["Who's", "there", "?"]]
    assert plain(read_tagged("a.txt", strict=False)) == (expected, None)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The king slept.\nWho's there?\n")))
    assert plain(read_tagged("-", strict=False))[0] == expected
    Path("a.jsonl").write_text('{"text": "The king slept."}\n{"text": ["Who\'s", "there", "?"]}\n')
    assert plain(read_tagged("a.jsonl", strict=False, kind="tokens"))[0] == expected
    Path("c.txt").write_text("-DOCSTART- -X-\n\nThe DET\nking NOUN\n\nslept VERB\n")
    assert plain(read_tagged("c.txt", strict=False))[0] == [["The", "king"], ["slept"]], "as training reads it"
    assert plain(read_tagged("c.txt")) == ([["The", "king"], ["slept"]], [["DET", "NOUN"], ["VERB"]])
    Path("b.txt").write_text("The\tDET\nking\tNOUN\n")
    assert plain(read_tagged("b.txt", strict=False))[0] == [["The", "king"]]


@pytest.mark.parametrize(
    ("name", "content", "options", "sentence"),
    [
        ("a.conll", "a X\nb\n", {}, "a.conll row 2 has 1 column, but row 1 has 2; expected a token a line, its columns "
         "parted by blanks, and an empty line after each sentence"),
        ("a.conll", "a\tX\n\nb\tc\tY\n", {}, "a.conll row 3 has 3 columns, but row 1 has 2; expected a token a line"),
        ("a.conllu", "1\ta\tX\n", {}, "a.conllu row 1 has 3 columns, but a line of CoNLL-U has 10"),
        ("a.conll", "a\nb\n", {}, "a.conll row 1 has 1 column; expected a token and its tag"),
        ("a.conll", "a X\n", {"tags": "3"}, "column is '3', but a.conll has 2 columns; give the number of one, from 1"),
        ("a.conll", "a X\n", {"inputs": ["x"]}, "input is 'x', but a.conll has 2 columns; give the number of one"),
        ("a.tsv", "a\tX\n\tY\n", {}, "a.tsv row 2, column 1 is empty; fill it in or take the row out"),
        ("a.conll", "\n\n", {}, "a.conll holds no examples; expected at least one row"),
        ("a.jsonl", '{"tokens": ["a"]}\n', {}, "a.jsonl has no column 'tags', but the columns 'tokens'; name it with "),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["X"]}\n', {}, "row 1, column 'tokens' has 2 tokens and 1 tags; "),
        ("a.jsonl", '{"tokens": ["a"], "tags": "X"}\n', {}, "a.jsonl row 1, column 'tags' is 'X'; expected a list of "),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["X"]}\n{"tokens": ["b", 3], "tags": ["X", "Y"]}\n', {},
         "a.jsonl row 2, column 'tokens' is ['b', 3]; expected a list of words"),
        ("a.csv", "word,tag\na,X\n ,Y\n", {"inputs": ["word"]}, "a.csv row 3, column 'word' is empty; fill it in"),
        ("a.csv", "p,q,tag\n1,2,X\n1,z,Y\n", {}, "a.csv row 3, column 'q' is 'z'; expected a number"),
        ("a.csv", "tag\nX\n", {}, "a.csv has no column beside the tags; expected the tokens or numbers of every step"),
        ("a.csv", "p,tag\n1,X\n", {"sequence": "s"}, "a.csv has no column 's'"),
        ("a.xml", "", {}, "a.xml ends in none of .conll, .conllu, .tsv, .txt, .jsonl, .ndjson, .csv, .npz; rename"),
    ],
)  # fmt: skip
def test_bad_files_are_named(name: str, content: str, options: dict[str, Any], sentence: str) -> None:
    Path(name).write_text(content)
    with pytest.raises(UserError) as caught:
        read_tagged(name, **options)
    assert sentence in str(caught.value)


def test_bad_lists_are_named() -> None:
    inputs = as_sequences([["a", "b"], ["c"]])
    for tags, sentence in (
        ([["X", "Y"]], "X has 2 sequences, y has 1; expected a list of tags for each"),
        ([["X", "Y"], ["X", "Y"]], "X[1] has 1 tokens and 2 tags; expected one for each"),
        ([["X", "Y"], "X"], "the tags of X[1] are 'X'; expected a list, one for every step"),
    ):
        with pytest.raises(UserError) as caught:
            Tagged(inputs, tags)
        assert sentence in str(caught.value)
