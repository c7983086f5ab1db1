"""Characters as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ...errors import UserError
from .base import Ids, Tokenizer, check_types, code_points

SHOWN, KNOWN = 5, 80  # unseen and known characters an error names
UNICODE = 0x110000  # code points there are


class CharTokenizer(Tokenizer):
    """One token a character, in order of code point; there is no unknown type, so an unseen character is a `UserError`.

    >>> tokenizer = CharTokenizer.train(["a tale"])
    >>> tokenizer.encode("tea").tolist(), tokenizer.decode([5, 3, 2, 0])
    ([5, 3, 2], 'tea')
    >>> tokenizer.encode("toe")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: the text has characters the tokenizer never saw: 'o' at 1; it knows ' ' 'a' 'e' 'l' 't'
    """

    kind = "char"

    def __init__(self, types: str, *, end_mark: bool = True) -> None:
        check_types(types, "characters")
        super().__init__(len(types), end_mark)
        self.types = types
        codes = code_points(types)
        # id by code point; -1 where there is none, with room for "beyond the last"
        self._ids = np.full(int(codes.max()) + 2, -1, np.int32)
        self._ids[codes] = np.arange(len(types)) + self.offset

    @classmethod
    def train(cls, pieces: Iterable[str], *, end_mark: bool = True) -> CharTokenizer:
        """Every character of the text."""
        seen = np.zeros(UNICODE, bool)
        for piece in pieces:
            seen[code_points(piece)] = True
        return cls("".join(map(chr, np.flatnonzero(seen))), end_mark=end_mark)

    def encode(self, text: str) -> Ids:
        """One id a character; `UserError` naming unseen characters and their places (counted from 0)."""
        codes = code_points(text)
        ids = self._ids[np.minimum(codes, len(self._ids) - 1)]
        if ids.size and ids.min() < 0:
            raise self._unseen(text, np.flatnonzero(ids < 0))
        return ids.astype(self.dtype)

    def decode_each(self, ids: Iterable[int]) -> Iterator[str]:
        """The characters of ``ids``."""
        for i in ids:
            yield "" if i == self.end_id else self.types[i - self.offset]

    def width(self, token: int) -> int:
        """One, or none for the END mark."""
        return int(token != self.end_id)

    def _unseen(self, text: str, places: np.ndarray[Any, Any]) -> UserError:
        first: dict[str, int] = {}
        for place in places:
            first.setdefault(text[place], int(place))
        named = ", ".join(f"{character!r} at {place}" for character, place in list(first.items())[:SHOWN])
        more = f" and {len(first) - SHOWN} more" if len(first) > SHOWN else ""
        known = " ".join(map(repr, self.types[:KNOWN])) + (" ..." if len(self.types) > KNOWN else "")
        return UserError(f"the text has characters the tokenizer never saw: {named}{more}; it knows {known}")

    def _settings(self) -> dict[str, Any]:
        return {"types": self.types}

    @classmethod
    def _restore(cls, settings: dict[str, Any], end_mark: bool) -> CharTokenizer:
        return cls(settings["types"], end_mark=end_mark)
