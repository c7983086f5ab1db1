"""The corpora that come by name: what they are and where their files lie."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .cache import cache_folder

FETCH_COMMAND = "elman data --fetch grimm"
MANIFEST = "sha256.json"


@dataclass(frozen=True)
class BuiltIn:
    """A corpus with a name: what it is, and whether it is ``embedded`` in the package or fetched on request."""

    name: str
    about: str
    embedded: bool


BUILT_IN = {
    "grimm": BuiltIn(
        "grimm", "Grimm's Household Tales, translated by Margaret Hunt (Project Gutenberg 5314)", embedded=False
    ),
    "tales": BuiltIn("tales", "original fairy tales in the manner of the old collections (CC0)", embedded=True),
}


def corpus_folder(name: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """The folder of ``*.txt`` of the built-in corpus ``name``; a fetched one is verified by SHA-256 each time.

    `UserError`: not fetched yet, or a file changed, missing or added since.

    >>> corpus_folder("tales").name
    'tales'
    """
    if BUILT_IN[name].embedded:
        return Path(__file__).parent / "corpora" / name
    folder = cache_folder(cache) / name
    if not (folder / MANIFEST).is_file():
        raise UserError(f"the corpus '{name}' is not in the cache ('{folder}'); fetch it with `{FETCH_COMMAND}`")
    _verify(folder)
    return folder


def write_manifest(folder: Path, origin: dict[str, str]) -> None:
    """Record where the files of ``folder`` came from and the SHA-256 of each."""
    files = {file.name: _sha256(file) for file in sorted(folder.glob("*.txt"))}
    (folder / MANIFEST).write_text(json.dumps({**origin, "files": files}, indent=1) + "\n", "utf-8")


def _verify(folder: Path) -> None:
    try:
        recorded = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _changed(folder / MANIFEST, "cannot be read") from error
    present = {file.name for file in folder.glob("*.txt")}
    for name in sorted(present | set(recorded)):
        if name not in present:
            raise _changed(folder / name, "is missing")
        if name not in recorded:
            raise _changed(folder / name, "was not part of the fetch")
        if _sha256(folder / name) != recorded[name]:
            raise _changed(folder / name, "has changed since it was fetched")


def _changed(path: Path, how: str) -> UserError:
    return UserError(f"'{path}' {how}; fetch the corpus again with `{FETCH_COMMAND}`")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
