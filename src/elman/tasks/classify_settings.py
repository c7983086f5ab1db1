"""The options of classification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..training.settings import check_types
from .settings import (
    CellSettings,
    FileSettings,
    MachineSettings,
    StopSettings,
    check_count,
    check_probability,
)


@dataclass(frozen=True)
class ExampleSettings(FileSettings):
    """Where examples come from, how they are read, and which of them judge the model."""

    input: str | tuple[str, ...] | None = None
    """The column of texts or sequences, or columns of numbers that make a sequence, where * stands for any letters;
    unless given: text or x, or the only column that is not the label's."""

    label: str | None = None
    """The column of labels; unless given: label, y or class."""

    group: str | None = None
    """A column of which no value may be both in training and in validation, such as the speaker or the author."""

    tokens: Literal["word", "char", "bpe"] = "word"
    """What a text is read as: words and punctuation, characters, or byte-pair pieces learned from it."""

    lowercase: bool = False
    """Turn texts to lower case."""

    min_count: int | None = None
    """Tokens seen at most this often are read as unknown (words: 1, characters: 0 unless given)."""

    max_types: int | None = None
    """Most types of tokens kept (words: 20,000 unless given)."""

    vocab_size: int | None = None
    """Types that bpe learns (4096 unless given)."""

    max_length: int | None = None
    """Read only so many steps from the start of each example."""

    step_size: int | None = None
    """Numbers a step: cuts the numbers of an example anew, 28 for the rows of an image of 28 x 28, 1 for its pixels."""

    standardise: bool = True
    """Bring every feature of numbers to mean 0 and deviation 1 over the training part."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_types", "max_length", "step_size"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True)
class ClassifierNetSettings(CellSettings):
    """The network."""

    bidirectional: bool = False
    """Also read from the end to the start."""

    pooling: Literal["last", "mean", "max", "attention"] = "max"
    """How the outputs over time become one: the last, their mean, each unit's largest, or a learned weighted mean."""

    embedding_size: int = 64
    """Features of a token's vector."""

    word_dropout: float = 0.0
    """Probability, in training, that a token is read as unknown."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("embedding_size", self.embedding_size)
        check_probability("word_dropout", self.word_dropout)


@dataclass(frozen=True)
class GoalSettings:
    """What counts as good."""

    best: Literal["accuracy", "f1", "loss"] = "accuracy"
    """Which number of the validation part chooses the best weights and stops early; f1 is the mean over the labels."""

    class_weight: Literal["balanced"] | None = None
    """balanced: an example of a rare label weighs as much more as the label is rarer; unless given all weigh alike."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class ClassifierSettings:
    """Everything a classifier is told; frozen, plain values, checked when made."""

    examples: ExampleSettings = ExampleSettings()
    """Where examples come from, how they are read, and which of them judge the model."""

    net: ClassifierNetSettings = field(default=ClassifierNetSettings())
    """The network."""

    goal: GoalSettings = GoalSettings()
    """What counts as good."""

    machine: MachineSettings = field(default=MachineSettings())
    """How much is computed at once, how exactly, and where."""

    training: StopSettings = field(default=StopSettings())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""
