"""Pairs of texts, a source and its target: from a table, from two aligned files, from conversations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .sequences import as_sequences
from .table import Table, decoded, lines_of, read_file

BETWEEN_TURNS = "\n"


@dataclass(frozen=True)
class Pairs:
    """Texts side by side; ``groups`` has what may not be both in training and in validation, ``place(i)`` where i is.

    >>> pairs = Pairs(["one", "two"], ["1", "2"], ["one", "two"], str)
    >>> pairs[[1]].targets
    ['2']
    """

    sources: Sequence[str]
    targets: Sequence[str]
    groups: Sequence[Any]
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: Iterable[int]) -> Pairs:
        numbers = [int(row) for row in rows]
        sources, targets, groups = ([part[i] for i in numbers] for part in (self.sources, self.targets, self.groups))
        return Pairs(sources, targets, groups, lambda i: self.place(numbers[i]))


def as_pairs(X: Any, y: Any) -> Pairs:
    """The pairs of two lists or columns of texts.

    Raises ``UserError`` for lists of two lengths, and for what is no text or empty, with its place.

    >>> as_pairs(["one", "two"], ["1", None])
    Traceback (most recent call last):
        ...
    elman.errors.UserError: y[1] is None; expected a text, as y[0] is
    """
    if y is None:
        raise UserError("y is missing; give a target for every source")
    sources = as_sequences(X, kind="texts").items
    targets = as_sequences(y, lambda i: f"y[{i}]", kind="texts").items
    if len(sources) != len(targets):
        raise UserError(f"X has {len(sources)} sources, y has {len(targets)} targets; expected one for each")
    return _checked(sources, targets, lambda i: f"X[{i}]", lambda i: f"y[{i}]")


def pairs_in_table(table: Table, source: str, target: str) -> Pairs:
    """The pairs of two columns of a table, see ``read_table``; of a .txt file those before and after a tab.

    Raises ``UserError`` naming the row and the column of what is empty or no text.
    """
    if list(table.columns) == ["label", "text"]:  # lines with a tab, which name no columns
        source, target = "label", "text"

    def where(column: str) -> Callable[[int], str]:
        return lambda i: table.place(i, column)

    texts = [as_sequences(list(table.column(name)), where(name), kind="texts").items for name in (source, target)]
    return _checked(texts[0], texts[1], where(source), where(target))


def aligned_pairs(source: str | Path, target: str | Path, encoding: str = "utf-8") -> Pairs:
    """The pairs of two text files of which line n of one belongs to line n of the other; a trailing .gz is read.

    Lines empty in both are left out. Raises ``UserError`` for files of unequal length and a line empty in one.
    """
    names, lines = [Path(path).name for path in (source, target)], [_lines(path, encoding) for path in (source, target)]
    if len(lines[0]) != len(lines[1]):
        raise UserError(
            f"{names[0]} has {len(lines[0])} lines, {names[1]} has {len(lines[1])}; expected line n of one to belong "
            "to line n of the other"
        )
    rows = [n for n, both in enumerate(zip(*lines, strict=True)) if any(each.strip() for each in both)]
    if not rows:
        raise UserError(f"{names[0]} holds no lines; expected a text a line")
    texts = [[side[n] for n in rows] for side in lines]
    return _checked(
        texts[0], texts[1], lambda i: f"{names[0]} row {rows[i] + 1}", lambda i: f"{names[1]} row {rows[i] + 1}"
    )


def conversation_pairs(conversations: Sequence[Sequence[str]], turns: int, place: Callable[[int], str]) -> Pairs:
    r"""Every turn but the first of a conversation as a target; its source are the last ``turns`` turns before it.

    The turns of a source are joined by line ends. A conversation is one group; ``place(i)`` is where conversation i is.

    >>> pairs = conversation_pairs([["Hello!", "Hi.", "How are you?"]], 2, str)
    >>> pairs.sources, pairs.targets
    (['Hello!', 'Hello!\nHi.'], ['Hi.', 'How are you?'])
    """
    ends = [(number, end) for number, said in enumerate(conversations) for end in range(1, len(said))]
    if not ends:
        raise UserError("there is no conversation of at least two turns; give more")
    return Pairs(
        [BETWEEN_TURNS.join(conversations[number][max(0, end - turns) : end]) for number, end in ends],
        [conversations[number][end] for number, end in ends],
        [number for number, _ in ends],
        lambda i: f"{place(ends[i][0])}, turn {ends[i][1] + 1}",
    )


def read_conversations(path: str | Path, turns: int, encoding: str = "utf-8") -> Pairs:
    """The pairs of the conversations in a file, see ``conversation_pairs``.

    - .jsonl, .ndjson: a conversation a line, as a list of turns or an object with one under "turns"; a turn is a text,
      or a list of which the last is one, such as [speaker, text].
    - .txt: a turn a line, conversations apart by blank lines.

    Raises ``UserError`` naming the row of what is none of these.
    """
    kind, data = read_file(path, (".jsonl", ".ndjson", ".txt"))
    name = Path(path).name
    lines = lines_of(decoded(name, data, encoding))
    if kind == ".txt":
        conversations, rows = _paragraphs(lines)
    else:
        rows = [row for row, line in enumerate(lines, start=1) if line.strip()]
        conversations = [_turns(lines[row - 1], f"{name} row {row}") for row in rows]
    return conversation_pairs(conversations, turns, lambda i: f"{name} row {rows[i]}")


def _paragraphs(lines: list[str]) -> tuple[list[list[str]], list[int]]:
    conversations: list[list[str]] = []
    rows: list[int] = []
    for row, line in enumerate(["", *lines]):
        if not line.strip():
            conversations.append([])
            rows.append(row + 1)
        else:
            conversations[-1].append(line.strip())
    kept = [i for i, said in enumerate(conversations) if said]
    return [conversations[i] for i in kept], [rows[i] for i in kept]


def _turns(line: str, place: str) -> list[str]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place} is no JSON: {error}; expected one conversation a line") from error
    turns = record.get("turns") if isinstance(record, dict) else record
    if not isinstance(turns, list):
        raise UserError(f'{place} is no conversation; expected a list of turns, or an object with one under "turns"')
    texts = [turn[-1] if isinstance(turn, list) and turn else turn for turn in turns]
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise UserError(f"{place}, turn {number} is {turns[number - 1]!r}; expected a text or [speaker, text]")
    return [" ".join(text.split()) for text in texts if text.strip()]


def _lines(path: str | Path, encoding: str) -> list[str]:
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    _, data = read_file(path, [ending or ".txt"])
    return lines_of(decoded(Path(path).name, data, encoding))


def _checked(
    sources: Sequence[str],
    targets: Sequence[str],
    of_source: Callable[[int], str],
    of_target: Callable[[int], str],
) -> Pairs:
    for texts, place in ((sources, of_source), (targets, of_target)):
        for i, text in enumerate(texts):
            if not text.strip():
                raise UserError(f"{place(i)} is empty; fill it in or take the pair out")
    sources, targets = ([text.strip() for text in texts] for texts in (sources, targets))
    # Sources that occur more than once go to one side whole: validation asks about new ones.
    return Pairs(sources, targets, sources, of_source)
