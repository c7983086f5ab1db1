"""Which digit is there in every frame of a clip, where each frame shows only a part of it: with and without memory.

python examples/label_frames.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from glyphs import glyphs

from elman import Tagger
from elman.data import moving_digits
from elman.data.moving import Clips

NET: dict[str, Any] = {"frames": "cnn", "cell": "gru", "hidden_size": 48, "learning_rate": 5e-3, "threads": 1}


def clips(count: int, seed: int) -> Clips:
    """A digit bounces, partly hidden, and becomes another once."""
    images, labels = glyphs(1000, seed)
    return moving_digits(
        images, labels, count, steps=10, size=14, speed=1.0, hidden=0.35, noise=0.05, changing=True, seed=seed
    )


def main() -> None:
    """Trains both for some seconds; shows a clip, what is there, and what each says."""
    train, new = clips(1500, seed=0), clips(200, seed=1)
    memory = Tagger(**NET, epochs=15, schedule="cosine").fit(*train)
    alone = Tagger(**NET, epochs=6, schedule="cosine", batch_size=320)
    alone.fit(train.frames.reshape(-1, 1, 14, 14), train.labels.reshape(-1, 1))
    for row in np.concatenate(list(new.frames[0, :6]), axis=1):
        print("".join(" .:+#@"[pixel // 43] for pixel in row))
    said = [answer[0] for answer in alone.predict(new.frames[0][:, None])]
    print("there is    ", *new.labels[0])
    print("with memory ", *memory.predict(new.frames[:1])[0], f"{memory.score(*new):9.1%} of all frames right")
    frames, labels = new.frames.reshape(-1, 1, 14, 14), new.labels.reshape(-1, 1)
    print("frames alone", *said, f"{alone.score(frames, labels):9.1%}")


if __name__ == "__main__":
    main()
