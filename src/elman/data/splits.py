"""Which parts of which documents are kept for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import UserError, nearest
from .text import Document

SPLITS = ("files", "tails")
SHARE = 0.1  # of the files, or of each document's characters
MOST_CHARACTERS = 200_000  # in all, unless the caller names amounts
MOST_OF_ONE = 20_000  # of one document's end: a document is evaluated step by step on one row, so a long one is slow
FEWEST_FILES = 10  # from here on whole files are kept by default


@dataclass(frozen=True)
class Passage:
    """The characters ``start`` to ``stop`` of a document."""

    document: Document
    start: int
    stop: int

    @property
    def characters(self) -> int:
        """How many characters the passage has."""
        return self.stop - self.start

    def pieces(self) -> Iterator[str]:
        """The text of the passage, piece by piece."""
        return self.document.pieces(self.start, self.stop)


def split_documents(
    documents: Sequence[Document],
    split: str | None = None,
    valid_documents: int | None = None,
    valid_characters: int | None = None,
) -> tuple[list[Passage], list[Passage]]:
    """The passages for training and those for validation.

    ``split="files"`` keeps whole documents, evenly spread by name: ``valid_documents`` of them, by default a tenth, as
    many as fit in 200,000 characters (at least one). ``split="tails"`` cuts the ends off the ``valid_documents``
    longest documents (default: all that are long enough), ``valid_characters`` from each; by default a tenth of each,
    at most 20,000 characters of one and 200,000 in all. Default split: ``files`` from ten documents on, else ``tails``.
    `UserError`: unknown split, amounts that the documents do not have.
    """
    if split is None:
        split = "files" if len(documents) >= FEWEST_FILES and valid_characters is None else "tails"
    if split not in SPLITS:
        raise UserError(f"no split is called '{split}'; {nearest(split, SPLITS)}")
    for name, amount in (("valid_documents", valid_documents), ("valid_characters", valid_characters)):
        if amount is not None and amount < 1:
            raise UserError(f"{name}={amount}; expected at least 1, as training needs validation text")
    if split == "files":
        if valid_characters is not None:
            raise UserError("valid_characters belongs to split='tails'; with split='files' give valid_documents")
        return _files(documents, valid_documents)
    return _tails(documents, valid_documents, valid_characters)


def _files(documents: Sequence[Document], amount: int | None) -> tuple[list[Passage], list[Passage]]:
    count = len(documents)
    wanted = max(1, round(count * SHARE)) if amount is None else amount
    if wanted >= count:
        raise UserError(
            f"{wanted} of {count} documents for validation leave none for training; use split='tails' or more files"
        )
    spread = [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]
    if amount is None:
        spread = _within(documents, spread)
    whole = [Passage(document, 0, document.characters) for document in documents]
    kept = set(spread)
    return [p for i, p in enumerate(whole) if i not in kept], [whole[i] for i in spread]


def _within(documents: Sequence[Document], candidates: list[int]) -> list[int]:
    """The candidates that fit together in the cap, else the shortest of them."""
    kept, total = [], 0
    for i in candidates:
        if total + documents[i].characters <= MOST_CHARACTERS:
            kept.append(i)
            total += documents[i].characters
    return kept or [min(candidates, key=lambda i: documents[i].characters)]


def _tails(
    documents: Sequence[Document], amount: int | None, characters: int | None
) -> tuple[list[Passage], list[Passage]]:
    if amount is not None and amount > len(documents):
        raise UserError(
            f"valid_documents={amount}, but there are only {len(documents)} documents; give at most that many"
        )
    by_length = sorted(range(len(documents)), key=lambda i: -documents[i].characters)
    longest = by_length[:amount]
    total = sum(documents[i].characters for i in longest)
    share = min(SHARE, MOST_CHARACTERS / max(total, 1))
    tails = {i: _tail(documents[i].characters, share) if characters is None else characters for i in longest}
    if amount is None:
        tails = {i: n for i, n in tails.items() if 0 < n < documents[i].characters}
    short = min(longest, key=lambda i: documents[i].characters)
    if not tails or not 0 < tails.get(short, 1) < documents[short].characters:
        raise UserError(
            f"'{documents[short].name}' has {documents[short].characters} characters, too few to cut "
            f"{characters or 'a tenth'} from its end for validation; give more text or smaller valid_characters"
        )
    train = [Passage(d, 0, d.characters - tails.get(i, 0)) for i, d in enumerate(documents)]
    valid = [Passage(d, d.characters - tails[i], d.characters) for i, d in enumerate(documents) if i in tails]
    return train, valid


def _tail(characters: int, share: float) -> int:
    return min(int(characters * share), MOST_OF_ONE)
