"""A class for every pixel by sweeps in four directions: inside or outside of a fence, which no neighbourhood tells.

The pictures are made here, so that nothing is downloaded; with pictures of your own it is one command, where PICTURES
is a folder with images/ and labels/, or a .npz file:

    elman train scene --data PICTURES

    python examples/scene_fences.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elman import SceneLabeller

NAMES = ("sky", "meadow", "fence", "garden", "bush")
COLOURS = np.array([[140, 180, 240], [110, 170, 90], [120, 90, 60], [110, 170, 90], [70, 130, 60]])
HEIGHT, WIDTH = 16, 20


def scenes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Sky over a meadow with fences; the grass inside of a closed fence is garden, of an open one it is meadow."""
    draw = np.random.default_rng(seed)
    labels = np.ones((count, HEIGHT, WIDTH), np.int64)
    for picture in labels:
        horizon = draw.integers(2, 5)
        picture[:horizon] = 0
        for left in (0, WIDTH // 2):
            top, bottom = horizon + 1 + draw.integers(0, 3), HEIGHT - 1 - draw.integers(0, 3)
            west, east = left + draw.integers(1, 3), left + WIDTH // 2 - 1 - draw.integers(0, 2)
            picture[top:bottom, west:east] = 2
            closed = draw.random() < 0.5
            picture[top + 1 : bottom - 1, west + 1 : east - 1] = 3 if closed else 1
            if not closed:  # one side has fallen over
                side = draw.integers(4)
                rows = (
                    slice(top + 1, bottom - 1),
                    slice(top + 1, bottom - 1),
                    slice(top, top + 1),
                    slice(bottom - 1, bottom),
                )
                columns = (
                    slice(west, west + 1),
                    slice(east - 1, east),
                    slice(west + 1, east - 1),
                    slice(west + 1, east - 1),
                )
                picture[rows[side], columns[side]] = 1
        for row, column in zip(draw.integers(horizon, HEIGHT, 6), draw.integers(0, WIDTH, 6), strict=True):
            if picture[row, column] in (1, 3):
                picture[row, column] = 4
    images = COLOURS[labels] + draw.normal(0, 12, (*labels.shape, 3))
    return np.clip(images, 0, 255).astype(np.uint8), labels


def by_colour(X: NDArray[np.uint8], y: NDArray[np.int64], new: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The commonest label of the pixels that look most alike: what one can know without context."""
    bins = lambda images: (images // 32).astype(np.int64) @ (64, 8, 1)  # noqa: E731
    counts = np.zeros((512, len(NAMES)), np.int64)
    np.add.at(counts, (bins(X).ravel(), y.ravel()), 1)
    return counts.argmax(1)[bins(new)]


def main() -> None:
    """Trains for half a minute and shows what it makes of pictures it has not seen, beside their colours alone."""
    X, y = scenes(500, seed=0)
    new, truth = scenes(200, seed=1)
    model = SceneLabeller(
        cell="gru", hidden_size=24, num_layers=2, patch=1, embedding_size=16, batch_size=16, epochs=9, patience=50,
        learning_rate=8e-3, schedule="cosine", class_names=NAMES,
    )  # fmt: skip
    model.fit(X, y, quiet=False)
    print(f"\n{model.show(model.evaluate(new, truth), None)}\n")
    print(f"by colour alone      {(by_colour(X, y, new) == truth).mean():.4f}\n")
    print("one scene, and what was made of it (. sky, grass blank, # fence, o garden, * bush):\n")
    for made, known in zip(model.predict(new[:1])[0], truth[0], strict=True):
        print("   ".join("".join(". #o*"[label] for label in row) for row in (known, made)))


if __name__ == "__main__":
    main()
