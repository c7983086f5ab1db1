"""Grimm's tales from Project Gutenberg: fetched on request, cut into one file a tale."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .cache import cache_folder, folder_written_whole
from .corpora import write_manifest

GRIMM_URL = "https://www.gutenberg.org/cache/epub/5314/pg5314.txt"
FEWEST_TALES = 200
LARGEST_BOOK = 1 << 26  # bytes; the book has 1.5 million

START = re.compile(r"^\*\*\* ?START OF .*GUTENBERG.*$", re.M | re.I)
END = re.compile(r"^(\*\*\* ?END OF .*GUTENBERG|End of (the |this )?Project Gutenberg).*$", re.M | re.I)
NUMBERED = re.compile(r"^ *(?P<legend>Legend +)?(?P<number>\d{1,3})(?P<star>\*?)\.? +(?P<title>[^\W\d_].{2,80})$")
CAPITALS = re.compile(r"^ *(?P<title>[A-Z][^a-z]{2,80})$")
FIRST_TALE = re.compile(r"frog.?king", re.I)
PARTS = re.compile(r"^(contents|children.s legends)\.?$", re.I)
VERSE_WIDTH = 60  # prose is wrapped at 72, so a paragraph whose lines are all shorter is verse


class Tale(NamedTuple):
    """A tale of the book: its number as it sorts ('007', '151b', 'L03' for a children's legend), title and text."""

    number: str
    title: str
    text: str

    @property
    def file_name(self) -> str:
        """Number and title, as in ``001-the-frog-king-or-iron-henry.txt``."""
        words = re.sub(r"[^a-z0-9]+", "-", re.sub("['\u2019]", "", self.title.lower()))
        return f"{self.number}-{words[:48].strip('-')}.txt"


def fetch_grimm(url: str = GRIMM_URL, cache: str | os.PathLike[str] | None = None, timeout: float = 60.0) -> Path:
    """Fetch Grimm's Household Tales (Project Gutenberg 5314) into the cache, one file a tale; returns their folder.

    ``timeout`` is in seconds. The answer must hold the book's end marker and at least 200 tales; SHA-256 of every file
    is recorded. What an earlier fetch left stays until the new folder is complete. `UserError`: no connection, not the
    whole book.
    """
    raw = _download(url, timeout)
    tales = parse_tales(_text(raw), url)
    folder = cache_folder(cache) / "grimm"
    with folder_written_whole(folder) as temporary:
        for tale in tales:
            (temporary / tale.file_name).write_text(tale.text + "\n", "utf-8")
        write_manifest(temporary, {"url": url, "sha256": hashlib.sha256(raw).hexdigest()})
    return folder


def parse_tales(book: str, origin: str = "the book") -> list[Tale]:
    """The tales of a Project Gutenberg text of the book: header, contents, headings and licence removed.

    A heading is a line of its own, numbered (``12 Rapunzel``, ``151* ...``, ``Legend 3 The Rose``) or, in an edition
    without numbers, in capitals; a heading with nothing under it belongs to the table of contents. Paragraphs become
    one line each, verse keeps its lines.
    """
    end = END.search(book)
    if end is None:
        raise UserError(
            f"{origin} gave {len(book):,} characters without the book's end marker: it was cut short; fetch it again"
        )
    start = START.search(book, 0, end.start())
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", book[start.end() if start else 0 : end.start()].expandtabs().strip("\n"))
    tales = max((_split(paragraphs, heading) for heading in (NUMBERED, CAPITALS)), key=len)
    if len(tales) < FEWEST_TALES:
        raise UserError(
            f"{origin} holds {len(tales)} tales where at least {FEWEST_TALES} were expected; it is another book"
        )
    return tales


def _split(paragraphs: list[str], heading: re.Pattern[str]) -> list[Tale]:
    sections: list[tuple[re.Match[str], list[str]]] = []
    for paragraph in paragraphs:
        if PARTS.match(paragraph.strip()):
            continue
        if found := heading.match(paragraph):
            sections.append((found, []))
        elif sections and re.search(r"\w", paragraph):  # rows of stars and dashes tell nothing
            sections[-1][1].append(_joined(paragraph))
    told = [(found, body) for found, body in sections if body]
    begin = next((i for i, (found, _) in enumerate(told) if FIRST_TALE.search(found["title"])), len(told))
    return [
        Tale(_number(found, i), _title(found), "\n\n".join(body)) for i, (found, body) in enumerate(told[begin:], 1)
    ]


def _title(found: re.Match[str]) -> str:
    """The heading without its explanation: ``Fundevogel (Bird-foundling)`` is ``Fundevogel``."""
    return re.sub(r" *\(.*\)$", "", found["title"].strip())


def _number(found: re.Match[str], position: int) -> str:
    groups = found.groupdict()
    if "number" not in groups:
        return f"{position:03d}"
    if groups["legend"]:
        return f"L{int(groups['number']):02d}"
    return f"{int(groups['number']):03d}{'b' if groups['star'] else ''}"


def _joined(paragraph: str) -> str:
    """Hard-wrapped prose as one line (words broken after a hyphen closed), verse line by line, no footnote stars."""
    lines = [re.sub(r" +", " ", line.replace("*", "").strip()) for line in paragraph.split("\n")]
    verse = all(len(line) < VERSE_WIDTH for line in lines) or all(
        line.startswith(" ") for line in paragraph.split("\n")
    )
    return "\n".join(lines) if verse else re.sub(r"(?<=\w-)\n(?=\w)", "", "\n".join(lines)).replace("\n", " ")


def _download(url: str, timeout: float) -> bytes:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "elman"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            raw: bytes = answer.read(LARGEST_BOOK)
            promised = answer.headers.get("Content-Length")
    except http.client.IncompleteRead as error:
        raise UserError(f"{url} broke off after {len(error.partial):,} bytes; fetch it again") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"could not fetch {url} ({reason}); check the network and try again") from error
    if promised and len(raw) < int(promised):
        raise UserError(f"{url} broke off after {len(raw):,} of {int(promised):,} bytes; fetch it again")
    return raw


def _text(raw: bytes) -> str:
    """The book as text: UTF-8 in the current edition, Latin-1 in that of 2004."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n")
