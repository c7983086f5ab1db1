"""What the estimators that say labels share, of sequences or of each of their steps: labels, encoder, spelling."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Encoder, Labels, Sequences
from ..data.tokenizers.members import MembersTokenizer
from ..errors import UserError
from .coded import Coded
from .sequence_task import SequenceEstimator


class LabellingEstimator(SequenceEstimator):
    """Base of ``Classifier`` and ``Tagger``; ``fit`` sets ``labels_`` and ``encoder_`` and calls ``_learn_letters``.

    Its settings' group ``net`` is a ``ReaderSettings``.
    """

    labels_: Labels
    encoder_: Encoder
    characters_: MembersTokenizer | None

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the columns of ``predict_proba``."""
        return self.labels_.array

    def score(self, X: Any, y: Any = None) -> float:
        """The share of labels that are predicted."""
        return float(self.evaluate(X, y)["accuracy"])

    def _learn_letters(self, inputs: Sequences) -> None:
        """``characters_`` from the training part, where words are spelt."""
        self.characters_ = None
        if inputs.kind != "numbers" and self.settings_.net.character_size:
            self.characters_ = MembersTokenizer.train(itertools.chain(*self.encoder_.words(inputs)))

    def _coded(self, inputs: Sequences) -> Coded:
        return Coded.of(inputs, self.encoder_, self.characters_)

    def _reader_options(self) -> dict[str, Any]:
        """The options of the net's ``Reader``."""
        net, encoder = self.settings_.net, self.encoder_
        return {
            "vocab_size": encoder.vocab_size or None,
            "features": encoder.features or None,
            "characters": self.characters_ and self.characters_.vocab_size,
            "frames": net.frames,
            "frame_shape": encoder.shape,
            "frame_size": net.frame_size,
            "bidirectional": net.bidirectional,
            "embedding_size": net.embedding_size,
            "character_size": net.character_size,
            "word_dropout": net.word_dropout,
            "unknown_id": encoder.tokenizer and encoder.tokenizer.unknown_id,
        }

    def _learned(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels_.names),
            "encoder": self.encoder_.document(),
            "characters": self.characters_ and self.characters_.document(),
        }

    def _relearn(self, learned: dict[str, Any]) -> None:
        origin = str(self.run.path)
        if not isinstance(learned.get("labels"), list):
            raise UserError(f"{origin} says nothing of its labels; restore its learned.json or train again")
        self.labels_ = Labels(learned["labels"])
        self.encoder_ = Encoder.from_document(learned.get("encoder", {}), origin)
        self.characters_ = None
        if learned.get("characters") is not None:
            characters = MembersTokenizer.from_document(learned["characters"], f"the characters in {origin}")
            assert isinstance(characters, MembersTokenizer)
            self.characters_ = characters

    def _types(self) -> str:
        """How many types of tokens are read, in words."""
        spelt = f", {self.characters_.vocab_size:,} characters" if self.characters_ else ""
        return f"{self.encoder_.vocab_size:,} types{spelt}"

    def _some_labels(self) -> str:
        """How many labels there are, and the first of them, in words."""
        names = self.labels_.names
        return f"{len(names)}: {some(names)}"


def some(names: tuple[Any, ...]) -> str:
    """The first eight names.

    >>> some((1, 2)), some(tuple("abcdefghi"))
    ('1, 2', 'a, b, c, d, e, f, g, h, ...')
    """
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")


def likeliest(probabilities: NDArray[np.float64], names: tuple[Any, ...], top: int) -> dict[str, float]:
    """The ``top`` likeliest names with their probabilities, the likeliest first.

    >>> likeliest(np.array([0.2, 0.7, 0.1]), ("a", "b", "c"), 2)
    {'b': 0.7, 'a': 0.2}
    """
    best = np.argsort(-probabilities, kind="stable")[:top]
    return {str(names[k]): round(float(probabilities[k]), 4) for k in best}
