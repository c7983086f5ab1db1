"""What every tokenizer can do: text to ids and back, and a checked JSON file."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError, nearest
from ..cache import file_written_whole

Ids: TypeAlias = NDArray[np.integer[Any]]


class Tokenizer(ABC):
    """Text to token ids and back.

    Ids are numbered: the END mark (``end_id``, 0, if ``end_mark``), the unknown type (``unknown_id``, if the kind has
    one), then the types. The END mark stands before, between and after documents; it is never made from text and
    decodes to nothing. A kind is a subclass that names ``kind``; `Tokenizer.load` finds it by that.
    """

    kind: ClassVar[str]
    has_unknown: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[dict[str, type[Tokenizer]]] = {}

    def __init_subclass__(cls) -> None:
        Tokenizer.kinds[cls.kind] = cls

    def __init__(self, size: int, end_mark: bool) -> None:
        self.end_id: int | None = 0 if end_mark else None
        self.unknown_id: int | None = int(end_mark) if self.has_unknown else None
        self.offset = int(end_mark) + int(self.has_unknown)
        self.vocab_size = self.offset + size
        self.dtype = smallest_dtype(self.vocab_size)

    @classmethod
    @abstractmethod
    def train(cls, pieces: Iterable[str], *, end_mark: bool = True) -> Tokenizer:
        """The tokenizer of a text given in pieces, each cut so that it can be encoded by itself (see `recut`)."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids of ``text``, a 1-D array of the smallest unsigned type that holds the vocabulary."""

    @abstractmethod
    def decode_each(self, ids: Iterable[int]) -> Iterator[str]:
        """The text that each id adds, given as soon as the id is taken, and after the last one what was held back.

        Together they are what `decode` gives, so that a text can be shown while it is written.
        """

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; END marks decode to nothing."""
        return "".join(self.decode_each(ids))

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """The plain values that `_restore` makes the tokenizer from again."""

    @classmethod
    @abstractmethod
    def _restore(cls, settings: dict[str, Any], end_mark: bool) -> Tokenizer:
        """The tokenizer that `_settings` described."""

    @classmethod
    def recut(cls, pieces: Iterable[str]) -> Iterator[str]:
        """The pieces of one document cut so that each can be encoded by itself; by default they are as they come."""
        return iter(pieces)

    def width(self, token: int) -> int:
        """The number of characters that the type ``token`` stands for."""
        return len(self.decode([token]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer as JSON with a checksum, replacing ``path`` in one step."""
        file_written_whole(Path(path), json.dumps(self.document(), ensure_ascii=False, indent=1).encode() + b"\n")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Tokenizer:
        """The tokenizer in the file ``path``; `UserError` if that is missing, cut short, changed or of another kind."""
        try:
            document = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise UserError(f"cannot read the tokenizer '{path}': {error.strerror}") from error
        except ValueError:
            document = None
        return Tokenizer.from_document(document, f"'{path}'")

    @staticmethod
    def from_document(document: Any, origin: str) -> Tokenizer:
        """The tokenizer that `document` gave; `UserError` naming the ``origin`` if it is none, or was changed."""
        try:
            described = dict(document)
            claimed = described.pop("sha256")
            kind, end_mark, settings = described["kind"], described["end_mark"], described["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{origin} is not a whole tokenizer file; copy it anew from the run it belongs to"
            ) from error
        if claimed != _digest(described):
            raise UserError(
                f"{origin} was changed after it was written (its checksum differs); copy it anew from its run"
            )
        return tokenizer_kind(kind)._restore(settings, end_mark)

    def document(self) -> dict[str, Any]:
        """The tokenizer as JSON values with a checksum."""
        document = {"kind": self.kind, "end_mark": self.end_id is not None, "settings": self._settings()}
        return {**document, "sha256": _digest(document)}

    @property
    def identity(self) -> str:
        """A digest that two tokenizers share when they give the same ids for every text."""
        return str(self.document()["sha256"])


def tokenizer_kind(name: str) -> type[Tokenizer]:
    """The class of the kind ``name``: char, bigram, word, spaced or bpe.

    >>> tokenizer_kind("bigam")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: no tokenizer is called 'bigam'; did you mean 'bigram'?
    """
    try:
        return Tokenizer.kinds[name]
    except KeyError:
        raise UserError(f"no tokenizer is called '{name}'; {nearest(name, Tokenizer.kinds)}") from None


def smallest_dtype(size: int) -> np.dtype[Any]:
    """The smallest unsigned integer type for the ids 0 to ``size`` - 1.

    >>> [smallest_dtype(n).name for n in (256, 257, 70_000)]
    ['uint8', 'uint16', 'uint32']
    """
    return np.min_scalar_type(max(size - 1, 0))


def code_points(text: str) -> NDArray[np.uint32]:
    """The Unicode code points of ``text``, one a character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def most_frequent(counts: dict[str, int], more_than: int, at_most: int | None = None) -> list[str]:
    """The types counted more than ``more_than`` times, most frequent first (equal counts by name), at most ``at_most``.

    >>> most_frequent({"b": 3, "a": 3, "c": 1, "d": 9}, more_than=1)
    ['d', 'a', 'b']
    """
    kept = [name for name, count in counts.items() if count > more_than]
    return sorted(kept, key=lambda name: (-counts[name], name))[:at_most]


def check_types(types: Sequence[str], text_kind: str) -> None:
    """Refuse a vocabulary with no types."""
    if not types:
        raise UserError(f"the text holds no {text_kind} to build a vocabulary from; give more text or lower min_count")


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
