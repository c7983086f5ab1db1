"""The options of classification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...errors import UserError
from ...training.settings import check_types
from ..settings import (
    FileSettings,
    MachineSettings,
    ReaderSettings,
    StopSettings,
    check_count,
)


@dataclass(frozen=True)
class ExampleSettings(FileSettings):
    """Where examples come from, how they are read, and which of them judge the model."""

    data: str | None = None
    """A file: .csv, .tsv or .jsonl (a column may name pictures or .wav files), .txt with an example a line, .npz, or
    images in MNIST's format; or a folder with a folder of pictures or .wav files for each label."""

    input: str | tuple[str, ...] | None = None
    """The column of texts, sequences or paths, or columns of numbers that make a sequence, where * stands for any
    letters; unless given: text, x, file or path, or the only column that is not the label's."""

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
    """Numbers a step: cuts the numbers of an example anew; for an image of 28 x 28 that came flat, 28 make a row."""

    standardise: bool = True
    """Bring every feature of numbers to mean 0 and deviation 1 over the training part; of images and frames all points
    together."""

    centre_each: bool = False
    """Take from every feature of an example its mean over that example's steps first: of recordings what voice and
    microphone add to all of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_types", "max_length", "step_size"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True)
class ImageSettings:
    """How images are read."""

    read_as: Literal["rows", "pixels", "patches"] | None = None
    """Read images by rows, by pixels, or by sliding patches, line by line; unless given the first axis is time."""

    patch: int = 7
    """Pixels of a patch's side."""

    stride: int = 3
    """Pixels a patch slides by."""

    shift: int = 0
    """In training move every image, each time anew, by at most so many pixels up or down, left or right."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("patch", "stride"):
            check_count(name, getattr(self, name))
        if self.shift < 0:
            raise UserError(f"shift is {self.shift}; expected a number of pixels, 0 or more")
        if self.shift and self.read_as is None:
            raise UserError(f"shift={self.shift} moves images; say with read_as how they are read")


@dataclass(frozen=True)
class SoundSettings:
    """How recordings (.wav) are read: as the energy in mel bands over time."""

    rate: int = 16000
    """Samples a second that every recording is brought to."""

    mels: int = 40
    """Bands."""

    window_ms: float = 25.0
    """Milliseconds of sound that a step sees."""

    hop_ms: float = 10.0
    """Milliseconds from one step to the next."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("rate", "mels"):
            check_count(name, getattr(self, name))
        for name in ("window_ms", "hop_ms"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name} is {getattr(self, name)}; expected milliseconds, above 0")


@dataclass(frozen=True)
class ClassifierNetSettings(ReaderSettings):
    """The network."""

    pooling: Literal["last", "mean", "max", "attention"] = "max"
    """How the outputs over time become one: the last, their mean, each unit's largest, or a learned weighted mean."""


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

    images: ImageSettings = ImageSettings()
    """How images are read."""

    sound: SoundSettings = SoundSettings()
    """How recordings (.wav) are read: as the energy in mel bands over time."""

    net: ClassifierNetSettings = field(default=ClassifierNetSettings())
    """The network."""

    goal: GoalSettings = GoalSettings()
    """What counts as good."""

    machine: MachineSettings = field(default=MachineSettings())
    """How much is computed at once, how exactly, and where."""

    training: StopSettings = field(default=StopSettings())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""

    def __post_init__(self) -> None:
        if self.net.frames and self.images.read_as:
            raise UserError(
                f"read_as={self.images.read_as!r} makes an image a sequence, frames={self.net.frames!r} reads every "
                "step of a clip as an image; choose one"
            )
