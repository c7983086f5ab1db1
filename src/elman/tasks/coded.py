"""What a net reads: ids or numbers, and the spelling of tokens, each different token of a batch once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import Encoder, Sequences, pad
from ..data.batches import Rows, far_longer
from ..data.tokenizers.members import MembersTokenizer
from ..models.spelling import Spelling


class Batch(NamedTuple):
    """``x`` (T, B) ids or (T, B, F) numbers, ``lengths`` (B,), the parts of a ``Spelling`` or None, ``targets`` or
    None: (B,), or (T, B) where every step has its own.
    """

    x: Tensor
    lengths: Tensor
    characters: Tensor | None
    character_lengths: Tensor | None
    which: Tensor | None
    targets: Tensor | None

    @property
    def spelling(self) -> Spelling | None:
        """How the tokens are spelt, where that is read."""
        if self.characters is None or self.character_lengths is None or self.which is None:
            return None
        return Spelling(self.characters, self.character_lengths, self.which)


@dataclass(frozen=True)
class Coded:
    """Sequences as a net reads them: ``steps[i]`` (T_i,) ids or (T_i, F) numbers.

    ``spelt[k]`` are the characters of the different token k, of which number 0 is the empty one that pads, and
    ``which[i]`` (T_i,) says which tokens sequence i has; both are empty where no spelling is read.
    """

    steps: Sequence[NDArray[Any]]
    spelt: Sequence[NDArray[Any]] = ()
    which: Sequence[Rows] = ()

    @classmethod
    def of(cls, sequences: Sequences, encoder: Encoder, characters: MembersTokenizer | None) -> Coded:
        """Read by an encoder, and by a tokenizer of characters where spelling is read."""
        steps = encoder(sequences)
        if characters is None:
            return cls(steps)
        numbers: dict[str, int] = {"": 0}
        words = encoder.words(sequences)
        which = [np.array([numbers.setdefault(word, len(numbers)) for word in item], np.int64) for item in words]
        return cls(steps, [characters.encode(token) for token in numbers], which)

    @property
    def lengths(self) -> list[int]:
        """Steps of every sequence."""
        return [len(each) for each in self.steps]

    def warning(self, place: Callable[[int], str], advice: str = "") -> dict[str, str]:
        """A line for the summary of a fit about the longest sequence, where it is far longer than others."""
        far = far_longer(self.lengths)
        if not len(far):
            return {}
        what = "tokens" if self.steps[0].ndim == 1 else "steps"
        such = f", the longest of {len(far):,} such" if len(far) > 1 else ""
        return {
            "longest": f"{self.lengths[far[0]]:,} {what} ({place(int(far[0]))}{such}), median "
            f"{np.median(self.lengths):,.0f}: slows every batch it is in; {advice}shorten it or leave it out"
        }

    def batch(self, rows: Rows, targets: Tensor | None = None) -> Batch:
        """The sequences with these numbers side by side, with their targets where given."""
        x, lengths = pad([self.steps[row] for row in rows])
        if not self.spelt:
            return Batch(x, lengths, None, None, None, targets)
        places, _ = pad([self.which[row] for row in rows])
        tokens, which = np.unique(np.append(places.numpy(), 0), return_inverse=True)
        characters, character_lengths = pad([self.spelt[token] for token in tokens])
        at = torch.from_numpy(which[:-1].reshape(places.shape))
        return Batch(x, lengths, characters, character_lengths, at, targets)
