"""Plain text as documents, read in pieces so that no text is ever held whole."""

from __future__ import annotations

import codecs
import functools
import gzip
import hashlib
import io
import os
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import UserError, nearest
from .corpora import BUILT_IN, corpus_folder

BLOCK = 1 << 19  # bytes read at a time, so a piece holds at most about this many characters
# Where a piece may end: before its last run of blanks. No word token and no byte-level BPE token crosses such a place.
BREAK = re.compile(r"(?<=\S)(?=\s+\S*\Z)")
BREAK_WITHIN = 4096


@dataclass(frozen=True)
class Document:
    """One text: a UTF-8 file (.gz too) read in pieces, CRLF as LF, without byte-order mark, lower-cased if asked.

    ``identity`` tells this very text from any other (path, size and time of change, or a digest).
    """

    name: str
    path: Path
    identity: str
    lowercase: bool = False

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """The text from character ``start`` to ``stop`` (default: all) in pieces of about half a million characters.

        Pieces end before blanks where they can, never inside a UTF-8 sequence or a CRLF. Bytes that are not UTF-8 raise
        a `UserError` with the file and the offset.

        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "tale.txt")
        >>> _ = path.write_bytes(b"Once\\r\\nupon a time")
        >>> "".join(documents(path, lowercase=True)[0].pieces(2))
        'ce\\nupon a time'
        """
        position = 0
        for piece in self._whole_pieces():
            end = position + len(piece)
            if end > start and (part := piece[max(0, start - position) : None if stop is None else stop - position]):
                yield part
            position = end
            if stop is not None and position >= stop:
                return

    @functools.cached_property
    def characters(self) -> int:
        """How many characters the document has, after lower-casing."""
        return sum(map(len, self._whole_pieces()))

    def _whole_pieces(self) -> Iterator[str]:
        rest = ""
        for decoded in _decoded(self.path, self.name):
            text = rest + decoded
            cut = _cut(text)
            rest = text[cut:]
            if cut:
                yield _lowered(text[:cut], self.lowercase)
        if rest:
            yield _lowered(rest, self.lowercase)


def documents(source: str | os.PathLike[str], first: int | None = None, lowercase: bool = False) -> list[Document]:
    """The documents of ``source``: a built-in corpus, a file, a folder of ``*.txt`` (by name), or ``-`` for stdin.

    A built-in name wins over a file of that name (write ``./tales`` for the file). ``first`` keeps the first N
    documents. `UserError`: nothing there, a folder without ``*.txt``, an empty file, ``first`` < 1 or more than there
    are.

    >>> documents("tails")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: no such file or folder: 'tails'; did you mean 'tales'?
    """
    if first is not None and first < 1:
        raise UserError(f"first={first}; expected at least 1 document")
    found = [_stdin()] if source == "-" else [_file_document(path) for path in _files(source)]
    if first is not None and first > len(found):
        raise UserError(f"first={first}, but '{source}' holds {len(found)} documents; give at most that many")
    return [Document(d.name, d.path, d.identity, lowercase) for d in found[:first]]


def _files(source: str | os.PathLike[str]) -> list[Path]:
    path = corpus_folder(str(source)) if source in BUILT_IN else Path(source).expanduser()
    if path.is_dir():
        files = sorted((file for file in path.glob("*.txt") if file.is_file()), key=lambda file: file.name)
        if not files:
            raise UserError(f"no *.txt files in the folder '{path}'; put one story a file there, or name a single file")
        return files
    if not path.exists():
        hint = nearest(str(source), BUILT_IN).replace("valid: ", "give a file, a folder of *.txt, '-' or one of ")
        raise UserError(f"no such file or folder: '{source}'; {hint}")
    return [path]


def _file_document(path: Path) -> Document:
    try:
        status = path.stat()
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    if status.st_size == 0:
        raise UserError(f"'{path}' is empty; expected UTF-8 text; remove it or choose another file")
    return Document(path.name, path, f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")


@functools.cache
def _spooled() -> tuple[IO[bytes], str]:
    """Standard input copied once to a temporary file, which lives as long as the process, and its SHA-256."""
    spool = tempfile.NamedTemporaryFile(prefix="elman-stdin-", suffix=".txt")  # noqa: SIM115 - kept open
    digest = hashlib.sha256()
    while block := sys.stdin.buffer.read(BLOCK):
        spool.write(block)
        digest.update(block)
    spool.flush()
    return spool, digest.hexdigest()


def _stdin() -> Document:
    spool, digest = _spooled()
    if not spool.tell():
        raise UserError(
            "nothing came on standard input; pipe UTF-8 text into the command, or name a file instead of '-'"
        )
    return Document("standard input", Path(spool.name), digest)


def _decoded(path: Path, name: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        while True:
            try:
                block = file.read(BLOCK)
            except (OSError, EOFError, zlib.error) as error:
                raise UserError(f"cannot read '{name}': {error}") from error
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset - held + error.start
                where = f"byte {at} (0x{error.object[error.start]:02x})"
                raise UserError(
                    f"'{name}' is not UTF-8 text: {where} cannot be decoded; save the file as UTF-8"
                ) from error
            if not offset:
                text = text.removeprefix("\ufeff")
            yield newlines.decode(text, final=not block)
            if not block:
                return
            offset += len(block)


def _cut(text: str) -> int:
    """Where the piece that begins ``text`` ends; what follows may go on in the next block."""
    tail = max(0, len(text) - BREAK_WITHIN)
    found = BREAK.search(text, tail)
    return found.start() if found else len(text)


def _lowered(text: str, lowercase: bool) -> str:
    return text.lower() if lowercase else text
