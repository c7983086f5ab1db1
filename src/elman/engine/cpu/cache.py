"""Machine code kept on disk between runs. Whatever is wrong with an entry or the disk, the code is made anew."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

FORMAT = 1
"""Raised whenever what is stored, or how code is made from the same IR, changes."""
LIMIT = 256 * 2**20
"""Bytes the folder may hold; the entries unused for longest go first."""
_DIGEST_BYTES = 32


def folder() -> Path:
    """Where code is kept: ``code`` in the first of ``$ELMAN_CACHE``, ``$XDG_CACHE_HOME/elman``, ``~/.cache/elman``."""
    if own := os.environ.get("ELMAN_CACHE"):
        return Path(own).expanduser() / "code"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "elman" / "code"


def key(*parts: str) -> str:
    """The name of an entry: the SHA-256 of everything the code depends on.

    >>> key("ir", "cpu") == key("ir", "cpu"), key("ir", "cpu") == key("irc", "pu")
    (True, False)
    """
    digest = hashlib.sha256(str(FORMAT).encode())
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


def load(name: str) -> bytes | None:
    """The code stored under a `key`; None if there is none, or it is damaged or of another user."""
    path = folder() / name
    try:
        with open(path, "rb") as file:
            # Code runs with our rights, so nobody else may have written it.
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            content = file.read()
        os.utime(path)
    except OSError:
        return None
    code = content[_DIGEST_BYTES:]
    return code if code and content[:_DIGEST_BYTES] == _digest(name, code) else None


def store(name: str, code: bytes) -> None:
    """Stores code under a `key`, whole or not at all; a folder that cannot be written is no error."""
    with suppress(OSError):
        target = folder()
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=target)
        try:
            with open(handle, "wb") as file:
                file.write(_digest(name, code) + code)
            os.replace(temporary, target / name)
        except BaseException:
            os.unlink(temporary)
            raise
        _trim(target)


def _digest(name: str, code: bytes) -> bytes:
    return hashlib.sha256(name.encode() + code).digest()


def _trim(target: Path) -> None:
    """Deletes the entries unused for longest until the rest fit ``LIMIT``; other processes may delete too."""
    entries = []
    for entry in os.scandir(target):
        with suppress(FileNotFoundError):
            status = entry.stat()
            entries.append((status.st_mtime, status.st_size, entry.path))
    excess = sum(size for _, size, _ in entries) - LIMIT
    for _, size, path in sorted(entries):
        if excess <= 0:
            return
        with suppress(FileNotFoundError):
            os.unlink(path)
        excess -= size
