"""The options of writing from what is no text: from classes, vectors and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...errors import UserError
from ...training.settings import check_types
from ..settings import CellSettings, FileSettings, MachineSettings, StopSettings, check_count, check_probability
from ..writing.settings import SearchSettings


@dataclass(frozen=True)
class CaptionFileSettings(FileSettings):
    """Where texts come from and what they are written from, how they are read, and which of them judge the model."""

    data: str | None = None
    """A file of texts, a row each: .csv, .tsv, .jsonl, or .txt with label<TAB>text a line."""

    features: str | None = None
    """A .npy or .npz file of vectors or pictures, of which each row of the data names one: by its number, from 0 on, or
    by its name where the .npz file has an array of names."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        return (*super().files, *([] if self.features is None else [self.features]))

    input: str | None = None
    """The column that says what a text is written from: a label, the path of a picture, or with features their number
    or name; unless given label, class, image, index or name."""

    text: str | None = None
    """The column of texts; unless given text or caption."""

    tokens: Literal["word", "char"] = "word"
    """What a text is written in: words and punctuation, or characters."""

    lowercase: bool = False
    """Turn texts to lower case."""

    min_count: int | None = None
    """Tokens seen at most this often are not learned (words: 1, characters: 0 unless given)."""

    max_types: int | None = None
    """Most types of tokens kept (words: 20,000 unless given)."""

    max_length: int | None = None
    """Tokens: texts with more are not trained on."""

    standardise: bool = True
    """Bring every feature of vectors and every channel of pictures to mean 0 and deviation 1 over the training part."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_types", "max_length"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True)
class CaptionNetSettings(CellSettings):
    """The network."""

    embedding_size: int = 64
    """Features of a token's vector."""

    input_size: int = 64
    """Features of what the decoder is told: of a class's vector, of what a vector is turned into, of a place."""

    halvings: int = 2
    """How often the convolutions halve the sides of a picture before the decoder attends to its places."""

    attention: Literal["additive", "general"] = "additive"
    """How places of a picture are scored: v tanh(W q + U m), or q W m, which is faster."""

    tied: bool = False
    """Use the tokens' embedding as output weights too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embedding_size", "input_size", "halvings"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True)
class CaptionGoalSettings:
    """What the decoder is taught with."""

    label_smoothing: float = 0.0
    """Share of the target's probability that is spread over all types in training."""

    def __post_init__(self) -> None:
        check_types(self)
        check_probability("label_smoothing", self.label_smoothing)


@dataclass(frozen=True)
class CaptionSearchSettings(SearchSettings):
    """How texts are found; these may be given anew for a trained model."""

    temperature: float | None = None
    """Draw texts, below 1 safer and above 1 wilder, in place of searching for the likeliest with a beam."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature is not None and self.temperature < 0:
            raise UserError(f"temperature is {self.temperature}; expected 0 or more")


@dataclass(frozen=True)
class CaptionSettings:
    """Everything a captioner is told; frozen, plain values, checked when made."""

    texts: CaptionFileSettings = CaptionFileSettings()
    """Where texts come from and what they are written from, how they are read, and which of them judge the model."""

    net: CaptionNetSettings = field(default=CaptionNetSettings())
    """The network."""

    goal: CaptionGoalSettings = CaptionGoalSettings()
    """What the decoder is taught with."""

    search: CaptionSearchSettings = field(default=CaptionSearchSettings())
    """How texts are found; these may be given anew for a trained model."""

    machine: MachineSettings = field(default=MachineSettings())
    """How much is computed at once, how exactly, and where."""

    training: StopSettings = field(default=StopSettings())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""
