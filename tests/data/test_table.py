from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from elman import UserError
from elman.data import read_table

CSV = 'text,label\r\n"one, two",a\r\n\r\n"a ""quoted""\nline",b\r\n'


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("zipped", [False, True])
def test_csv(encoding: str, zipped: bool) -> None:
    data = (CSV + "\u00e9t\u00e9,c\r\n").encode(encoding)
    path = Path("a.csv.gz" if zipped else "a.csv")
    path.write_bytes(gzip.compress(data) if zipped else data)
    table = read_table(path, "utf-8" if encoding == "utf-8-sig" else encoding)
    assert table.columns == {
        "text": ("one, two", 'a "quoted"\nline', "\u00e9t\u00e9"),
        "label": ("a", "b", "c"),
    }
    assert list(table.rows) == [2, 4, 5]
    assert table.place(1, "text").endswith(" row 4, column 'text'")


def test_tabs_semicolons_and_empty_fields() -> None:
    Path("a.tsv").write_text("x\ty\n1\t\n")
    Path("a.csv").write_text("x;y\n1,5;2\n")
    assert read_table("a.tsv").columns == {"x": ("1",), "y": ("",)}
    assert read_table("a.csv").columns == {"x": ("1,5",), "y": ("2",)}


def test_json_lines() -> None:
    Path("a.jsonl").write_text('\ufeff{"x": [1, 2], "y": 3}\n\n{"x": "t\u00e9xt"}\n', "utf-8")
    table = read_table("a.jsonl")
    assert table.columns == {"x": [[1, 2], "t\u00e9xt"], "y": [3, None]}
    assert table.rows == [1, 3]


def test_lines_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.txt").write_bytes(b"ham\tso what\tnow\r\n\nspam\tbuy\n")
    table = read_table("a.txt")
    assert (table.columns, table.rows) == ({"label": ["ham", "spam"], "text": ["so what\tnow", "buy"]}, [1, 3])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    assert read_table("-").columns == {"text": ["one", "two"]}


def test_arrays() -> None:
    x = np.arange(12.0).reshape(3, 4)
    np.savez("a.npz", x=x, y=[1, 0, 1], lengths=[4, 2, 0])
    table = read_table("a.npz")
    assert [list(each) for each in table.columns["x"]] == [[0, 1, 2, 3], [4, 5], []]
    assert table.columns["y"] == [1, 0, 1]
    np.savez("b.npz", x=x)
    np.testing.assert_array_equal(np.asarray(read_table("b.npz").columns["x"]), x)


def test_columns_by_pattern() -> None:
    Path("a.csv").write_text("p1,label,p2\n1,a,2\n")
    table = read_table("a.csv")
    assert table.matching(["p*"]) == ["p1", "p2"]
    assert table.matching(["p2", "p1"]) == ["p2", "p1"]
    with pytest.raises(UserError, match=r"a.csv has no column 'labl'; did you mean 'label'?"):
        table.column("labl")
    with pytest.raises(UserError, match=r"a.csv has no column 'q\*'; valid: label, p1, p2"):
        table.matching(["q*"])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"x,y\n1\n", "a.csv row 2 has 1 fields, but row 1 names 2 columns; a field that holds ','"),
        ("a.csv", b'x,y\n"1,2\n', "a.csv row 2: unexpected end of data; mend its quotes"),
        ("a.csv", b"x,x\n1,2\n", "a.csv row 1: column 2 is named 'x', as an earlier one is"),
        ("a.csv", b"x,\n1,2\n", "a.csv row 1: column 2 is without a name; the first row names the columns"),
        (
            "a.csv",
            b",x\n0,2\n",
            "column 1 is without a name; the first row names the columns (pandas writes",
        ),
        ("a.csv", b"x,y\n", "a.csv holds no examples; expected at least one row"),
        ("a.csv", b"", "a.csv holds no examples"),
        ("a.csv", b"x\nok\nna\xefve\n", "a.csv is not utf-8 text: byte 7 (0xef) in row 3 cannot be decoded; give its"),
        ("a.jsonl", b'{"x": 1}\n{"x": \n', "a.jsonl row 2 is no JSON: Expecting value"),
        ("a.jsonl", b"[1]\n", "a.jsonl row 1 is no JSON object"),
        ("a.txt", b"a\tb\nc\n", "a.txt row 2 has no tab, others have; expected label<TAB>text"),
        ("a.npz", b"no", "a.npz is no NumPy .npz file of plain arrays"),
        ("a.xlsx", b"x", "a.xlsx ends in none of .csv, .tsv, .jsonl"),
        ("a.csv.gz", b"x", "cannot read a.csv.gz: "),
        ("gone.csv", None, "cannot read gone.csv: No such file or directory; check the name"),
    ],
)
def test_bad_files_are_named(name: str, content: bytes | None, sentence: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_table(name)
    assert sentence in str(caught.value)


def test_bad_encodings_and_arrays() -> None:
    Path("a.csv").write_text(CSV)
    with pytest.raises(UserError, match="no encoding is called 'utf-9'; try utf-8"):
        read_table("a.csv", "utf-9")
    for arrays, sentence in (
        ({"z": [1]}, "a.npz has no array 'x'; it has 'z'"),
        ({"x": [1, 2], "y": [1]}, r"a.npz: array 'y' is \(1,\); expected one entry an example"),
        ({"x": [[1, 2]], "lengths": [[1]]}, r"array 'lengths' is \(1, 1\)"),
        ({"x": np.array([None])}, "is no NumPy .npz file of plain arrays"),
    ):
        np.savez("a.npz", **arrays)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=sentence):
            read_table("a.npz")
