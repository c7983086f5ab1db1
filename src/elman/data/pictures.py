"""Pictures and labels of their pixels: from arrays, .npz files, single pictures, or folders of them."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""The endings of files that are read as pictures."""

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Pictures:
    """Pictures (height, width, C), of numbers of one type, and ``place(i)``, which says where picture i came from.

    ``labels`` has for each picture the labels of its pixels, (height, width), of whole numbers or texts.
    """

    images: Sequence[Numbers]
    place: Callable[[int], str]
    labels: Sequence[Numbers] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Sequence[int] | Numbers) -> Pictures:
        numbers = [int(row) for row in rows]
        labels = None if self.labels is None else [self.labels[row] for row in numbers]
        return Pictures([self.images[row] for row in numbers], lambda i: self.place(numbers[i]), labels)


def as_pictures(X: Any, y: Any = None, place: Callable[[int], str] | None = None) -> Pictures:
    """Arrays as pictures: X (n, height, width) or (n, height, width, C), y (n, height, width), or lists of such.

    ``place(i)`` is where picture i came from, for errors.

    Raises:
        UserError: with the place: no pictures, other axes, values that are no finite numbers, labels of another size.

    >>> as_pictures(np.zeros((2, 4, 5))).images[0].shape
    (4, 5, 1)
    >>> as_pictures(np.zeros((1, 4, 5, 3)), np.zeros((1, 5, 4), int))
    Traceback (most recent call last):
        ...
    elman.errors.UserError: X[0] is 5 x 4 pixels, its labels are 4 x 5; expected a label a pixel
    """
    where = place or (lambda i: f"X[{i}]")
    images = [_picture(each, where(i)) for i, each in enumerate(_members(X, "X"))]
    if not images:
        raise UserError("there are no pictures; give at least one")
    for i, image in enumerate(images):
        if image.shape[2] != images[0].shape[2]:
            kinds = [{1: "grey"}.get(each.shape[2], f"of {each.shape[2]} channels") for each in (image, images[0])]
            raise UserError(f"{where(i)} is {kinds[0]}, {where(0)} is {kinds[1]}; convert them all to one kind")
    if y is None:
        return Pictures(images, where)
    labels = [_label_map(each, where(i)) for i, each in enumerate(_members(y, "y"))]
    if len(labels) != len(images):
        raise UserError(f"X has {len(images)} pictures, y has {len(labels)}; expected one for each")
    for i, (image, map_) in enumerate(zip(images, labels, strict=True)):
        if image.shape[:2] != map_.shape:
            raise UserError(
                f"{where(i)} is {_size(image)} pixels, its labels are {_size(map_)}; expected a label a pixel"
            )
    return Pictures(images, where, labels)


def read_pictures(path: str | Path, *, labelled: bool = False) -> Pictures:
    """The pictures of a file or folder, with the labels of their pixels where ``labelled``.

    - .npz: arrays images (or x) and labels (or y), as for `as_pictures`.
    - a folder with the folders images/ and labels/, each label picture named as its image but for the ending. A label
      is the number a pixel has (grey or palette), or its colour as text, such as "#804020".
    - without ``labelled`` also a folder of pictures, or one picture.

    `UserError`: nothing there, a file that cannot be read as what it says it is, an image without labels, and all that
    `as_pictures` refuses, with the file's name.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _folder(path, labelled)
    if path.suffix.lower() == ".npz":
        return _arrays(path, labelled)
    if path.suffix.lower() in PICTURE_ENDINGS and not labelled:
        return as_pictures([read_picture(path)], None, lambda i: str(path))
    expected = "a .npz file, or a folder with images/ and labels/"
    if not labelled:
        expected = f".npz, a folder, or {', '.join(PICTURE_ENDINGS)}"
    if not path.exists():
        raise UserError(f"cannot read {path}: no such file or folder; expected {expected}")
    raise UserError(f"{path} is no set of pictures; expected {expected}")


def _folder(path: Path, labelled: bool) -> Pictures:
    images = path / "images" if labelled or (path / "images").is_dir() else path
    files = _files(images)
    place = lambda i: str(files[i])  # noqa: E731
    if not labelled:
        return as_pictures([read_picture(file) for file in files], None, place)
    of = {file.stem: file for file in _files(path / "labels")}
    for file in files:
        if file.stem not in of:
            raise UserError(f"{file} has no labels: there is no {path / 'labels' / file.stem}.png; add it")
    return as_pictures([read_picture(file) for file in files], [_read_labels(of[file.stem]) for file in files], place)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; expected images/ and labels/ with a picture each")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_ENDINGS)
    if not files:
        raise UserError(f"{folder} holds no pictures; expected files that end in {', '.join(PICTURE_ENDINGS)}")
    return files


def _arrays(path: Path, labelled: bool) -> Pictures:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the name") from error
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path} is no NumPy .npz file of plain arrays ({error}); write it with numpy.savez") from error
    wanted = (("images", "x"), ("labels", "y"))[: 1 + labelled]
    found = [next((arrays[name] for name in names if name in arrays), None) for names in wanted]
    for names, array in zip(wanted, found, strict=True):
        if array is None:
            have = ", ".join(map(repr, arrays)) or "nothing"
            raise UserError(f"{path} has no array {names[0]!r}, but {have}; expected images and labels")
    return as_pictures(found[0], found[1] if labelled else None, lambda i: f"{path.name} picture {i}")


def read_picture(path: Path) -> Numbers:
    """The pixels of a picture file, (height, width) where it is grey, else (height, width, 3); `UserError` for none."""
    with _opened(path) as picture:
        grey = picture.mode in ("1", "L", "I", "I;16", "F")
        return np.asarray(picture if grey and picture.mode != "1" else picture.convert("L" if grey else "RGB"))


def _read_labels(path: Path) -> Numbers:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise UserError(f"{path} is a JPEG file, which blurs labels; save them as PNG")
    with _opened(path) as picture:
        if picture.mode in ("1", "L", "P", "I", "I;16"):
            return np.asarray(picture).astype(np.int64)
        colours = np.asarray(picture.convert("RGB")).astype(np.int64) @ (65536, 256, 1)
    found, which = np.unique(colours, return_inverse=True)
    return np.array([f"#{colour:06x}" for colour in found])[which].reshape(colours.shape)


@contextlib.contextmanager
def _opened(path: Path) -> Any:
    # Imported only here: reading arrays needs no library of pictures.
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
            yield picture
    except OSError as error:
        raise UserError(f"cannot read {path} as a picture: {error.strerror or error}; check the file") from error


def _members(X: Any, name: str) -> Any:
    """X as something to go through, picture by picture."""
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    if (isinstance(X, np.ndarray) and X.ndim == 0) or not isinstance(X, np.ndarray | list | tuple):
        raise UserError(f"{name} is a {type(X).__name__}; expected an array or a list of arrays, one a picture")
    return X


def _picture(each: Any, place: str) -> Numbers:
    image = np.asarray(each)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or not image.size:
        raise UserError(
            f"{place} is {np.shape(each)}; expected a picture, (height, width) or (height, width, channels)"
        )
    if image.dtype.kind not in "buif":
        raise UserError(f"{place} holds {image.dtype} values; expected numbers")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        row, column, channel = np.argwhere(~np.isfinite(image))[0]
        raise UserError(f"{place} is {image[row, column, channel]} at row {row}, column {column}; expected numbers")
    return image


def _label_map(each: Any, place: str) -> Numbers:
    labels = np.asarray(each)
    if labels.ndim == 3 and labels.shape[2] == 1:
        labels = labels[..., 0]
    if labels.ndim != 2:
        raise UserError(f"the labels of {place} are {labels.shape}; expected one a pixel, (height, width)")
    if labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "buiUO":
        raise UserError(f"the labels of {place} are {labels.dtype}; expected whole numbers or texts")
    return labels


def _size(image: Numbers) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
