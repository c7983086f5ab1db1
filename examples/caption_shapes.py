"""Captions of pictures: a small convolutional net looks, a GRU with attention writes; combinations it never saw.

The pictures are made here, so that nothing is downloaded. With a table of your own, one column with paths of pictures
of one size and one with their captions, it is one command:

    elman train caption --data captions.csv --input image --text caption

    python examples/caption_shapes.py
"""

from __future__ import annotations

import itertools
import random

import numpy as np
from numpy.typing import NDArray

from elman import Captioner

SIDE = 24
COLOURS = {"red": (230, 40, 40), "green": (40, 190, 60), "blue": (50, 80, 230), "yellow": (230, 210, 50)}
SHAPES = ("circle", "square", "triangle")
RELATIONS = ("above", "left of")
THINGS = [f"{colour} {shape}" for colour, shape in itertools.product(COLOURS, SHAPES)]


def combinations(seed: int) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """What can be said: a thing, a relation, another thing; four fifths to learn from, and a fifth never seen."""
    every = [(a, r, b) for a, r, b in itertools.product(THINGS, RELATIONS, THINGS) if a != b]
    random.Random(seed).shuffle(every)
    return every[len(every) // 5 :], every[: len(every) // 5]


def drawn(scenes: list[tuple[str, str, str]], seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    """A picture of each scene with noise, and its caption."""
    draw = np.random.default_rng(seed)
    pictures = np.full((len(scenes), SIDE, SIDE, 3), 235.0)
    for picture, (one, relation, other) in zip(pictures, scenes, strict=True):
        far, near = draw.integers(0, 3), draw.integers(SIDE - 12, SIDE - 9)
        places = [(far, draw.integers(0, 14)), (near, draw.integers(0, 14))]
        if relation == "left of":
            places = [place[::-1] for place in places]
        for thing, (top, left) in zip((one, other), places, strict=True):
            paint(picture, thing, int(top), int(left), int(draw.integers(7, 10)))
    pictures += draw.normal(0, 8, pictures.shape)
    captions = [f"a {one} {relation} a {other}" for one, relation, other in scenes]
    return np.clip(pictures, 0, 255).astype(np.uint8), captions


def paint(picture: NDArray[np.float64], thing: str, top: int, left: int, size: int) -> None:
    colour, shape = thing.split()
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    inside = {
        "circle": row**2 + column**2 <= (size / 2) ** 2,
        "square": np.ones((size, size), bool),
        "triangle": np.abs(column) <= (row + size / 2) / 2,
    }[shape]
    picture[top : top + size, left : left + size][inside] = COLOURS[colour]


def main() -> None:
    """Trains for half a minute and prints what it says of combinations it has never seen."""
    known, unknown = combinations(seed=0)
    pictures, captions = drawn(known * 12, seed=1)
    new, truth = drawn(unknown * 3, seed=2)
    model = Captioner(
        cell="gru", hidden_size=64, embedding_size=24, input_size=32, min_count=0, init="xavier", batch_size=32,
        epochs=14, learning_rate=5e-3, schedule="cosine",
    )  # fmt: skip
    model.fit(pictures, captions, quiet=False)
    print(f"\n{model.show(model.evaluate(new, truth), None)}\n")
    for i in (1, 2, 3):
        print(in_letters(new[i]))
        print(f"  = {truth[i]}\n  > {model.predict(new[i : i + 1])[0]}\n")


def in_letters(picture: NDArray[np.uint8]) -> str:
    """A picture of two lines a row of letters: the first letter of the nearest colour."""
    marks = dict(zip(" rgby", [(235, 235, 235), *COLOURS.values()], strict=True))
    distances = np.stack([((picture[::2] - np.array(colour, float)) ** 2).sum(-1) for colour in marks.values()])
    return "\n".join("".join(list(marks)[k] for k in row) for row in distances.argmin(0))


if __name__ == "__main__":
    main()
