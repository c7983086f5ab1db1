"""Numbers brought to mean 0 and deviation 1, feature by feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scaling:
    """``(x - mean) / deviation``, both (F,), or (1,) for all features alike; learned from the training part alone.

    >>> scaling = Scaling.learned([np.array([[1.0, 5.0], [3.0, 5.0]])])
    >>> scaling(np.array([[2.0, 5.0], [3.0, 6.0]])).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def learned(cls, sequences: Sequence[NDArray[Any]]) -> Scaling:
        """From every step of the sequences (T_i, F); a feature that never changes is only shifted."""
        count = sum(len(sequence) for sequence in sequences)
        mean = sum(sequence.sum(0, dtype=np.float64) for sequence in sequences) / max(count, 1)
        squares = sum(((sequence - mean) ** 2).sum(0, dtype=np.float64) for sequence in sequences)
        deviation = np.sqrt(squares / max(count, 1))
        # Below rounding of the mean there is no deviation to divide by.
        still = deviation <= 1e-7 * np.abs(mean)
        return cls(tuple(mean.tolist()), tuple(np.where(still, 1.0, deviation).tolist()))

    def __call__(self, sequence: NDArray[Any]) -> NDArray[np.float32]:
        """The scaled sequence, float32."""
        return ((sequence - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)

    def back(self, sequence: NDArray[Any]) -> NDArray[np.float64]:
        """What was scaled, in its own units again."""
        return sequence * np.array(self.deviation) + np.array(self.mean)
