"""The kind of a wave from its samples: sequences of numbers of unequal length, here sines, squares and sawteeth.

python examples/classify_waves.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman import Classifier


def waves(count: int, seed: int) -> tuple[list[NDArray[np.float64]], list[str]]:
    """Noisy waves of 20 to 60 samples, of any pitch, loudness and phase."""
    draw = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(count):
        kind = str(draw.choice(["sine", "square", "saw"]))
        time = np.arange(draw.integers(20, 61))
        turn = (draw.uniform(0.04, 0.1) * time + draw.uniform()) % 1.0
        shape = {"sine": np.sin(2 * np.pi * turn), "square": np.sign(turn - 0.5), "saw": 2 * turn - 1}[kind]
        X.append(draw.uniform(0.5, 2.0) * shape + draw.normal(0, 0.1, len(time)))
        y.append(kind)
    return X, y


def main() -> None:
    """Trains for some seconds; shows which kind is taken for which."""
    model = Classifier(cell="gru", hidden_size=32, pooling="mean", epochs=12, learning_rate=5e-3, schedule="cosine")
    model.fit(*waves(600, seed=0), quiet=False)
    print(f"\n{model.show(model.evaluate(*waves(300, seed=1)), None)}")


if __name__ == "__main__":
    main()
