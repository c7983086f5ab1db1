"""The options of sequence to sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...errors import UserError
from ...training.settings import check_types
from ..settings import CellSettings, FileSettings, MachineSettings, StopSettings, check_count, check_probability
from ..writing.settings import SearchSettings

Tokens = Literal["word", "char", "bpe"]


@dataclass(frozen=True)
class PairSettings(FileSettings):
    """Where pairs of texts come from, how they are read, and which of them judge the model."""

    data: str | None = None
    """A file of pairs: .csv, .tsv, .jsonl, or .txt with source<TAB>target a line; with turns: of conversations."""

    source: str = "source"
    """The column of sources; without data a text file, a source a line."""

    target: str = "target"
    """The column of targets; without data a text file, line n of which belongs to line n of the sources."""

    valid_source: str | None = None
    """A text file of sources to judge by, beside valid_target."""

    valid_target: str | None = None
    """A text file of targets to judge by."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        lines = (self.source, self.target) if self.data is None else ()
        given = (*super().files, *lines, self.valid_source, self.valid_target)
        return tuple(path for path in given if path is not None)

    turns: int | None = None
    """The data is conversations (.jsonl, or .txt with blank lines between them): a turn answers so many before it."""

    tokens: Tokens = "word"
    """What a text is read as: words and punctuation, characters, or byte-pair pieces learned from it."""

    target_tokens: Tokens | None = None
    """What a target is written as; as tokens unless given."""

    shared: bool = False
    """One vocabulary and one embedding for both sides."""

    lowercase: bool = False
    """Turn all texts to lower case."""

    min_count: int | None = None
    """Tokens seen at most this often are read as unknown (words: 1, characters: 0 unless given)."""

    max_types: int | None = None
    """Most types of tokens kept a side (words: 20,000 unless given)."""

    vocab_size: int | None = None
    """Types that bpe learns a side (4096 unless given)."""

    max_length: int | None = None
    """Tokens: a longer source is cut, its end kept; pairs with a longer target are not trained on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("turns", "max_types", "max_length"):
            check_count(name, getattr(self, name))
        if self.shared and self.target_tokens not in (None, self.tokens):
            raise UserError(f"target_tokens='{self.target_tokens}' contradicts shared=True; leave one of them out")


@dataclass(frozen=True)
class Seq2SeqNetSettings(CellSettings):
    """The network; cell, hidden_size and num_layers are the decoder's."""

    embedding_size: int = 64
    """Features of a token's vector."""

    tied: bool = False
    """Use the targets' embedding as output weights too."""

    encoder_cell: str | None = None
    """Cell of the encoder, which reads both ways; the decoder's unless given."""

    encoder_size: int | None = None
    """Units of each direction of the encoder; half of the decoder's unless given."""

    encoder_layers: int = 1
    """Layers of the encoder."""

    attention: Literal["general", "additive", "dot", "none"] = "general"
    """How places of the source are scored: q W m, v tanh(W q + U m), q m, or not at all."""

    input_feeding: bool = False
    """Read what the last token was chosen from beside each token; several times slower."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embedding_size", "encoder_size", "encoder_layers"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True)
class TeachingSettings:
    """What the decoder is taught with."""

    label_smoothing: float = 0.0
    """Share of the target's probability that is spread over all types in training."""

    scheduled_sampling: float = 0.0
    """Highest probability that in training the decoder reads a token of its own in place of the target's."""

    sampling_rise: Literal["linear", "sigmoid"] = "linear"
    """How that probability rises."""

    sampling_epochs: float = 10.0
    """Epochs in which it rises from 0 to its highest."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("label_smoothing", "scheduled_sampling"):
            check_probability(name, getattr(self, name))
        if self.sampling_epochs <= 0:
            raise UserError(f"sampling_epochs is {self.sampling_epochs}; expected a number above 0")


@dataclass(frozen=True)
class Seq2SeqSettings:
    """Everything a model of sequence to sequence is told; frozen, plain values, checked when made."""

    pairs: PairSettings = PairSettings()
    """Where pairs of texts come from, how they are read, and which of them judge the model."""

    net: Seq2SeqNetSettings = field(default=Seq2SeqNetSettings())
    """The network; cell, hidden_size and num_layers are the decoder's."""

    teaching: TeachingSettings = TeachingSettings()
    """What the decoder is taught with."""

    search: SearchSettings = field(default=SearchSettings())
    """How answers are found; these may be given anew for a trained model."""

    machine: MachineSettings = field(default=MachineSettings())
    """How much is computed at once, how exactly, and where."""

    training: StopSettings = field(default=StopSettings())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""

    def __post_init__(self) -> None:
        if self.net.attention == "none" and self.search.coverage_penalty:
            raise UserError(
                f"coverage_penalty={self.search.coverage_penalty} counts where attention went, which contradicts "
                "attention='none'; leave one of them out"
            )
