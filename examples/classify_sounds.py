"""Which way the pitch of a sound goes: recordings as WAV files in a folder for each label.

The files are made here; with a folder of your own it is one command:

    elman train classify --data FOLDER --recipe spoken-digits

    python examples/classify_sounds.py
"""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path

import numpy as np

from elman import Classifier

RATE = 8000


def record(folder: Path, count: int, seed: int) -> None:
    """Tones under noise whose pitch, anywhere between two octaves, rises, falls or stays, in WAV files by label."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        label, turn = [("falling", -1), ("rising", 1), ("steady", 0)][number % 3]
        length = int(draw.integers(RATE // 4, RATE // 2))
        pitch = 300 * 4 ** draw.uniform(0.25, 0.75) * 2 ** (turn * draw.uniform(0.3, 0.8) * np.linspace(-1, 1, length))
        sound = np.sin(2 * np.pi * np.cumsum(pitch) / RATE + draw.uniform(0, 6)) * draw.uniform(0.1, 0.5)
        sound += draw.normal(0, 0.05, length)
        (folder / label).mkdir(parents=True, exist_ok=True)
        with wave.open(str(folder / label / f"{seed}-{number}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())


def main() -> None:
    """Trains for some seconds; shows which is taken for which, and the answers for single files."""
    with tempfile.TemporaryDirectory() as path:
        train, new = Path(path, "train"), Path(path, "new")
        record(train, 300, seed=0)
        record(new, 150, seed=1)
        model = Classifier(
            cell="gru", hidden_size=32, rate=RATE, mels=24, epochs=15, learning_rate=5e-3, schedule="cosine", threads=1
        )
        model.fit(train, quiet=False)
        print(f"\n{model.show(model.evaluate(new), None)}\n")
        for file in sorted(new.glob("*/1-?.wav")):
            _, line = next(model.predictions([str(file)], top=2))
            print(line.replace(path, "..."))


if __name__ == "__main__":
    main()
