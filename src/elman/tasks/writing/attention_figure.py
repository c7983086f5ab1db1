"""Attention drawn: over the tokens of a text, a row a token that was written, and over the places of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...training.files import save_figure

LOOKS_A_ROW = 6  # pictures side by side


def draw_attention(
    source: Sequence[str], target: Sequence[str], weights: NDArray[np.floating[Any]], path: Path
) -> None:
    """Draws the weights (target, source), light 0 and dark 1, to a PNG file.

    Raises ``UserError`` where the file cannot be written.
    """
    # Imported only here: a second that runs without a picture need not spend. Figure, not pyplot: no global state.
    from matplotlib.figure import Figure

    rows, columns = weights.shape
    figure = Figure(
        figsize=(float(np.clip(1.6 + 0.36 * columns, 3.5, 16)), float(np.clip(1.4 + 0.32 * rows, 3, 16))),
        dpi=120,
        layout="constrained",
    )
    axes = figure.subplots()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), [piece.replace("$", r"\$") for piece in source], rotation=60, ha="left")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks(range(rows), [piece.replace("$", r"\$") for piece in target])
    figure.colorbar(image, ax=axes, shrink=0.8, label="attention")
    save_figure(figure, path)


def draw_looks(picture: NDArray[Any], tokens: Sequence[str], weights: NDArray[np.floating[Any]], path: Path) -> None:
    """Draws a picture (height, width, 3) of bytes, and for each token where the weights (tokens, rows, columns) were.

    Where nothing was looked at the picture is dark; the place with the largest weight of a token is as bright as it is.
    Raises ``UserError`` where the file cannot be written.
    """
    from matplotlib.figure import Figure

    columns = min(len(tokens) + 1, LOOKS_A_ROW)
    rows = -(-(len(tokens) + 1) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.5 * rows * picture.shape[0] / picture.shape[1] + 0.35 * rows), dpi=120,
                    layout="constrained")  # fmt: skip
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    grid[0].imshow(picture)
    height, width = picture.shape[:2]
    down = np.arange(height) * weights.shape[1] // height
    right = np.arange(width) * weights.shape[2] // width
    for axes, token, looked in zip(grid[1:], tokens, weights, strict=False):
        light = 0.2 + 0.8 * (looked / looked.max())[down][:, right]
        axes.imshow((picture * light[..., None]).astype(np.uint8))
        axes.set_title(token.replace("$", r"\$"), fontsize=9)
    save_figure(figure, path)
