"""Images as sequences: row by row, pixel by pixel, or by sliding patches; IDX files; small shifts for training."""

from __future__ import annotations

import dataclasses
import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UserError
from .sequences import Sequences

ReadAs = Literal["rows", "pixels", "patches"]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True)
class ImageReading:
    """How an image (H, W, C) becomes a sequence (T, F).

    "rows": T = H rows from the top, F = W C. "pixels": T = H W in the order of reading, F = C. "patches": squares of
    ``patch`` x ``patch`` pixels that slide by ``stride``, left to right and then down; F = patch patch C.

    Called with an image as ``Sequences`` holds it, (H, W C); `UserError` for a patch larger than the image.

    >>> image = np.arange(12.0).reshape(3, 4)
    >>> ImageReading("patches", (4, 1), patch=2, stride=2)(image).tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    >>> ImageReading("pixels", (4, 1))(image).shape
    (12, 1)
    """

    read_as: ReadAs
    row: tuple[int, int]
    """Pixels in a row, W, and numbers in a pixel, C."""
    patch: int = 7
    stride: int = 3

    @classmethod
    def of(cls, read_as: ReadAs, shape: tuple[int, ...], patch: int, stride: int) -> ImageReading:
        """For images of which a row has the axes ``shape``: (W,) or (W, C)."""
        if len(shape) > 2:
            axes = ", ".join(map(str, ("height", *shape)))
            raise UserError(
                f"read_as={read_as!r} reads images, but an example is ({axes}); leave read_as out for clips"
            )
        if shape == (1,):
            raise UserError(
                f"read_as={read_as!r} reads images, but an example is a row of single numbers; say with step_size how "
                "many make a row of the image"
            )
        return cls(read_as, (shape[0], math.prod(shape[1:])), patch, stride)

    @property
    def features(self) -> int:
        """Numbers a step, F."""
        width, channels = self.row
        return {"rows": width, "pixels": 1, "patches": self.patch**2}[self.read_as] * channels

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        if self.read_as == "rows":
            return image
        pixels = image.reshape(-1, *self.row)
        if self.read_as == "pixels":
            return pixels.reshape(-1, self.row[1])
        if min(pixels.shape[:2]) < self.patch:
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise UserError(
                f"an image of {size} pixels has no patch of {self.patch} x {self.patch}; take a smaller patch"
            )
        # (down, right, C, patch, patch), of every place one.
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (self.patch, self.patch), (0, 1))
        chosen = windows[:: self.stride, :: self.stride].transpose(0, 1, 3, 4, 2)
        return np.ascontiguousarray(chosen).reshape(-1, self.features)


def shifted(image: NDArray[Any], down: int, right: int, channels: int = 1) -> NDArray[Any]:
    """An image (H, W C) moved by so many pixels, up and left where negative; what comes in repeats the edge.

    >>> shifted(np.array([[1, 2], [3, 4]]), 1, 0).tolist(), shifted(np.array([[1, 2], [3, 4]]), 0, -1).tolist()
    ([[1, 2], [1, 2]], [[2, 2], [4, 4]])
    """
    pixels = image.reshape(len(image), -1, channels)
    height, width = pixels.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return pixels[rows[:, None], columns].reshape(image.shape)


def moved_about(images: Sequences, most: int) -> Sequences:
    """Every image moved by at most ``most`` pixels each way, drawn by PyTorch's random numbers."""
    by = torch.randint(-most, most + 1, (len(images), 2)).tolist()
    channels = math.prod(images.shape[1:])
    items = [shifted(image, down, right, channels) for image, (down, right) in zip(images.items, by, strict=True)]
    return dataclasses.replace(images, items=items)


def is_idx(path: str | Path) -> bool:
    """Whether a file is named as IDX files are: ...-ubyte, ...idx3-ubyte.gz, ....idx.

    >>> is_idx("train-images-idx3-ubyte.gz"), is_idx("train.csv")
    (True, False)
    """
    name = Path(path).name.lower().removesuffix(".gz")
    return name.endswith(("-ubyte", ".ubyte", ".idx")) or any(f"idx{axes}" in name for axes in "123")


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array in an IDX file, the format of MNIST (two zeros, type, number of axes, sizes, numbers); .gz is unpacked.

    `UserError` for no such file, and for one that is no whole IDX file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}; check the file") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES:
        raise UserError(f"{path} is no IDX file: it starts with {data[:4].hex(' ')}; expected 00 00, a type, the axes")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise UserError(f"{path} ends after {len(data)} bytes, before the sizes of its {data[3]} axes; fetch it again")
    shape = tuple(np.frombuffer(data[4:start], ">u4").astype(int).tolist())
    kind = np.dtype(IDX_TYPES[data[2]])
    expected = start + math.prod(shape) * kind.itemsize
    if len(data) != expected:
        raise UserError(f"{path} has {len(data)} bytes; an IDX file of {shape} has {expected}; fetch it again")
    return np.frombuffer(data[start:], kind).reshape(shape).astype(kind.newbyteorder("="))
