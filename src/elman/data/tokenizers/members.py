"""The members of a sequence as tokens: the words of a list, the characters of a string."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .base import Ids, Tokenizer, check_types, most_frequent

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class MembersTokenizer(Tokenizer):
    """One token a member: of a list of strings a string, of a string a character.

    Members seen ``min_count`` times or less, or beyond the ``max_types`` most frequent, share the unknown type.

    >>> tokenizer = MembersTokenizer.train(["abba", "cab"], min_count=1)
    >>> tokenizer.encode("back").tolist(), tokenizer.decode([3, 2, 1])
    ([3, 2, 1, 1], 'ba\N{REPLACEMENT CHARACTER}')
    >>> MembersTokenizer.train([["New York", "is"]]).decode([3, 2])
    'is New York'
    """

    kind = "members"
    has_unknown = True
    options = ("min_count", "max_types")

    def __init__(self, types: Sequence[str], *, end_mark: bool = True) -> None:
        check_types(types, "members seen often enough")
        super().__init__(len(types), end_mark)
        self.types = tuple(types)
        self._ids = {name: i for i, name in enumerate(types, self.offset)}
        self._between = " " if any(len(name) > 1 for name in types) else ""

    @classmethod
    def train(
        cls,
        pieces: Iterable[Sequence[str]],
        *,
        min_count: int = 0,
        max_types: int | None = None,
        end_mark: bool = True,
    ) -> MembersTokenizer:
        """The members that all sequences hold more than ``min_count`` times, most frequent first."""
        counts: Counter[str] = Counter()
        for piece in pieces:
            counts.update(piece)
        return cls(most_frequent(counts, min_count, max_types), end_mark=end_mark)

    def encode(self, text: Sequence[str]) -> Ids:
        """One id a member."""
        ids, unknown = self._ids, self.unknown_id
        return np.fromiter((ids.get(name, unknown) for name in text), self.dtype, len(text))

    def decode_each(self, ids: Iterable[int]) -> Iterator[str]:
        """The members of ``ids``, with a blank between where they are not single characters."""
        between = ""
        for i in ids:
            if i == self.end_id:
                yield ""
                continue
            yield between + (UNKNOWN if i == self.unknown_id else self.types[i - self.offset])
            between = self._between

    def _settings(self) -> dict[str, Any]:
        return {"types": list(self.types)}

    @classmethod
    def _restore(cls, settings: dict[str, Any], end_mark: bool) -> MembersTokenizer:
        return cls(settings["types"], end_mark=end_mark)
