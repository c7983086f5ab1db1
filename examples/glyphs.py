"""Small images of digits, drawn here, for the examples that read images: no two alike, by place, ink and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS = (
    "0e1113151911 0e 040c04040404 0e 0e1101020408 1f 1f0204020111 0e 02060a121f02 02 "
    "1f101e010111 0e 0608101e1111 0e 1f0102040808 08 0e11110e1111 0e 0e11110f0102 0c"
).replace(" ", "")
"""Seven rows of five pixels for each digit, a row in two hexadecimal places."""


def glyphs(count: int, seed: int, size: int = 10) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Digits of 5 x 7 pixels anywhere in images (count, size, size), and which they are, (count,)."""
    draw = np.random.default_rng(seed)
    rows = np.frombuffer(bytes.fromhex(ROWS), np.uint8).reshape(10, 7)
    shapes = (rows[..., None] >> np.arange(4, -1, -1)) & 1
    labels = draw.integers(10, size=count)
    images = draw.normal(20, 20, (count, size, size))
    for image, label in zip(images, labels, strict=True):
        top, left = draw.integers(size - 6), draw.integers(size - 4)
        image[top : top + 7, left : left + 5] += shapes[label] * draw.normal(180, 30, (7, 5))
    return images.clip(0, 255).astype(np.uint8), labels
