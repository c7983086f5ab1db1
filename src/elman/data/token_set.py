"""The ids of a set of documents in one array, in memory or mapped from a file."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .splits import Passage
from .tokenizers import Tokenizer

CHUNK = 1 << 20


@dataclass(frozen=True)
class TokenSet:
    """Documents as ids: ``END doc END doc END`` with ``end_mark``, back to back without.

    ``tokens`` (N,) any integer type, may be a `numpy.memmap`. ``starts`` (documents,): the END that opens each
    document, or its first token. ``characters``: the number of characters that the scored transitions predict, so that
    bits per character = total nats / ln 2 / characters. A transition is scored when a document leads to it: from its
    start to its last token, the closing END included; without END marks the first token of a document is given, not
    predicted.
    """

    tokens: NDArray[np.integer[Any]]
    starts: NDArray[np.int64]
    characters: int
    end_mark: bool = True

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def spans(self) -> NDArray[np.int64]:
        """(documents, 2): transitions i -> i + 1 of document d have spans[d, 0] <= i < spans[d, 1].

        >>> TokenSet(np.array([0, 5, 6, 0, 7, 0]), np.array([0, 3]), 3).spans.tolist()
        [[0, 3], [3, 5]]
        """
        last = np.append(self.starts[1:], len(self.tokens) - 1)
        if not self.end_mark:
            last[:-1] -= 1
        return np.stack([self.starts, last], axis=1)

    @property
    def scored(self) -> int:
        """The number of scored transitions."""
        spans = self.spans
        return int((spans[:, 1] - spans[:, 0]).sum())

    def chunks(self) -> Iterator[NDArray[np.integer[Any]]]:
        """The tokens a million at a time, mapped pages given back after each."""
        for begin in range(0, len(self.tokens), CHUNK):
            yield self.tokens[begin : begin + CHUNK]
            self.release()

    def release(self) -> None:
        """Give the mapped pages touched so far back to the system (they stay in its file cache)."""
        mapped = getattr(self.tokens, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def encode_passages(
    passages: Sequence[Passage],
    tokenizer: Tokenizer,
    write: Callable[[NDArray[np.integer[Any]]], object],
    advance: Callable[[int], object] = lambda characters: None,
) -> dict[str, Any]:
    """Encode the passages, hand every array of ids to ``write``, and return what a `TokenSet` needs beside them.

    ``advance`` is told the number of characters done. Documents without tokens are left out; the END mark opens and
    closes every passage, the end of a story that was cut off for validation too.
    """
    end = None if tokenizer.end_id is None else np.array([tokenizer.end_id], tokenizer.dtype)
    starts: list[int] = []
    size = characters = 0
    for passage in passages:
        begin = size
        for piece in tokenizer.recut(passage.pieces()):
            ids = tokenizer.encode(piece)
            advance(len(piece))
            if not ids.size:
                continue
            if size == begin:
                starts.append(size)
                if end is None:
                    characters -= tokenizer.width(int(ids[0]))
                else:
                    write(end)
                    size += 1
            write(ids)
            size += ids.size
            characters += len(piece)
    if not starts:
        raise UserError(f"the text holds no {tokenizer.kind} tokens at all; expected more than blanks")
    if end is not None:
        write(end)
        size += 1
    return {"size": size, "starts": starts, "characters": characters, "end_mark": end is not None}


def token_set_in_memory(
    passages: Sequence[Passage], tokenizer: Tokenizer, advance: Callable[[int], object] = lambda characters: None
) -> TokenSet:
    """The passages as a `TokenSet` held in memory."""
    parts: list[NDArray[np.integer[Any]]] = []
    about = encode_passages(passages, tokenizer, parts.append, advance)
    return _token_set(np.concatenate(parts), about)


def write_token_set(
    path: Path,
    passages: Sequence[Passage],
    tokenizer: Tokenizer,
    advance: Callable[[int], object] = lambda characters: None,
) -> None:
    """Write the passages' ids to ``path`` (raw, in the tokenizer's type), and what belongs to them beside it."""
    with open(path, "wb") as file:
        about = encode_passages(passages, tokenizer, _writer(file), advance)
    _side(path).write_text(json.dumps({**about, "dtype": tokenizer.dtype.name}), "utf-8")


def map_token_set(path: Path) -> TokenSet:
    """The `TokenSet` that `write_token_set` wrote, mapped read-only; ValueError if the file has another size."""
    about = json.loads(_side(path).read_text("utf-8"))
    tokens = np.memmap(path, about["dtype"], mode="r")
    if len(tokens) != about["size"]:
        raise ValueError(f"'{path}' holds {len(tokens)} tokens, not {about['size']}")
    return _token_set(tokens, about)


def unigram_bits_per_character(train: TokenSet, valid: TokenSet, vocab_size: int) -> float:
    """Bits per character of ``valid`` under the token frequencies of ``train`` (each plus one): what a model must beat.

    Counted over the scored transitions of ``valid``.

    >>> halves = TokenSet(np.array([0, 1, 0, 1]), np.array([0]), characters=3, end_mark=False)
    >>> unigram_bits_per_character(halves, halves, vocab_size=2)
    1.0
    """
    bits = math.log2(len(train) + vocab_size) - np.log2(_counts(train.chunks(), vocab_size) + 1)
    targets = _counts(valid.chunks(), vocab_size)
    given = valid.starts[:1] if valid.end_mark else valid.starts
    targets -= _counts([valid.tokens[given]], vocab_size)
    return float(targets @ bits) / valid.characters


def _counts(chunks: Iterable[NDArray[np.integer[Any]]], vocab_size: int) -> NDArray[np.int64]:
    return sum((np.bincount(chunk, minlength=vocab_size) for chunk in chunks), np.zeros(vocab_size, np.int64))


def _token_set(tokens: NDArray[np.integer[Any]], about: dict[str, Any]) -> TokenSet:
    return TokenSet(tokens, np.array(about["starts"], np.int64), about["characters"], about["end_mark"])


def _writer(file: BinaryIO) -> Callable[[NDArray[np.integer[Any]]], object]:
    return lambda ids: file.write(ids.tobytes())


def _side(path: Path) -> Path:
    return path.with_name(path.name + ".json")
