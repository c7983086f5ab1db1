"""Sequences with a tag for every step, from files: columns of tokens (CoNLL), JSON Lines, CSV and NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .sequences import Kind, Sequences, as_sequences
from .table import Table, decoded, read_file, read_table
from .tokenizers.word import TOKEN

COLUMNS = (".conll", ".conllu", ".tsv", ".txt")
TAGGED = (*COLUMNS, ".jsonl", ".ndjson", ".csv", ".npz")
"""The endings of files that `read_tagged` reads."""
TOKEN_NAMES = ("tokens", "words", "text", "x")
TAG_NAMES = ("tags", "labels", "tag", "label", "y")
CONLLU_FIELDS = 10


def nowhere(i: int, step: int) -> str:
    """Where a tag of arrays or lists stands, in words."""
    return f"y[{i}][{step}]"


@dataclass(frozen=True)
class Tagged:
    """Sequences, the tags of their steps where there are any, and where each tag stands, in words."""

    inputs: Sequences
    tags: Sequence[Sequence[Any]] | None = None
    place: Callable[[int, int], str] = field(default=nowhere)

    def __post_init__(self) -> None:
        if self.tags is None:
            return
        if len(self.tags) != len(self.inputs):
            raise UserError(
                f"X has {len(self.inputs)} sequences, y has {len(self.tags)}; expected a list of tags for each"
            )
        what = "steps" if self.inputs.kind == "numbers" else "tokens"
        for i, tags in enumerate(self.tags):
            if np.ndim(tags) != 1 or isinstance(tags, str):
                raise UserError(f"the tags of {self.inputs.place(i)} are {tags!r}; expected a list, one for every step")
            if len(tags) != len(self.inputs.items[i]):
                raise UserError(
                    f"{self.inputs.place(i)} has {len(self.inputs.items[i])} {what} and {len(tags)} tags; "
                    "expected one for each"
                )

    def __getitem__(self, rows: Sequence[int]) -> Tagged:
        tags = None if self.tags is None else [self.tags[row] for row in rows]
        return Tagged(self.inputs[rows], tags, lambda i, step: self.place(rows[i], step))


def words_of(text: str) -> list[str]:
    """The words and signs of a text.

    >>> words_of("The king slept, didn't he?")
    ['The', 'king', 'slept', ',', "didn't", 'he', '?']
    """
    return [token for token in TOKEN.findall(text) if not token.isspace()]


def read_tagged(
    path: str,
    encoding: str = "utf-8",
    *,
    inputs: Sequence[str] = (),
    tags: str | None = None,
    sequence: str | None = None,
    strict: bool = True,
    kind: Kind | None = None,
) -> Tagged:
    """The sequences in a file, read by its ending, each also with .gz after it.

    - .conll, .tsv, .txt: a token a line with its columns, parted by tabs where the first line has one, else by blanks;
      an empty line ends a sequence. ``inputs`` and ``tags`` are numbers of columns from 1, unless given the first and
      the last. .conllu: the same with the columns 2 and 4 (UPOS); comments, ranges and empty nodes are left out.
    - .jsonl, .ndjson: an object a line, two of its lists; names are "tokens" and "tags" or the like unless given.
      Where tags are not read, a text may stand for its list of words.
    - .csv: a step a row; ``inputs`` may be several columns of numbers, ``*`` standing for any letters. Where the value
      of the column ``sequence`` changes a new sequence begins.
    - .npz: arrays x (n, T, ...), y (n, T) and lengths (n,) where rows end early.

    ``strict`` is for training and evaluation, where every step needs its tag; else tags are not read, and standard
    input ("-") and a .txt file hold a sentence a line, cut by ``words_of``, unless the file has tabs, or empty lines
    between lines of equally many columns. ``kind`` is what the sequences must be, where that is known.

    Raises:
        UserError: as ``read_table``; a line with another number of columns; a step without a tag; a number of tags that
            is not that of tokens. Each with row and column.
    """
    ending = str(path).lower().removesuffix(".gz")
    if not strict and (path == "-" or (ending.endswith(".txt") and not _in_columns(path, encoding))):
        table = read_table(path, encoding)
        if path == "-" or list(table.columns) == ["text"]:
            lines = [" ".join(line) for line in zip(*table.columns.values(), strict=True)]
            return Tagged(Sequences("tokens", [words_of(line) for line in lines], table.place))
    if ending.endswith(COLUMNS):
        return _read_columns(path, encoding, inputs, tags, strict)
    if not ending.endswith(TAGGED):
        raise UserError(
            f"{path} ends in none of {', '.join(TAGGED)}; rename the file or convert it (in Python, sentences "
            "themselves come in a list)"
        )
    table = read_table(path, encoding)
    if ending.endswith(".csv"):
        return _read_steps(table, inputs, tags, sequence, strict, kind)
    label = _named(table, tags, TAG_NAMES, "tags", "column") if strict else None
    name = _named(table, inputs[0] if inputs else None, TOKEN_NAMES, "tokens", "input")
    values = table.column(name)
    if not strict and kind == "tokens":
        values = [words_of(value) if isinstance(value, str) else value for value in values]
    sequences = as_sequences(values, lambda i: table.place(i, name), kind=kind)
    if label is None:
        return Tagged(sequences)
    return Tagged(sequences, _lists(table, label), lambda i, step: f"{table.place(i, label)}, step {step + 1}")


def _lists(table: Table, name: str) -> Sequence[Any]:
    column = table.column(name)
    for i, value in enumerate(column):
        if not isinstance(value, list | tuple | np.ndarray):
            raise UserError(f"{table.place(i, name)} is {value!r}; expected a list of tags, one for every step")
    return column


def _named(table: Table, given: str | None, usual: Sequence[str], what: str, option: str) -> str:
    if given is not None:
        table.column(given)
        return given
    for name in usual:
        if name in table.columns:
            return name
    raise UserError(
        f"{table.name} has no column {what!r}, but {table.described()}; name it with {option}= (--{option})"
    )


def _read_columns(path: str, encoding: str, inputs: Sequence[str], tags: str | None, strict: bool) -> Tagged:
    ending, data = read_file(path, COLUMNS)
    name, conllu = Path(path).name, ending == ".conllu"
    sentences = _sentences(name, decoded(name, data, encoding), conllu)
    if not sentences:
        raise UserError(f"{path} holds no examples; expected at least one row")
    width = len(sentences[0][0][1])

    def place(i: int, step: int, column: int) -> str:
        return f"{name} row {sentences[i][step][0]}, column {column}"

    word = _number(name, inputs[0] if inputs else None, 2 if conllu else 1, width, "input")
    tokens = [[fields[word - 1] for _, fields in sentence] for sentence in sentences]
    for i, words in enumerate(tokens):
        for step, token in enumerate(words):
            if not token.strip():
                raise UserError(f"{place(i, step, word)} is empty; fill it in or take the row out")
    read = Sequences("tokens", tokens, lambda i: f"{name} row {sentences[i][0][0]}")
    if not strict:
        return Tagged(read)
    if width == 1:
        raise UserError(f"{name} row {sentences[0][0][0]} has 1 column; expected a token and its tag")
    at = _number(name, tags, 4 if conllu else width, width, "column")
    none = "_" if conllu else ""
    marks = [[None if (tag := fields[at - 1]) == none else tag for _, fields in sentence] for sentence in sentences]
    return Tagged(read, marks, lambda i, step: place(i, step, at))


def _sentences(name: str, text: str, conllu: bool) -> list[list[tuple[int, list[str]]]]:
    """The lines of each sentence as row and fields, all of one number of fields."""
    lines = [
        (row, line)
        for row, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
        if not (conllu and line[:1] == "#")
    ]
    first, opening = next(((row, line) for row, line in lines if line.strip()), (0, ""))
    by_tabs = conllu or "\t" in opening
    width = CONLLU_FIELDS if conllu else len(_fields(opening, by_tabs))
    sentences: list[list[tuple[int, list[str]]]] = [[]]
    for row, line in lines:
        fields = _fields(line, by_tabs)
        if not line.strip():
            sentences.append([])
        elif len(fields) != width:
            like = "a line of CoNLL-U has" if conllu else f"row {first} has"
            raise UserError(
                f"{name} row {row} has {_count(len(fields))}, but {like} {width}; expected a token a line, its columns "
                f"parted by {'tabs' if by_tabs else 'blanks'}, and an empty line after each sentence"
            )
        elif not (conllu and ("-" in fields[0] or "." in fields[0])):
            sentences[-1].append((row, fields))
    # CoNLL's mark of a document's start is no sentence.
    return [sentence for sentence in sentences if sentence and sentence[0][1][0] != "-DOCSTART-"]


def _in_columns(path: str, encoding: str) -> bool:
    """Whether a file of text holds a token a line: empty lines part lines that have equally many columns."""
    lines = decoded(path, read_file(path, COLUMNS)[1], encoding).strip().split("\n")
    return any(not line.strip() for line in lines) and len({len(line.split()) for line in lines if line.strip()}) == 1


def _fields(line: str, by_tabs: bool) -> list[str]:
    # Not at every white space: a token may hold a no-break space.
    return line.split("\t") if by_tabs else [field for field in line.split(" ") if field]


def _count(fields: int) -> str:
    return f"{fields} column{'s' * (fields != 1)}"


def _number(name: str, given: str | None, usual: int, width: int, option: str) -> int:
    if given is None:
        return usual
    if not given.isdecimal() or not 1 <= int(given) <= width:
        raise UserError(f"{option} is {given!r}, but {name} has {_count(width)}; give the number of one, from 1")
    return int(given)


def _read_steps(
    table: Table, inputs: Sequence[str], tags: str | None, sequence: str | None, strict: bool, kind: Kind | None
) -> Tagged:
    usual = next((name for name in TAG_NAMES if name in table.columns), None)
    label = _named(table, tags, TAG_NAMES, "tags", "column") if strict else None
    of = table.column(sequence) if sequence is not None else [0] * len(table)
    left = [name for name in table.columns if name not in (sequence, tags or usual)]
    columns = table.matching(inputs) if inputs else left
    if not columns:
        raise UserError(f"{table.name} has no column beside the tags; expected the tokens or numbers of every step")
    if len(columns) > 1 and not inputs:
        columns = [name for name in TOKEN_NAMES if name in left][:1] or columns
    bounds = [0, *(i for i in range(1, len(table)) if of[i] != of[i - 1]), len(table)]
    parts = [range(start, stop) for start, stop in itertools.pairwise(bounds)]
    tokens = kind == "tokens" or (kind is None and len(columns) == 1 and not _are_numbers(table.column(columns[0])))
    if tokens:
        words = table.column(columns[0])
        for i, word in enumerate(words):
            if not word.strip():
                raise UserError(f"{table.place(i, columns[0])} is empty; fill it in or take the row out")
        values: Any = [[words[i] for i in part] for part in parts]
    else:
        numbers = table.numbers(columns)
        values = [numbers[part.start : part.stop] for part in parts]
    sequences = as_sequences(values, lambda i: table.place(parts[i].start), kind="tokens" if tokens else "numbers")
    if label is None:
        return Tagged(sequences)
    marks = table.column(label)
    return Tagged(
        sequences, [[marks[i] for i in part] for part in parts], lambda i, step: table.place(parts[i][step], label)
    )


def _are_numbers(column: Sequence[Any]) -> bool:
    try:
        [float(value) for value in column]
    except ValueError:
        return False
    return True
