"""Groups of options: those of the language model, and those that jobs share; each defined here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..errors import UserError
from ..training import TrainSettings
from ..training.settings import check_types

Value = bool | int | float | str


def check_probability(name: str, value: float) -> None:
    """Refuses what is no probability of dropping.

    >>> check_probability("dropout", 1.0)
    Traceback (most recent call last):
        ...
    elman.errors.UserError: dropout is 1.0; expected a probability, 0 or more and below 1
    """
    if not 0 <= value < 1:
        raise UserError(f"{name} is {value}; expected a probability, 0 or more and below 1")


def check_count(name: str, value: int | None) -> None:
    """Refuses a number below 1; None passes.

    >>> check_count("threads", 0)
    Traceback (most recent call last):
        ...
    elman.errors.UserError: threads is 0; expected a whole number of at least 1
    """
    if value is not None and value < 1:
        raise UserError(f"{name} is {value}; expected a whole number of at least 1")


@dataclass(frozen=True)
class TextSettings:
    """Which text, cut into which tokens, and what of it is kept for validation."""

    data: str = "tales"
    """A file, a folder of stories (*.txt), "-" for standard input, or a corpus by name (see `elman data`)."""

    valid: str | None = None
    """Another text to judge the model by while it trains; unless given a part of the data is kept back."""

    first: int | None = None
    """Take only the first so many documents, by name."""

    lowercase: bool = False
    """Turn the text to lower case."""

    tokenizer: Literal["char", "bigram", "word", "spaced", "bpe"] = "char"
    """What a token is: a character, a pair of characters, a word, what stands between blanks (for a text cut into words
    before), or a byte-pair piece learned from the text."""

    min_count: int | None = None
    """Types seen at most this often become the unknown type (bigram: 10, word and spaced: 1 unless given)."""

    max_types: int | None = None
    """Most word or spaced types kept (20,000 unless given)."""

    vocab_size: int | None = None
    """Types the bpe tokenizer learns (4096 unless given)."""

    end_mark: bool = True
    """Put a mark between documents, from which a story starts and with which it ends."""

    split: Literal["files", "tails"] | None = None
    """Keep whole files or the ends of the longest documents for validation; unless given: files, from ten files on."""

    valid_documents: int | None = None
    """How many documents validation takes: whole (files), or the ends of the longest (tails)."""

    valid_characters: int | None = None
    """With tails: how many characters are cut from the end of each."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class CellSettings:
    """The recurrent part of a network, whatever its job."""

    cell: str | tuple[str, ...] = "lstm"
    """A cell by name (see `elman cells`) or file.py:ClassName; several make a stack, one a layer."""

    cell_args: dict[str, Value] = field(default_factory=dict)
    """Options of the cell, as name=value."""

    hidden_size: int | tuple[int, ...] = 128
    """Units of a layer; several numbers, one a layer."""

    num_layers: int | None = None
    """Layers, all alike; 1 unless cell or hidden_size name several."""

    dropout: float = 0.0
    """Probability of dropping: embedded input, between layers, before the output."""

    init: Literal["torch", "xavier", "identity", "normal", "uniform"] = "torch"
    """How the weights start."""

    def __post_init__(self) -> None:
        check_types(self)
        given: object = self.cell_args
        if not isinstance(given, dict) or not all(isinstance(value, Value) for value in given.values()):
            raise UserError(f"cell_args is {given!r}; expected names with numbers, words or truth values")
        check_probability("dropout", self.dropout)

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells named, one or one a layer."""
        return (self.cell,) if isinstance(self.cell, str) else self.cell


@dataclass(frozen=True)
class ReaderSettings(CellSettings):
    """The network, where it reads tokens with their letters, numbers, or frames."""

    bidirectional: bool = False
    """Also read from the end to the start."""

    embedding_size: int = 64
    """Features of a token's vector."""

    character_size: int = 0
    """Units, each way, of a net that reads the letters of every word besides; 0 reads none. Of use where words are
    rare, new or misspelt."""

    word_dropout: float = 0.0
    """Probability, in training, that a token is read as unknown; its letters are read all the same."""

    frames: Literal["cnn"] | None = None
    """Turn every frame of a clip into a vector first, by a small convolutional net; unless given frames go in as they
    are."""

    frame_size: int = 64
    """Features of a frame's vector."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embedding_size", "frame_size"):
            check_count(name, getattr(self, name))
        check_count("character_size", self.character_size or None)
        check_probability("word_dropout", self.word_dropout)


@dataclass(frozen=True)
class NetSettings(CellSettings):
    """The network."""

    embedding_size: int = 64
    """Features of a token's vector; 0 feeds one-hot vectors."""

    tied: bool = False
    """Use the embedding as output weights too."""

    input_dropout: float | None = None
    """Probability of dropping a feature of the embedded input; that of dropout unless given."""

    output_dropout: float | None = None
    """Probability of dropping a feature before the output layer; that of dropout unless given."""

    embedding_dropout: float = 0.0
    """Probability of dropping a whole token type from the embedding, for a window."""

    weight_drop: float = 0.0
    """Probability of dropping a recurrent weight, for a window."""

    locked: bool = False
    """Drop the same features of a row at all steps of a window."""

    activation_penalty: float = 0.0
    """Weight of the mean square of what the last layer gives, after dropout, in the loss of training."""

    change_penalty: float = 0.0
    """Weight of the mean square of how much that changes from step to step, before dropout."""

    initial_state: Literal["zeros", "trained"] | float = "zeros"
    """Where a text starts: zeros, trained, or the sigma of noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_size < 0:
            raise UserError(f"embedding_size is {self.embedding_size}; expected 0 (one-hot) or more")
        for name in ("input_dropout", "output_dropout", "embedding_dropout", "weight_drop"):
            check_probability(name, getattr(self, name) or 0.0)
        for name in ("activation_penalty", "change_penalty"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; expected 0 or more")


@dataclass(frozen=True)
class MachineSettings:
    """How much is computed at once, how exactly, and where."""

    batch_size: int = 32
    """Sequences side by side."""

    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the weights."""

    precision: Literal["full", "bf16"] = "full"
    """Precision of training's products: the weights' own, or bfloat16 factors with float32 sums (faster where the
    processor has instructions for it)."""

    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""

    threads: int | None = None
    """CPU threads; PyTorch's choice unless given."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("batch_size", "threads"):
            check_count(name, getattr(self, name))
        if self.precision == "bf16" and self.dtype == "float64":
            raise UserError("precision='bf16' contradicts dtype='float64'; use dtype='float32'")


@dataclass(frozen=True)
class UnrollSettings(MachineSettings):
    """How sequences are cut for training, and where it runs."""

    batch_size: int = 32
    """Streams of text read side by side."""

    unroll: int = 64
    """Steps between updates (k1 of truncated backpropagation through time)."""

    backprop: int | None = None
    """Steps to backpropagate through, a multiple of unroll (k2); unroll unless given."""

    vary_unroll: bool = False
    """Draw the steps of every window at random, near unroll or at times near half of it; longer ones count for more."""

    reset_documents: bool = True
    """Start the state anew where a document starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("unroll", self.unroll)
        if self.backprop is not None and (self.backprop < 1 or self.backprop % self.unroll):
            raise UserError(f"backprop is {self.backprop}; expected a multiple of unroll, which is {self.unroll}")


@dataclass(frozen=True)
class DataSettings:
    """Where examples come from, and which of them judge the model."""

    data: str | None = None
    """A file of examples."""

    valid: str | None = None
    """Another file to judge the model by while it trains; unless given a part of the data is kept back."""

    valid_share: float = 0.1
    """The part of the examples kept back where no other file is given."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files and folders that are read."""
        return tuple(path for path in (self.data, self.valid) if path is not None)

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.valid_share < 1:
            raise UserError(f"valid_share is {self.valid_share}; expected a part, above 0 and below 1")


@dataclass(frozen=True)
class FileSettings(DataSettings):
    """Where examples come from, and which of them judge the model."""

    data: str | None = None
    """A file: .csv, .tsv, .jsonl, .npz, or .txt with one example a line."""

    encoding: str = "utf-8"
    """How the text of the files is encoded; a byte-order mark is read over."""


@dataclass(frozen=True)
class StopSettings(TrainSettings):
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""

    patience: int | None = 10
    """Stop after this many evaluations without a new best; none never does."""


@dataclass(frozen=True)
class LanguageModelSettings:
    """Everything a language model is told; frozen, plain values, checked when made."""

    text: TextSettings = TextSettings()
    """Which text, cut into which tokens, and what of it is kept for validation."""

    net: NetSettings = field(default=NetSettings())
    """The network."""

    sequences: UnrollSettings = UnrollSettings()
    """How sequences are cut for training, and where it runs."""

    training: TrainSettings = field(default=TrainSettings())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""
