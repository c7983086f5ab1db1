"""``elman data``: the texts there are by name."""

from __future__ import annotations

from dataclasses import dataclass

from ..data import BUILT_IN, FETCH_COMMAND, documents, fetch_grimm
from ..errors import UserError, nearest
from .options import parse


@dataclass(frozen=True)
class Data:
    """The texts that can be named in place of a file, and fetching one that does not come with the package.

    Examples:
      elman data
      elman data --fetch grimm
    """

    fetch: str | None = None
    """Download this corpus into the cache."""


def run(arguments: list[str]) -> int:
    command = parse(Data, arguments, "data")
    fetchable = [name for name, corpus in BUILT_IN.items() if not corpus.embedded]
    if command.fetch is not None:
        if command.fetch not in fetchable:
            raise UserError(f"{command.fetch!r} cannot be fetched; {nearest(command.fetch, fetchable)}")
        folder = fetch_grimm()
        print(f"{len(documents(command.fetch))} tales in {folder}; use them with --data {command.fetch}")
        return 0
    for name, corpus in BUILT_IN.items():
        print(f"{name:<6} {corpus.about}\n       {_state(name)}")
    print("\nA file of your own, a folder of *.txt (one story each) and '-' (standard input) serve as --data too.")
    return 0


def _state(name: str) -> str:
    try:
        found = documents(name)
    except UserError as reason:
        return f"not here yet: {FETCH_COMMAND}" if "not in the cache" in str(reason) else str(reason)
    return f"{len(found)} documents, {sum(document.characters for document in found):,} characters"
