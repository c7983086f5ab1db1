"""Clips of moving digits, made from images of digits that the caller gives."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError


class Clips(NamedTuple):
    """``frames`` (n, T, size, size) uint8, ``labels`` (n,) or, one a frame, (n, T)."""

    frames: NDArray[np.uint8]
    labels: NDArray[Any]


def moving_digits(
    images: NDArray[Any],
    labels: NDArray[Any],
    count: int,
    *,
    steps: int = 16,
    size: int = 32,
    speed: float = 2.0,
    hidden: float = 0.3,
    noise: float = 0.1,
    changing: bool = False,
    seed: int = 0,
) -> Clips:
    """Clips in which a digit drifts, bounces off the edges, and is never seen whole (after Srivastava et al. 2015).

    The digit moves in a straight line at ``speed`` pixels a frame in a direction drawn at random, and turns at the
    edges. In every frame a bar of random place, upright or level, hides the share ``hidden`` of the square the digit
    stands in, and every pixel has Gaussian noise. So one frame often fits several digits, and what was seen before
    helps. Images, places, directions, bars and noise are drawn by ``seed``.

    Args:
        images: digits (N, h, w), uint8, light on dark.
        labels: what each shows, (N,).
        count: clips n.
        steps: frames T.
        size: pixels of a frame's side.
        speed: pixels a frame.
        hidden: share of the digit's square that the bar covers, 0 or more and below 1.
        noise: deviation of the noise, where 1 is the range from black to white.
        changing: once in every clip, between the end of its first quarter and the first frame of its last, the digit
            becomes another image, which may be of the same label, and labels are one a frame; else one a clip.
        seed: where the random numbers start.

    Raises ``UserError`` for images that are not (N, h, w) uint8 or larger than a frame, none at all, or all alike where
    they are to change, labels that are not one an image, and shares out of range.

    >>> glyphs = np.full((2, 6, 6), 255, np.uint8)
    >>> clips = moving_digits(glyphs, np.array([3, 5]), 4, steps=8, size=10, hidden=0.0, noise=0.0)
    >>> clips.frames.shape, (clips.frames.sum((2, 3)) == 36 * 255).all()
    ((4, 8, 10, 10), np.True_)
    """
    images, labels = np.asarray(images), np.asarray(labels)
    _check(images, labels, count, steps, size, hidden)
    if changing and (images == images[0]).all():
        raise UserError("all images are the same; expected another one to change to, or leave changing out")
    draw = np.random.default_rng(seed)
    side = np.array(images.shape[1:])
    frames = np.empty((count, steps, size, size), np.uint8)
    said = np.empty((count, steps), labels.dtype)
    for clip in range(count):
        which = np.full(steps, draw.integers(len(images)))
        if changing:
            other = _another(draw, images, which[0])
            which[draw.integers(steps // 4, steps - steps // 4 + 1) :] = other
        corners = _path(draw, size - side, steps, speed)
        for step, (number, corner) in enumerate(zip(which, corners, strict=True)):
            canvas = np.zeros((size, size))
            there = tuple(slice(start, start + length) for start, length in zip(corner, side, strict=True))
            canvas[there] = _barred(draw, images[number], hidden)
            canvas += draw.normal(0.0, 255 * noise, canvas.shape)
            frames[clip, step] = canvas.clip(0, 255).round()
        said[clip] = labels[which]
    return Clips(frames, said if changing else said[:, 0])


def _another(draw: np.random.Generator, images: NDArray[np.uint8], number: int) -> int:
    """The number of an image that does not look as that one does."""
    while True:
        other = int(draw.integers(len(images)))
        if (images[other] != images[number]).any():
            return other


def _path(draw: np.random.Generator, room: NDArray[Any], steps: int, speed: float) -> NDArray[np.int64]:
    """Upper left corners, (T, 2), of what moves in a box with so much room, (2,)."""
    angle = draw.uniform(0, 2 * np.pi)
    way = draw.uniform(0, room + 1e-9) + speed * np.arange(steps)[:, None] * np.array([np.sin(angle), np.cos(angle)])
    # A straight line folded at both edges: the way of what bounces.
    folded = np.abs((way + room) % np.maximum(2 * room, 1) - room)
    return np.minimum(folded.round().astype(np.int64), room)


def _barred(draw: np.random.Generator, image: NDArray[np.uint8], hidden: float) -> NDArray[np.uint8]:
    axis = int(draw.integers(2))
    length = round(hidden * image.shape[axis])
    start = int(draw.integers(image.shape[axis] - length + 1))
    barred = image.copy()
    barred[(slice(None),) * axis + (slice(start, start + length),)] = 0
    return barred


def _check(images: NDArray[Any], labels: NDArray[Any], count: int, steps: int, size: int, hidden: float) -> None:
    if images.ndim != 3 or images.dtype != np.uint8:
        raise UserError(f"images are {images.dtype} {images.shape}; expected uint8 (N, height, width)")
    if not len(images):
        raise UserError("there are no images; give at least one")
    if labels.shape != (len(images),):
        raise UserError(f"labels are {labels.shape} for {len(images)} images; expected one for each")
    if max(images.shape[1:]) > size:
        height, width = images.shape[1:]
        raise UserError(f"a digit is {width} x {height} pixels, a frame {size} x {size}; make the frames larger")
    for name, value, least in (("count", count, 1), ("steps", steps, 4)):
        if value < least:
            raise UserError(f"{name} is {value}; expected a whole number of at least {least}")
    if not 0 <= hidden < 1:
        raise UserError(f"hidden is {hidden}; expected a share, 0 or more and below 1")
