"""What turns examples into what a net reads, learned from the training part and kept with the weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .images import ImageReading, ReadAs
from .scaling import Scaling
from .sequences import Kind, Sequences
from .tokenizers import Tokenizer, tokenizer_kind
from .tokenizers.word import WordTokenizer


@dataclass(frozen=True)
class Encoder:
    """Texts and tokens to ids (T_i,) by a tokenizer, numbers (T_i, F) scaled; at most ``max_length`` steps of each.

    With ``centre_each`` every feature of an example loses its mean over that example's steps before it is scaled.
    Images are read step by step as ``image`` says. ``shape`` has the axes of a step of numbers, as ``Sequences`` does.

    >>> from elman.data import as_sequences
    >>> texts = as_sequences(["so good", "so so"])
    >>> encoder = Encoder.learned(texts, tokens="word", min_count=0)
    >>> [ids.tolist() for ids in encoder(texts)], encoder.vocab_size
    ([[2, 3], [2, 2]], 4)
    """

    kind: Kind
    tokenizer: Tokenizer | None = None
    lowercase: bool = False
    features: int = 0
    centre_each: bool = False
    scaling: Scaling | None = None
    max_length: int | None = None
    image: ImageReading | None = None
    shape: tuple[int, ...] = ()

    @classmethod
    def learned(
        cls,
        sequences: Sequences,
        *,
        tokens: str = "word",
        lowercase: bool = False,
        standardise: bool = True,
        centre_each: bool = False,
        max_length: int | None = None,
        read_as: ReadAs | None = None,
        patch: int = 7,
        stride: int = 3,
        **tokenizer_options: Any,
    ) -> Encoder:
        """From the training part: the vocabulary, or mean and deviation of the numbers.

        ``tokens`` is what a token of a text is: "word", "char" or "bpe"; the members of token lists stay as they are.
        ``read_as``, ``patch`` and ``stride`` are for images, see ``ImageReading``. Images and frames have one mean and
        deviation for all their points, other numbers one a feature.
        Options of the tokenizer that are None take its own defaults. `UserError` for an option the tokenizer lacks, for
        images expected where there are none, and for ``centre_each`` where there are no numbers over time.
        """
        given = {option: value for option, value in tokenizer_options.items() if value is not None}
        if sequences.kind == "numbers":
            for option, value in given.items():
                if value:
                    raise UserError(f"{option} is for texts, but the examples are numbers; leave it out")
            image = ImageReading.of(read_as, sequences.shape, patch, stride) if read_as else None
            if centre_each and read_as:
                raise UserError(f"centre_each takes means over time, read_as={read_as!r} reads images; choose one")
            scaling = None
            if standardise:
                points = image is not None or len(sequences.shape) > 1
                items = [_centred(item[:max_length]) if centre_each else item for item in sequences.items]
                scaling = Scaling.learned([item.reshape(-1, 1) if points else item for item in items])
            features = image.features if image else int(sequences.items[0].shape[1])
            return cls(
                "numbers",
                features=features,
                centre_each=centre_each,
                scaling=scaling,
                max_length=max_length,
                image=image,
                shape=sequences.shape,
            )
        if read_as:
            raise UserError(f"read_as={read_as!r} reads images, but the examples are {sequences.kind}; leave it out")
        if centre_each:
            raise UserError(f"centre_each is for numbers, but the examples are {sequences.kind}; leave it out")
        # A character never seen must have an id too, so characters are read as members of the text.
        name = tokens if sequences.kind == "texts" and tokens != "char" else "members"
        kind = tokenizer_kind(name)
        for option in given:
            if option not in kind.options:
                what = f"tokens='{tokens}'" if sequences.kind == "texts" else "tokens given as lists"
                raise UserError(f"{option} does not go with {what}; leave it out")
        train = cast(Callable[..., Tokenizer], kind.train)
        lower = _lowered if lowercase else _same
        return cls(
            sequences.kind, train(map(lower, sequences.items), **given), lowercase=lowercase, max_length=max_length
        )

    @property
    def vocab_size(self) -> int:
        """Token types; 0 for numbers."""
        return self.tokenizer.vocab_size if self.tokenizer else 0

    def __call__(self, sequences: Sequences) -> list[NDArray[Any]]:
        """Every example as ids (T_i,) or numbers (T_i, F) float32; `UserError` for another number of features."""
        if self.tokenizer is None:
            self._check(sequences)
            read = self.image or _same
            centre = _centred if self.centre_each else _same
            scale = self.scaling or _same
            return [scale(centre(read(item)[: self.max_length])) for item in sequences.items]
        lower = _lowered if self.lowercase else _same
        return [self.tokenizer.encode(lower(item))[: self.max_length] for item in sequences.items]

    def words(self, sequences: Sequences) -> list[list[str]]:
        """What the ids stand for, as it is spelt, one a step of what ``encoder(sequences)`` gives.

        `UserError` unless the steps are words, or tokens that were given.
        """
        if sequences.kind == "tokens":
            return [list(item)[: self.max_length] for item in sequences.items]
        if not isinstance(self.tokenizer, WordTokenizer):
            raise UserError("only words are spelt; read texts with tokens='word'")
        found = []
        for text in sequences.items:
            words = self.tokenizer.pattern.findall(text)
            lowered = self.tokenizer.pattern.findall(text.lower()) if self.lowercase else words
            # A few letters become two in lower case, which may part a word.
            found.append((words if len(words) == len(lowered) else lowered)[: self.max_length])
        return found

    def _check(self, sequences: Sequences) -> None:
        trained, given = self.shape or (self.features,), sequences.shape or (self.features,)
        # What came flat is taken at its word; frames must be as high and as wide.
        alike = 1 in (len(given), len(trained)) or given[:2] == trained[:2]
        if alike and math.prod(given) == math.prod(trained):
            return
        one, other = (" x ".join(map(str, shape)) for shape in (given, trained))
        raise UserError(f"{sequences.place(0)} has {one} features a step; the model was trained on {other}")

    def document(self) -> dict[str, Any]:
        """Itself as JSON values."""
        return {
            "kind": self.kind,
            "lowercase": self.lowercase,
            "max_length": self.max_length,
            "features": self.features,
            "centre_each": self.centre_each,
            "tokenizer": self.tokenizer and self.tokenizer.document(),
            "scaling": self.scaling and {"mean": list(self.scaling.mean), "deviation": list(self.scaling.deviation)},
            "image": self.image and dataclasses.asdict(self.image),
            "shape": list(self.shape),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any], origin: str) -> Encoder:
        """What `document` gave; `UserError` naming the ``origin`` where it is none."""
        try:
            tokenizer, scaling = document["tokenizer"], document["scaling"]
            image = document.get("image")
            return cls(
                document["kind"],
                tokenizer and Tokenizer.from_document(tokenizer, f"the tokenizer in {origin}"),
                document["lowercase"],
                document["features"],
                document["centre_each"],
                scaling and Scaling(tuple(scaling["mean"]), tuple(scaling["deviation"])),
                document["max_length"],
                image and ImageReading(**{**image, "row": tuple(image["row"])}),
                tuple(document.get("shape", ())),
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"{origin} does not say how to read examples; restore the file or train again") from error


def _same(item: Any) -> Any:
    return item


def _centred(item: NDArray[Any]) -> NDArray[Any]:
    """Steps (T, ...) without their mean; an example without steps has none."""
    return item - item.mean(0, dtype=np.float64).astype(np.float32) if len(item) else item


def _lowered(item: Any) -> Any:
    return item.lower() if isinstance(item, str) else [token.lower() for token in item]
