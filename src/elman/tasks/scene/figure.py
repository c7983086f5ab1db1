"""Labels of pixels as pictures: a file of labels, and image, truth and prediction side by side."""

from __future__ import annotations

import colorsys
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...data.labels import Label
from ...training.files import replace_file, save_figure, writing

Colours = NDArray[np.uint8]
VOID = (255, 255, 255)
COLOUR = re.compile("#[0-9a-fA-F]{6}")


class Shown(NamedTuple):
    """A picture (height, width, C) with its true and predicted class numbers (height, width); -1 is no class."""

    image: NDArray[Any]
    truth: NDArray[Any]
    answer: NDArray[Any]


def class_colours(labels: Sequence[Label]) -> Colours:
    """A colour for each label, (C, 3): its own where it is one, else hues far apart.

    >>> class_colours(["#ff0000", "#0000ff"]).tolist()
    [[255, 0, 0], [0, 0, 255]]
    """
    if _are_colours(labels):
        return np.array([list(bytes.fromhex(str(label)[1:])) for label in labels], np.uint8)
    # Steps of the golden ratio never come close to an earlier hue.
    shades = [colorsys.hsv_to_rgb(k * 0.618 % 1, 0.75, (0.9, 0.55)[k % 2]) for k in range(len(labels))]
    return np.round(np.array(shades) * 255).astype(np.uint8)


def write_labels(answer: NDArray[np.int64], labels: Sequence[Label], path: Path) -> None:
    """Writes class numbers (height, width) as a PNG file: pixels have the value of their label where labels are numbers
    from 0 to 255, the label's colour where labels are colours, else the class number; in colours to look at.

    Raises:
        UserError: the file cannot be written.
    """
    # Imported only here: a second that runs without pictures need not spend.
    from PIL import Image

    colours = class_colours(labels)
    if _are_colours(labels):
        picture = Image.fromarray(colours[answer], "RGB")
    else:
        values = np.arange(len(labels))
        if all(isinstance(label, int) and 0 <= label < 256 for label in labels):
            values = np.array(labels, np.int64)
        palette = np.zeros((256, 3), np.uint8)
        palette[values] = colours
        picture = Image.fromarray(values[answer].astype(np.uint8), "P")
        picture.putpalette(palette.tobytes())
    data = io.BytesIO()
    picture.save(data, format="PNG")
    with writing(path):
        replace_file(path, data.getvalue())


def draw_scenes(scenes: Sequence[Shown], labels: Sequence[Label], names: Sequence[str], path: Path) -> None:
    """Draws image, truth and prediction of each scene in a row to a PNG file, with the colours of the classes below.

    Raises:
        UserError: the file cannot be written.
    """
    # Imported only here: a second that runs without a picture need not spend. Figure, not pyplot: no global state.
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = np.concatenate([class_colours(labels), [VOID]]).astype(np.uint8)
    height, width = scenes[0].truth.shape
    tall = 2.6 * height / width
    figure = Figure(figsize=(8.2, max(1.5, len(scenes) * (tall + 0.15)) + 0.8), dpi=120, layout="constrained")
    grid = figure.subplots(len(scenes), 3, squeeze=False)
    for axes, scene in zip(grid, scenes, strict=True):
        right = (scene.answer == scene.truth)[scene.truth >= 0]
        share = f"{right.mean():.1%} right" if right.size else ""
        for place, title, picture in zip(
            axes,
            ("image", "truth", "prediction"),
            (seen(scene.image), colours[scene.truth], colours[scene.answer]),
            strict=True,
        ):
            place.imshow(picture, interpolation="nearest")
            place.set_xticks([])
            place.set_yticks([])
            if place in grid[0]:
                place.set_title(title, fontsize=11)
        axes[2].set_xlabel(share, fontsize=9)
    there = [k for k in range(len(labels)) if any((s.truth == k).any() or (s.answer == k).any() for s in scenes)]
    handles = [Patch(facecolor=colours[k] / 255, label=names[k]) for k in there]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    save_figure(figure, path)


def _are_colours(labels: Sequence[Label]) -> bool:
    return all(isinstance(label, str) and COLOUR.fullmatch(label) for label in labels)


def seen(image: NDArray[Any]) -> NDArray[Any]:
    """Something to look at of a picture of any numbers: its first three channels, or grey, from 0 to 255."""
    image = image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, axis=2)
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
