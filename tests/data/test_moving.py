from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elman import UserError
from elman.data.moving import moving_digits

SQUARES = np.stack([np.full((6, 6), 100, np.uint8), np.full((6, 6), 200, np.uint8)])
LABELS = np.array([3, 8])
PLAIN = {"steps": 12, "size": 15, "hidden": 0.0, "noise": 0.0}


def corners(frames: np.ndarray) -> np.ndarray:
    """Where the digit's square begins, (T, 2)."""
    return np.array([np.argwhere(frame)[0] for frame in frames])


def test_a_digit_moves_straight_and_turns_at_the_edges() -> None:
    clips = moving_digits(SQUARES, LABELS, 40, **PLAIN | {"speed": 2.0, "steps": 40})
    bounces = 0
    for frames, label in zip(clips.frames, clips.labels, strict=True):
        assert (frames.sum((1, 2)) == 36 * (100 if label == 3 else 200)).all(), "whole in every frame"
        place = corners(frames)
        assert place.min() >= 0 and place.max() <= 9
        steps = np.diff(place, axis=0)
        assert np.abs(steps).max() <= 3, "no jumps"
        # Whole pixels of a straight way with corners: of one axis all steps but those at a turn have one size.
        bounces += int((np.abs(np.diff(np.sign(steps), axis=0)) == 2).sum())
        inside = ((place[1:] > 2) & (place[1:] < 7) & (place[:-1] > 2) & (place[:-1] < 7)).all(1)
        lengths = np.hypot(*steps[inside].T)
        assert (np.abs(lengths - 2) <= 1.5).all()
    assert bounces > 40


def test_labels_of_frames_change_with_the_digit() -> None:
    clips = moving_digits(SQUARES, LABELS, 60, **PLAIN, changing=True)
    assert clips.labels.shape == (60, 12)
    shown = np.where(clips.frames.max((2, 3)) == 100, 3, 8)
    assert (shown == clips.labels).all()
    changes = (np.diff(clips.labels, axis=1) != 0).sum(1)
    assert (changes == 1).all(), "always, and to another image"
    where = {int(np.flatnonzero(row)[0]) + 1 for row in np.diff(clips.labels, axis=1) if row.any()}
    assert where <= set(range(3, 10)) and len(where) >= 5


def test_a_digit_changes_to_one_that_looks_otherwise() -> None:
    # Two that look alike, one that does not but is of the same label.
    clips = moving_digits(SQUARES[[0, 0, 1]], np.array([3, 4, 3]), 60, **PLAIN, changing=True)
    shown = clips.frames.max((2, 3))
    assert ((np.diff(shown.astype(int), axis=1) != 0).sum(1) == 1).all()
    assert (np.diff(clips.labels, axis=1) != 0).any(1).mean() < 0.7, "a label may stay"


def test_a_bar_hides_its_share_and_no_more() -> None:
    clips = moving_digits(SQUARES, LABELS, 30, **PLAIN | {"hidden": 0.5})
    for frames, label in zip(clips.frames, clips.labels, strict=True):
        assert (frames.sum((1, 2)) == 18 * (100 if label == 3 else 200)).all()
    upright = [len(np.unique(np.argwhere(frame)[:, 0])) == 6 for frame in clips.frames.reshape(-1, 15, 15)]
    assert 0.3 < np.mean(upright) < 0.7


def test_noise_has_the_deviation_asked_for() -> None:
    grey = np.full((1, 20, 20), 128, np.uint8)
    clips = moving_digits(grey, np.array([0]), 10, steps=8, size=20, hidden=0.0, noise=0.1)
    assert clips.frames.std() == pytest.approx(25.5, rel=0.05)


def test_the_seed_decides() -> None:
    one, same, other = (moving_digits(SQUARES, LABELS, 3, seed=seed).frames for seed in (1, 1, 2))
    assert (one == same).all() and (one != other).any()
    assert one.shape == (3, 16, 32, 32) and one.dtype == np.uint8


@pytest.mark.parametrize(
    ("images", "labels", "options", "sentence"),
    [
        (SQUARES / 255, LABELS, {}, r"images are float64 \(2, 6, 6\); expected uint8"),
        (SQUARES, LABELS[:1], {}, r"labels are \(1,\) for 2 images"),
        (SQUARES, LABELS, {"size": 5}, "a digit is 6 x 6 pixels, a frame 5 x 5"),
        (SQUARES, LABELS, {"hidden": 1.0}, "hidden is 1.0; expected a share"),
        (SQUARES[[1, 1]], LABELS, {"changing": True}, "all images are the same; expected another one to change to"),
        (SQUARES[:1], LABELS[:1], {"changing": True}, "all images are the same"),
        (SQUARES[:0], LABELS[:0], {"changing": True}, "there are no images; give at least one"),
        (SQUARES, LABELS, {"steps": 3}, "steps is 3; expected a whole number of at least 4"),
    ],
)
def test_mistakes_are_told(images: np.ndarray, labels: np.ndarray, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        moving_digits(images, labels, 2, **options)
