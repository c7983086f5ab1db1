"""From a source of text to ids for training and validation."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError
from .cache import cache_folder, folder_written_whole
from .splits import Passage, split_documents
from .text import Document, documents
from .token_set import (
    TokenSet,
    map_token_set,
    token_set_in_memory,
    unigram_bits_per_character,
    write_token_set,
)
from .tokenizers import Tokenizer, tokenizer_kind
from .tokenizers.bpe import LEARN_FROM

IN_MEMORY = 1 << 25  # characters; a longer text is tokenised once into a file and mapped from there
FORMAT = 1  # of the token files; another number makes old ones be written anew


@dataclass(frozen=True)
class Corpus:
    """A tokenizer and the ids of the training and the validation part."""

    tokenizer: Tokenizer
    train: TokenSet
    valid: TokenSet

    def unigram_bits_per_character(self) -> float:
        """Bits per character of the validation part, each token guessed by its frequency in training (plus one)."""
        return unigram_bits_per_character(self.train, self.valid, self.tokenizer.vocab_size)


def load_corpus(
    source: str | os.PathLike[str],
    *,
    valid: str | os.PathLike[str] | None = None,
    tokenizer: str | Tokenizer = "char",
    min_count: int | None = None,
    max_types: int | None = None,
    vocab_size: int | None = None,
    end_mark: bool = True,
    first: int | None = None,
    lowercase: bool = False,
    split: str | None = None,
    valid_documents: int | None = None,
    valid_characters: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    in_memory: int = IN_MEMORY,
    progress: bool = True,
) -> Corpus:
    """Read ``source`` (see `documents`), split it (see `split_documents`), train a tokenizer and encode both parts.

    With ``valid``, another source, all of ``source`` is the training part and all of ``valid`` the validation part.
    The tokenizer learns from the training part; ``tokenizer`` is a kind (``char``, ``bigram``, ``word``, ``spaced``,
    ``bpe``) or a trained `Tokenizer`, used as it is. ``min_count`` (bigram: 10, word: 1), ``max_types`` (word: 20,000)
    and ``vocab_size`` (bpe: 4096) belong to a kind to be trained. A character tokenizer learns its characters from the
    validation part too, since it has no unknown type. A text of more than ``in_memory`` characters is tokenised once,
    piece by piece, into a file in the cache folder and mapped from there; ``progress`` shows a bar on a terminal
    meanwhile. `UserError`: all mistakes of source, split and options.

    >>> corpus = load_corpus("tales", first=12, split="tails")
    >>> corpus.tokenizer.kind, corpus.train.starts.size, corpus.valid.starts.size
    ('char', 12, 12)
    """
    options = _tokenizer_options(tokenizer, min_count=min_count, max_types=max_types, vocab_size=vocab_size)
    read = documents(source, first, lowercase)
    if valid is None:
        train, judged = split_documents(read, split, valid_documents, valid_characters)
    else:
        given = {"split": split, "valid_documents": valid_documents, "valid_characters": valid_characters}
        if named := [name for name, value in given.items() if value is not None]:
            raise UserError(f"{named[0]}={given[named[0]]!r} cuts the data, but valid='{valid}' names another text")
        train, judged = _whole(read), _whole(documents(valid, None, lowercase))
    total = sum(passage.characters for passage in chain(train, judged))

    def trained() -> Tokenizer:
        if isinstance(tokenizer, Tokenizer):
            return tokenizer
        return tokenizer_kind(tokenizer).train(_training_text(tokenizer, train, judged), end_mark=end_mark, **options)

    if total <= in_memory:
        ready = trained()
        return Corpus(ready, token_set_in_memory(train, ready), token_set_in_memory(judged, ready))
    recipe = tokenizer.identity if isinstance(tokenizer, Tokenizer) else [tokenizer, end_mark, options]
    folder = cache_folder(cache) / "tokens" / _key(recipe, train, judged)
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        with folder_written_whole(folder, replace=False) as temporary, _bar(total, progress) as advance:
            ready = trained()
            ready.save(temporary / "tokenizer.json")
            write_token_set(temporary / "train.bin", train, ready, advance)
            write_token_set(temporary / "valid.bin", judged, ready, advance)
    return _mapped(folder)


def _tokenizer_options(tokenizer: str | Tokenizer, **given: int | None) -> dict[str, int]:
    """The options that were given, if the kind of tokenizer has them."""
    options = {name: value for name, value in given.items() if value is not None}
    known = () if isinstance(tokenizer, Tokenizer) else tokenizer_kind(tokenizer).options
    for name, value in options.items():
        if name not in known:
            what = "a trained tokenizer" if isinstance(tokenizer, Tokenizer) else f"the tokenizer '{tokenizer}'"
            raise UserError(
                f"{name}={value} has no meaning for {what}; it takes {', '.join(known) or 'no such options'}"
            )
        if value < 0:
            raise UserError(f"{name}={value}; expected 0 or more")
    return options


def _training_text(kind: str, train: Sequence[Passage], valid: Sequence[Passage]) -> Iterator[str]:
    """The text a tokenizer of this kind learns from, every piece fit to be encoded by itself."""
    if kind == "char":
        train = [*train, *valid]
    pieces: Iterator[str] = chain.from_iterable(tokenizer_kind(kind).recut(passage.pieces()) for passage in train)
    if kind == "bpe":
        # the same share of every piece, so that all parts of a large corpus are heard
        share = LEARN_FROM / sum(passage.document.path.stat().st_size for passage in train)
        pieces = (piece[: int(len(piece) * min(share, 1.0))] for piece in pieces)
    return pieces


def _key(recipe: Any, train: Sequence[Passage], valid: Sequence[Passage]) -> str:
    """A name for the token files of these very passages, encoded in this very way."""
    parts = [[(p.document.identity, p.document.lowercase, p.start, p.stop) for p in part] for part in (train, valid)]
    return hashlib.sha256(json.dumps([FORMAT, recipe, parts]).encode()).hexdigest()[:32]


def _mapped(folder: Path) -> Corpus:
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    return Corpus(tokenizer, map_token_set(folder / "train.bin"), map_token_set(folder / "valid.bin"))


def _is_whole(folder: Path) -> bool:
    """Whether the token files are there and have their full sizes; a damaged folder is written anew."""
    try:
        _mapped(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Callable[[int], object]]:
    """A progress bar over ``total`` characters on a terminal's standard error."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("tokenising", total=total)
        yield lambda characters: bar.advance(task, characters)


def whole_text(source: str | os.PathLike[str], tokenizer: Tokenizer, *, lowercase: bool = False) -> TokenSet:
    """All of ``source`` (see `documents`) as ids of a trained ``tokenizer``, nothing held back: a text to be judged on.

    A character that a character tokenizer never saw is a `UserError`.

    >>> tales = load_corpus("tales")
    >>> whole_text("tales", tales.tokenizer).starts.size == tales.train.starts.size + tales.valid.starts.size
    True
    """
    return token_set_in_memory(_whole(documents(source, None, lowercase)), tokenizer)


def _whole(texts: Sequence[Document]) -> list[Passage]:
    return [Passage(text, 0, text.characters) for text in texts]
