"""Words, punctuation and line ends as tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from .base import Ids, Tokenizer, check_types, most_frequent

UNKNOWN = "<unk>"
# a line end; a word with inner apostrophes or single hyphens; dashes and dots in a row; any other sign by itself
TOKEN = re.compile(r"\n|\w+(?:['\u2019-]\w+)*|--+|\.\.+|[^\w\s]")
CLOSING = frozenset(".,;:!?)]}\u2019\u201d\u00bb%") | {"...", ".."}
OPENING = frozenset("([{\u2018\u201c\u00ab$\n")
TOGETHER = frozenset(("--", "---", "\u2014"))
MOST_COUNTED = 1 << 18


class WordTokenizer(Tokenizer):
    """One token a word, sign of punctuation or line end; blanks are dropped and set again by rule when decoding.

    Types seen ``min_count`` times or less, or beyond the ``max_types`` most frequent, share the unknown type.

    >>> tokenizer = WordTokenizer.train(['"Come in," said the fox, "come in!"'], min_count=0)
    >>> tokenizer.decode(tokenizer.encode('"Come in!" said the wolf, "come!"'))
    '"Come in!" said the <unk>, "come!"'
    """

    kind = "word"
    has_unknown = True
    options = ("min_count", "max_types")
    pattern: ClassVar[re.Pattern[str]] = TOKEN

    def __init__(self, types: Sequence[str], *, end_mark: bool = True) -> None:
        check_types(types, "words seen often enough")
        super().__init__(len(types), end_mark)
        self.types = tuple(types)
        self._ids = {name: i for i, name in enumerate(types, self.offset)}

    @classmethod
    def train(
        cls, pieces: Iterable[str], *, min_count: int = 1, max_types: int | None = 20_000, end_mark: bool = True
    ) -> WordTokenizer:
        """The types that the text holds more than ``min_count`` times, most frequent first, at most ``max_types``.

        Above 262,144 types under count the rarest are forgotten, so that memory stays bounded (lossy counting).
        """
        counts: Counter[str] = Counter()
        for piece in pieces:
            counts.update(cls.pattern.findall(piece))
            floor = 1
            while len(counts) > MOST_COUNTED:
                counts = Counter({name: count for name, count in counts.items() if count > floor})
                floor += 1
        counts.pop(UNKNOWN, None)  # a text that was cut to a vocabulary before writes it for what it left out
        return cls(most_frequent(counts, min_count, max_types), end_mark=end_mark)

    def encode(self, text: str) -> Ids:
        """The ids of the words, signs and line ends of ``text``."""
        names = self.pattern.findall(text)
        ids, unknown = self._ids, self.unknown_id
        return np.fromiter((ids.get(name, unknown) for name in names), self.dtype, len(names))

    def decode_each(self, ids: Iterable[int]) -> Iterator[str]:
        """Readable text: a blank before every token but those that join the one before."""
        before, quoted = "\n", False
        for i in ids:
            if i == self.end_id:
                yield ""
                continue
            name = UNKNOWN if i == self.unknown_id else self.types[i - self.offset]
            yield name if self._joins(before, name, quoted) else f" {name}"
            quoted = name != "\n" and quoted ^ (name == '"')
            before = name

    def _joins(self, before: str, name: str, quoted: bool) -> bool:
        """No blank before closing or after opening signs; straight quotes open and close by turns."""
        return _joins_left(name, quoted) or _joins_right(before, quoted)

    def _settings(self) -> dict[str, Any]:
        return {"types": list(self.types)}

    @classmethod
    def _restore(cls, settings: dict[str, Any], end_mark: bool) -> WordTokenizer:
        return cls(settings["types"], end_mark=end_mark)


def _joins_left(name: str, quoted: bool) -> bool:
    return name == "\n" or name in CLOSING or name in TOGETHER or (name == '"' and quoted)


def _joins_right(before: str, quoted: bool) -> bool:
    return before in OPENING or before in TOGETHER or (before == '"' and quoted)
