"""Non-overlapping pairs of characters as tokens, as in the chapter's experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Ids, Tokenizer, check_types, code_points, most_frequent

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class BigramTokenizer(Tokenizer):
    """One token for two characters; an odd last character is dropped.

    Pairs seen ``min_count`` times or less share the unknown type, which counts as any other.

    >>> tokenizer = BigramTokenizer.train(["abababcd"], min_count=1)
    >>> tokenizer.types, tokenizer.encode("abcdabx").tolist(), tokenizer.decode([2, 1])
    (('ab',), [2, 1, 2], 'ab\N{REPLACEMENT CHARACTER}')
    """

    kind = "bigram"
    has_unknown = True
    options = ("min_count",)

    def __init__(self, types: Sequence[str], *, end_mark: bool = True) -> None:
        check_types(types, "pairs of characters seen often enough")
        super().__init__(len(types), end_mark)
        self.types = tuple(types)
        keys = _pairs("".join(types))
        order = np.argsort(keys)
        self._keys = keys[order]
        self._ids = (order + self.offset).astype(self.dtype)

    @classmethod
    def train(cls, pieces: Iterable[str], *, min_count: int = 10, end_mark: bool = True) -> BigramTokenizer:
        """The pairs that the text holds more than ``min_count`` times, most frequent first."""
        counts: Counter[int] = Counter()
        for piece in pieces:
            keys, times = np.unique(_pairs(piece), return_counts=True)
            counts.update(dict(zip(keys.tolist(), times.tolist(), strict=True)))
        named = {chr(key >> 32) + chr(key & 0xFFFFFFFF): count for key, count in counts.items()}
        return cls(most_frequent(named, min_count), end_mark=end_mark)

    @classmethod
    def recut(cls, pieces: Iterable[str]) -> Iterator[str]:
        """Pieces of even length, so that pairs run on from one piece to the next."""
        rest = ""
        for piece in pieces:
            text = rest + piece
            even = len(text) - len(text) % 2
            rest = text[even:]
            yield text[:even]

    def encode(self, text: str) -> Ids:
        """One id for two characters, the unknown type's where the pair is not in the vocabulary."""
        pairs = _pairs(text)
        place = np.minimum(np.searchsorted(self._keys, pairs), len(self._keys) - 1)
        return np.where(self._keys[place] == pairs, self._ids[place], self._ids.dtype.type(self.unknown_id))

    def decode_each(self, ids: Iterable[int]) -> Iterator[str]:
        """The pairs of ``ids``; the unknown type is shown as one replacement character."""
        for i in ids:
            if i == self.end_id:
                yield ""
            else:
                yield UNKNOWN if i == self.unknown_id else self.types[i - self.offset]

    def width(self, token: int) -> int:
        """Two, for the unknown type as well; none for the END mark."""
        return 2 * int(token != self.end_id)

    def _settings(self) -> dict[str, Any]:
        return {"types": list(self.types)}

    @classmethod
    def _restore(cls, settings: dict[str, Any], end_mark: bool) -> BigramTokenizer:
        return cls(settings["types"], end_mark=end_mark)


def _pairs(text: str) -> NDArray[np.uint64]:
    """The non-overlapping pairs of ``text``, each as first code point * 2**32 + second."""
    codes = code_points(text[: len(text) - len(text) % 2]).astype(np.uint64)
    return codes[::2] << np.uint64(32) | codes[1::2]
