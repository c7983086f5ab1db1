"""The options of tagging."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...training.settings import check_types
from ..settings import (
    FileSettings,
    MachineSettings,
    ReaderSettings,
    StopSettings,
    check_count,
)


@dataclass(frozen=True)
class TaggedSettings(FileSettings):
    """Where tagged sequences come from, how they are read, and which of them judge the model."""

    data: str | None = None
    """A file: .conll, .conllu, .tsv or .txt with a token a line and an empty line after each sentence, .jsonl, .csv
    with a step a row, or .npz."""

    input: str | tuple[str, ...] | None = None
    """The column of tokens, by number from 1 or by name, or columns of numbers, where * stands for any letters; unless
    given the first (of .conllu the second), or tokens, words, text or x."""

    column: str | None = None
    """The column of tags, by number from 1 or by name; unless given the last (of .conllu the fourth, UPOS), or tags,
    labels, tag, label or y."""

    sequence: str | None = None
    """The column of a .csv file that names the sequence a row belongs to; unless given there is one sequence."""

    lowercase: bool = True
    """Look words up in lower case; their characters are read as they stand."""

    min_count: int = 0
    """Words seen at most this often have no vector of their own; their characters are read all the same."""

    max_types: int | None = None
    """Most words that have a vector of their own."""

    standardise: bool = True
    """Bring every feature of numbers to mean 0 and deviation 1 over the training part."""

    centre_each: bool = False
    """Take from every feature of a sequence its mean over that sequence's steps first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_types", self.max_types)

    @property
    def inputs(self) -> tuple[str, ...]:
        """``input`` as several."""
        return (self.input,) if isinstance(self.input, str) else self.input or ()


@dataclass(frozen=True)
class TaggerNetSettings(ReaderSettings):
    """The network."""

    bidirectional: bool = True
    """Also read from the end to the start."""

    crf: bool = False
    """Score whole sequences of tags (linear-chain conditional random field); else every step by itself."""

    character_size: int = 32
    """Units, each way, of the net that reads the characters of a word; 0 reads none."""


@dataclass(frozen=True)
class TaggerGoalSettings:
    """What counts as good."""

    best: Literal["accuracy", "spans", "loss"] = "accuracy"
    """Which number of the validation part chooses the best weights and stops early; spans is the F1 of exact spans,
    for tags such as B-NP I-NP O."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class TaggerSettings:
    """Everything a tagger is told; frozen, plain values, checked when made."""

    examples: TaggedSettings = TaggedSettings()
    """Where tagged sequences come from, how they are read, and which of them judge the model."""

    net: TaggerNetSettings = field(default=TaggerNetSettings())
    """The network."""

    goal: TaggerGoalSettings = TaggerGoalSettings()
    """What counts as good."""

    machine: MachineSettings = field(default=MachineSettings())
    """How much is computed at once, how exactly, and where."""

    training: StopSettings = field(default=StopSettings())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""
