"""Pictures and recordings as examples: single files, folders with a sub-folder a label, columns of paths, IDX files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .images import is_idx, read_idx
from .pictures import PICTURE_ENDINGS, read_picture
from .sound import SoundReading, read_wav
from .table import Table, read_table

MEDIA_ENDINGS = (*PICTURE_ENDINGS, ".wav")
"""The endings of files that hold one example each."""


@dataclass(frozen=True)
class Files(Table):
    """A table of which each record is a file, named by its path in column "x"."""

    def place(self, record: int, column: str | None = None) -> str:
        return str(self.columns["x"][record])


def read_examples(path: str | Path, encoding: str = "utf-8") -> Table:
    """The examples of a file or folder as a table, pictures and recordings by their paths; see `loaded`.

    - a folder with a folder for each label, pictures or .wav files in them; or a folder of such files, without labels.
    - a picture or a .wav file: one example.
    - an IDX file of images, MNIST's format; the labels are in the file beside it with labels for images and idx1 for
      idx3 in its name, where there is one.
    - .npy: an array of examples without labels; all that `read_table` reads.

    `UserError`: nothing there, a folder without such files, other labels than images, and all of `read_table`.
    """
    given = str(path)
    path = Path(path).expanduser()
    if given != "-" and path.is_dir():
        return _folder(path)
    if is_media(path):
        if not path.exists():
            raise UserError(f"cannot read {path}: there is no such file; check the name")
        return Files(path.name, {"x": [str(path)]}, [1])
    if path.suffix.lower() == ".npy":
        return _array(path)
    return _idx(path) if is_idx(path) else read_table(given, encoding)


def is_media(path: str | Path) -> bool:
    """Whether a file holds one example, by its ending."""
    return str(path).lower().endswith(MEDIA_ENDINGS)


def loaded(paths: Sequence[str], folder: Path, place: Callable[[int], str], sound: SoundReading) -> list[NDArray[Any]]:
    """What pictures and recordings at these paths, seen from ``folder``, hold: (H, W[, C]), and (T, mels) by ``sound``.

    `UserError` for a file that cannot be read, with its place.
    """
    read = []
    for i, each in enumerate(paths):
        path = folder / Path(each).expanduser()
        try:
            read.append(sound(*read_wav(path)) if path.suffix.lower() == ".wav" else read_picture(path))
        except UserError as mistake:
            raise UserError(str(mistake) if place(i) == each else f"{place(i)}: {mistake}") from mistake
    return read


def _folder(path: Path) -> Table:
    of_labels = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    files = [
        (file, folder.name) for folder in of_labels or [path] for file in sorted(folder.iterdir()) if is_media(file)
    ]
    if not files:
        what = "the folders in it" if of_labels else "it"
        raise UserError(f"{path} holds no examples: expected files ending in {', '.join(MEDIA_ENDINGS)} in {what}")
    columns: dict[str, Sequence[Any]] = {"x": [str(file) for file, _ in files]}
    if of_labels:
        columns["label"] = [label for _, label in files]
    return Files(path.name, columns, range(1, len(files) + 1))


def _array(path: Path) -> Table:
    try:
        array: Any = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the name") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is no NumPy .npy file of a plain array ({error}); write it with numpy.save") from error
    if np.ndim(array) < 2:
        raise UserError(f"{path} holds an array {np.shape(array)}; expected an example a row, (n, ...)")
    return Table(path.name, {"x": array}, range(len(array)))


def _idx(path: Path) -> Table:
    images: Any = read_idx(path)
    columns: dict[str, Sequence[Any]] = {"x": images}
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside != path and beside.exists():
        labels = read_idx(beside)
        if labels.shape != (len(images),):
            raise UserError(f"{beside} has labels {labels.shape} for {len(images)} images; expected one for each")
        columns["label"] = np.asarray(labels).tolist()
    return Table(path.name, columns, range(1, len(images) + 1))
