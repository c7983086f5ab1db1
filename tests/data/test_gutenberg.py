"""Fetching Grimm's tales, against a local server that answers with a synthetic book."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from elman.data.corpora import MANIFEST, corpus_folder
from elman.data.gutenberg import fetch_grimm, parse_tales
from elman.data.text import documents
from elman.errors import UserError

WORDS = "Once upon a time there was a miller who had a daughter, and she was as fair as the day, and he sent her out."
VERSE = "Flounder, flounder in the sea,\nCome, I pray thee, here to me."


def tale_lines(number: int) -> str:
    """A tale hard-wrapped, a word broken after its hyphen, with a verse."""
    return f"Tale {number}. {WORDS[:59]} lime-\ntree stood there, {WORDS}\n\n{VERSE}\n\nThe end* of {number}."


def told(number: int) -> str:
    return f"Tale {number}. {WORDS[:59]} lime-tree stood there, {WORDS}\n\n{VERSE}\n\nThe end of {number}."


def book(numbered: bool = True, tales: int = 200, contents_gap: str = "\n", end: str | None = None) -> str:
    """A book in the form of ebook 5314; without numbers the headings are in capitals."""
    titles = ["The Frog-King, or Iron Henry"] + [f"The {n} Spinners (or Weavers)" for n in range(2, tales + 1)]
    names = [f"{n} {title}" if numbered else title.upper() for n, title in enumerate(titles, 1)]
    extra = ["151* The Twelve Idle Servants", "Legend 1 St. Joseph in the Forest"] if numbered else []
    headings = names + extra
    body = "\n\n\n".join(f"{heading}\n\n{tale_lines(n)}" for n, heading in enumerate(headings, 1))
    end = end or "*** END OF THE PROJECT GUTENBERG EBOOK HOUSEHOLD TALES ***"
    return (
        "The Project Gutenberg eBook of Household Tales\n\nThis is free.\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK HOUSEHOLD TALES ***\n\n\nProduced by volunteers\n\nCONTENTS\n\n "
        + (contents_gap + " ").join(headings)
        + f"\n\n\n\n{body}\n\n* * * * *\n\n{end}\n\n91 or 90\n\nLICENCE TERMS\n\nand so on\n"
    )


@pytest.mark.parametrize("contents_gap", ["\n", "\n\n"])
def test_numbered_book(contents_gap: str) -> None:
    tales = parse_tales(book(contents_gap=contents_gap))
    assert len(tales) == 202
    assert [tale.text for tale in tales] == [told(n) for n in range(1, 203)]
    assert tales[0].file_name == "001-the-frog-king-or-iron-henry.txt"
    assert tales[1].title == "The 2 Spinners"
    assert [tale.number for tale in tales[-3:]] == ["200", "151b", "L01"]


@pytest.mark.parametrize("contents_gap", ["\n", "\n\n"])
def test_book_with_headings_in_capitals(contents_gap: str) -> None:
    tales = parse_tales(book(numbered=False, tales=210, contents_gap=contents_gap))
    assert [tale.text for tale in tales] == [told(n) for n in range(1, 211)]
    assert tales[9].number == "010"


@pytest.mark.parametrize(
    "end",
    [
        "*** END OF THIS PROJECT GUTENBERG EBOOK, HOUSEHOLD TALES ***",
        "***END OF THE PROJECT GUTENBERG EBOOK***",
        "End of Project Gutenberg's Household Tales",
        "End of the Project Gutenberg EBook of Household Tales",
    ],
)
def test_older_end_markers(end: str) -> None:
    assert parse_tales(book(end=end))[-1].text == told(202)


def test_another_book_is_refused() -> None:
    with pytest.raises(UserError, match="holds 101 tales where at least 200"):
        parse_tales(book(tales=99))
    with pytest.raises(UserError, match="holds 0 tales"):
        parse_tales("*** END OF THE PROJECT GUTENBERG EBOOK ***")


class Server(HTTPServer):
    content = b""
    promised: int | None = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.promised or len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.content = book().replace("\n", "\r\n").encode("latin-1")
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def url(server: Server, path: str = "/pg5314.txt") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_fetch_and_read(server: Server, own_cache: Path) -> None:
    with pytest.raises(UserError, match=r"'grimm' is not in the cache.*fetch it with `elman data"):
        documents("grimm")
    assert fetch_grimm(url(server)) == own_cache / "grimm"
    texts = ["".join(document.pieces()) for document in documents("grimm")]
    assert len(texts) == 202
    assert texts[0] == told(1) + "\n"
    assert sorted(path.name for path in own_cache.iterdir()) == ["grimm"]


def test_a_current_edition_in_utf8(server: Server) -> None:
    server.content = b"\xef\xbb\xbf" + book().replace("flounder", "fl\u00f6under").encode()
    fetch_grimm(url(server))
    assert "fl\u00f6under" in "".join(documents("grimm")[0].pieces())


def test_a_changed_missing_or_added_file_is_named(server: Server) -> None:
    folder = fetch_grimm(url(server))
    first = folder / "001-the-frog-king-or-iron-henry.txt"
    text = first.read_text()
    first.write_text(text.replace("miller", "Miller"))
    with pytest.raises(
        UserError, match=r"001-the-frog-king.*has changed since.*fetch the corpus again with `elman data"
    ):
        documents("grimm")
    first.unlink()
    with pytest.raises(UserError, match=r"001-the-frog-king.*is missing"):
        documents("grimm")
    fetch_grimm(url(server))
    (folder / "new.txt").write_text("new")
    with pytest.raises(UserError, match=r"new.txt' was not part"):
        documents("grimm")
    (folder / MANIFEST).write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        documents("grimm")
    fetch_grimm(url(server))
    assert len(documents("grimm")) == 202


def test_a_truncated_answer_leaves_the_old_fetch(server: Server) -> None:
    fetch_grimm(url(server))
    whole = server.content
    server.content = whole[: len(whole) // 2]
    with pytest.raises(UserError, match="without the book's end marker: it was cut short"):
        fetch_grimm(url(server))
    server.promised = len(whole)
    with pytest.raises(UserError, match=r"broke off after [\d,]+"):
        fetch_grimm(url(server))
    assert len(documents("grimm")) == 202


def test_no_network(server: Server, own_cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(UserError, match=r"could not fetch http://127.*[Rr]efused.*check the network"):
            fetch_grimm(refused)
    with pytest.raises(UserError, match=r"could not fetch.*Not Found"):
        fetch_grimm(url(server, "/missing"))
    with pytest.raises(UserError, match="could not fetch"):
        fetch_grimm("not a url")
    assert not own_cache.exists()


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        fetch_grimm(url(server), cache=tmp_path / "file")


def test_the_embedded_tales_are_there() -> None:
    assert all(path.read_text("utf-8").strip() for path in corpus_folder("tales").glob("*.txt"))
