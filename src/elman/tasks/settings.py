"""The settings of the language model: the one place its options are defined, for Python, command line and recipes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..errors import UserError
from ..training import TrainSettings
from ..training.settings import check_types

Value = bool | int | float | str


@dataclass(frozen=True)
class TextSettings:
    """Which text, cut into which tokens, and what of it is kept for validation."""

    data: str = "tales"
    """A file, a folder of stories (*.txt), "-" for standard input, or a corpus by name (see `elman data`)."""

    first: int | None = None
    """Take only the first so many documents, by name."""

    lowercase: bool = False
    """Turn the text to lower case."""

    tokenizer: Literal["char", "bigram", "word", "bpe"] = "char"
    """What a token is: a character, a pair of characters, a word, or a byte-pair piece learned from the text."""

    min_count: int | None = None
    """Types seen at most this often become the unknown type (bigram: 10, word: 1 unless given)."""

    max_types: int | None = None
    """Most word types kept (20,000 unless given)."""

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
class NetSettings:
    """The network."""

    cell: str | tuple[str, ...] = "lstm"
    """A cell by name (see `elman cells`) or file.py:ClassName; several make a stack, one a layer."""

    cell_args: dict[str, Value] = field(default_factory=dict)
    """Options of the cell, as name=value."""

    hidden_size: int | tuple[int, ...] = 128
    """Units of a layer; several numbers, one a layer."""

    num_layers: int | None = None
    """Layers, all alike; 1 unless cell or hidden_size name several."""

    embedding_size: int = 64
    """Features of a token's vector; 0 feeds one-hot vectors."""

    tied: bool = False
    """Use the embedding as output weights too."""

    dropout: float = 0.0
    """Probability of dropping: embedded input, between layers, before the output."""

    initial_state: Literal["zeros", "trained"] | float = "zeros"
    """Where a text starts: zeros, trained, or the sigma of noise."""

    init: Literal["torch", "xavier", "identity", "normal"] = "torch"
    """How the weights start."""

    def __post_init__(self) -> None:
        check_types(self)
        given: object = self.cell_args
        if not isinstance(given, dict) or not all(isinstance(value, Value) for value in given.values()):
            raise UserError(f"cell_args is {given!r}; expected names with numbers, words or truth values")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}; expected a probability, 0 or more and below 1")
        if self.embedding_size < 0:
            raise UserError(f"embedding_size is {self.embedding_size}; expected 0 (one-hot) or more")


@dataclass(frozen=True)
class UnrollSettings:
    """How sequences are cut for training, and where it runs."""

    batch_size: int = 32
    """Streams of text read side by side."""

    unroll: int = 64
    """Steps between updates (k1 of truncated backpropagation through time)."""

    backprop: int | None = None
    """Steps to backpropagate through, a multiple of unroll (k2); unroll unless given."""

    reset_documents: bool = True
    """Start the state anew where a document starts."""

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
        for name in ("batch_size", "unroll", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; expected a whole number of at least 1")
        if self.precision == "bf16" and self.dtype == "float64":
            raise UserError("precision='bf16' contradicts dtype='float64'; use dtype='float32'")
        if self.backprop is not None and (self.backprop < 1 or self.backprop % self.unroll):
            raise UserError(f"backprop is {self.backprop}; expected a multiple of unroll, which is {self.unroll}")


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
