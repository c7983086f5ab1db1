from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elman.data.text as text_module
from elman.data.text import documents
from elman.errors import UserError

Folder = Callable[..., Path]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff\u03a3"), min_size=1)


def read(path: Path, **options: bool) -> str:
    return "".join(documents(path, **options)[0].pieces())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=texts, block=st.integers(1, 9), lowercase=st.booleans())
def test_pieces_join_to_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, block: int, lowercase: bool
) -> None:
    monkeypatch.setattr(text_module, "BLOCK", block)
    path = tmp_path / "tale.txt"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    document = documents(path, lowercase=lowercase)[0]
    expected = text.lower() if lowercase else text
    assert "".join(document.pieces()) == expected
    assert document.characters == len(expected)
    middle = len(expected) // 2
    assert "".join(document.pieces(0, middle)) + "".join(document.pieces(middle)) == expected


def test_pieces_are_bounded_and_end_before_blanks(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("once upon a  time\n\n" * 100_000)
    pieces = list(documents(path)[0].pieces())
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= text_module.BLOCK + text_module.BREAK_WITHIN
    assert all(piece[0].isspace() and not piece[-1].isspace() for piece in pieces[1:-1])


def test_a_text_without_blanks_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("\u6614" * 400_000, "utf-8")
    pieces = list(documents(path)[0].pieces())
    assert max(map(len, pieces)) <= text_module.BLOCK // 3 + 1
    assert set("".join(pieces)) == {"\u6614"}
    assert documents(path)[0].characters == 400_000


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "tale.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read(path) == "one\ntwo\nthree\n"


def test_folder_is_read_by_name(folder: Folder) -> None:
    place = folder("zero", "one", "two")
    (place / "notes.md").write_text("not a story")
    assert [d.name for d in documents(place, first=2)] == ["000.txt", "001.txt"]
    assert ["".join(d.pieces()) for d in documents(place)] == ["zero", "one", "two"]


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text_module._spooled.cache_clear()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Es war einmal \u00fc".encode())))
    first, second = documents("-")[0], documents("-", lowercase=True)[0]
    assert "".join(first.pieces()) == "Es war einmal \u00fc"
    assert "".join(second.pieces()) == "es war einmal \u00fc"
    text_module._spooled.cache_clear()


def test_empty_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text_module._spooled.cache_clear()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(UserError, match="nothing came on standard input"):
        documents("-")
    text_module._spooled.cache_clear()


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"x" * (text_module.BLOCK - 1)])
def test_not_utf8_names_file_and_byte(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(before + b"M\xe4rchen")
    with pytest.raises(UserError, match=rf"'latin.txt' is not UTF-8 text: byte {len(before) + 1} \(0xe4\)"):
        read(path)


def test_a_sequence_broken_off_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "cut.txt"
    path.write_bytes("abc\u6614".encode()[:-1])
    with pytest.raises(UserError, match="byte 3"):
        read(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder: 'grim'; did you mean 'grimm'"):
        documents("grim")
    with pytest.raises(UserError, match=r"give a file, a folder of \*.txt"):
        documents(tmp_path / "missing.txt")
    with pytest.raises(UserError, match=r"no \*.txt files"):
        documents(tmp_path)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match="is empty"):
        documents(tmp_path / "empty.txt")
    with pytest.raises(UserError, match="is empty"):
        documents(tmp_path)


def test_first_must_fit(folder: Folder) -> None:
    place = folder("a", "b")
    with pytest.raises(UserError, match="at least 1"):
        documents(place, first=0)
    with pytest.raises(UserError, match="holds 2 documents"):
        documents(place, first=3)
