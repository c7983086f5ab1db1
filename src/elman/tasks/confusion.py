"""Which label was taken for which, as numbers, as text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..training.files import save_figure

Counts = NDArray[np.int64]
MOST_NUMBERED, MOST_NAMED = 25, 40  # labels up to which the picture holds the counts, and picture and table the names
WORST = 3  # confusions named below the table


def confusion_matrix(truth: NDArray[Any], answers: NDArray[Any], classes: int) -> Counts:
    """How often examples of class i (row) were taken for class j (column), (C, C).

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    return np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: Counts) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1 of each class, (C,); 0 where there is nothing to divide by.

    >>> {name: each.tolist() for name, each in per_class(np.array([[1, 1], [0, 2]])).items()}
    {'precision': [1.0, 0.6666666666666666], 'recall': [0.5, 1.0], 'f1': [0.6666666666666666, 0.8]}
    """
    right = np.diag(confusion).astype(np.float64)
    taken, there = confusion.sum(0), confusion.sum(1)
    return {
        "precision": right / np.maximum(taken, 1),
        "recall": right / np.maximum(there, 1),
        "f1": 2 * right / np.maximum(taken + there, 1),
    }


def macro_f1(confusion: Counts) -> float:
    """The mean F1 of the classes that occur, as truth or as answer.

    >>> round(macro_f1(np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]])), 4)
    0.7333
    """
    occurs = (confusion.sum(0) + confusion.sum(1)) > 0
    return float(per_class(confusion)["f1"][occurs].mean())


def table(confusion: Counts, names: Sequence[str]) -> str:
    """Examples, precision, recall and F1 of each label (the commonest of many), and the confusions there were most of.

    >>> print(table(np.array([[1, 1], [0, 2]]), ["ham", "spam"]))
    label  examples  precision  recall     F1
    ham           2      1.000   0.500  0.667
    spam          2      0.667   1.000  0.800
    ham taken for spam: 1 of 2
    """
    width = max(5, *map(len, names))
    lines = [f"{'label':<{width}}  examples  precision  recall     F1"]
    numbers = per_class(confusion)
    commonest = np.argsort(-confusion.sum(1), kind="stable")[:MOST_NAMED]
    for row, name in enumerate(names):
        if row not in commonest:
            continue
        precision, recall, f1 = (numbers[kind][row] for kind in ("precision", "recall", "f1"))
        lines.append(f"{name:<{width}}  {confusion[row].sum():>8,}  {precision:>9.3f}  {recall:>6.3f}  {f1:>5.3f}")
    if len(names) > MOST_NAMED:
        lines.append(f"and {len(names) - MOST_NAMED:,} rarer labels")
    wrong = confusion - np.diag(np.diag(confusion))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:WORST]:
        i, j = divmod(int(place), len(names))
        if wrong[i, j]:
            lines.append(f"{names[i]} taken for {names[j]}: {wrong[i, j]:,} of {confusion[i].sum():,}")
    return "\n".join(lines)


def draw_confusion(confusion: Counts, names: Sequence[str], path: Path) -> None:
    """Draws the matrix to a PNG file, each row as shares of its label, with the counts where they can be read.

    Raises:
        UserError: the file cannot be written.
    """
    # Imported only here: a second that runs without a picture need not spend. Figure, not pyplot: no global state.
    from matplotlib.figure import Figure

    count = len(names)
    size = float(np.clip(1.8 + 0.42 * count, 4.0, 14.0))
    figure = Figure(figsize=(size + 0.8, size), dpi=120, layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [name if len(name) <= 16 else f"{name[:15]}\N{HORIZONTAL ELLIPSIS}" for name in names]
    if count <= MOST_NAMED:
        axes.set_xticks(range(count), shown, rotation=45 if count > 3 else 0, ha="right" if count > 3 else "center")
        axes.set_yticks(range(count), shown)
    axes.set(xlabel="taken for", ylabel="truth")
    if count <= MOST_NUMBERED:
        for i, j in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{confusion[i, j]}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the label")
    accuracy = np.trace(confusion) / max(confusion.sum(), 1)
    axes.set_title(f"{np.trace(confusion):,} of {confusion.sum():,} right ({accuracy:.1%})", loc="left", fontsize=11)
    save_figure(figure, path)
