from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman import UserError
from elman.data import Encoder, as_sequences
from elman.data.images import ImageReading, is_idx, moved_about, read_idx, shifted


@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
def test_each_reading_holds_the_pixels_it_says(height: int, width: int, channels: int, patch: int, stride: int) -> None:
    image = np.arange(height * width * channels, dtype=np.float32).reshape(height, width, channels)
    flat = image.reshape(height, -1)
    rows = ImageReading("rows", (width, channels))
    pixels = ImageReading("pixels", (width, channels))
    patches = ImageReading("patches", (width, channels), patch, stride)
    assert rows(flat).tolist() == [image[r].ravel().tolist() for r in range(height)]
    assert pixels(flat).tolist() == [image[r, c].tolist() for r in range(height) for c in range(width)]
    if patch > min(height, width):
        with pytest.raises(UserError, match=f"of {width} x {height} pixels has no patch of {patch} x {patch}"):
            patches(flat)
        return
    expected = [
        image[r : r + patch, c : c + patch].ravel().tolist()
        for r in range(0, height - patch + 1, stride)
        for c in range(0, width - patch + 1, stride)
    ]
    assert patches(flat).tolist() == expected
    for reading in (rows, pixels, patches):
        assert reading(flat).shape[1] == reading.features


def test_what_is_no_image_is_not_read_as_one() -> None:
    with pytest.raises(UserError, match=r"an example is \(height, 4, 5, 1\); leave read_as out for clips"):
        ImageReading.of("rows", (4, 5, 1), 7, 3)
    with pytest.raises(UserError, match="say with step_size how many make a row of the image"):
        Encoder.learned(as_sequences(np.zeros((2, 16))), read_as="pixels")
    with pytest.raises(UserError, match="read_as='rows' reads images, but the examples are texts"):
        Encoder.learned(as_sequences(["a", "b"]), read_as="rows")


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_a_shift_moves_what_is_inside_and_repeats_the_edge(down: int, right: int) -> None:
    image = np.random.default_rng(0).integers(0, 9, (5, 6, 2))
    moved = shifted(image.reshape(5, 12), down, right, channels=2).reshape(5, 6, 2)
    for r in range(5):
        for c in range(6):
            assert (moved[r, c] == image[min(max(r - down, 0), 4), min(max(c - right, 0), 5)]).all()


def test_every_shift_within_bounds_is_drawn() -> None:
    spot = np.zeros((300, 7, 7), np.float32)
    spot[:, 3, 3] = 1
    moved = moved_about(as_sequences(spot), 2)
    places = {tuple(np.argwhere(item)[0].tolist()) for item in moved.items}
    assert places == {(r, c) for r in range(1, 6) for c in range(1, 6)}
    torch.manual_seed(3)
    first = moved_about(as_sequences(spot), 2).items
    torch.manual_seed(3)
    assert all((a == b).all() for a, b in zip(first, moved_about(as_sequences(spot), 2).items, strict=True))


def test_images_have_one_mean_and_deviation_for_all_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3)).astype(np.uint8)
    images[:, :, 0] = 0  # a border that never changes, alone, would not be scaled as the rest
    for read_as in ("rows", "pixels", "patches"):
        encoder = Encoder.learned(as_sequences(images), read_as=read_as, patch=2, stride=1)
        again = Encoder.from_document(encoder.document(), "here")
        assert again == encoder
        rows = [item.reshape(6, 15).astype(np.float64) for item in images]
        expected = [(encoder.image(row) - images.mean()) / images.std() for row in rows]
        for one, other in zip(again(as_sequences(images)), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match=r"X\[0\] has 4 x 3 features a step; the model was trained on 5 x 3"):
        encoder(as_sequences(images[:, :, :4]))


def test_rows_need_not_be_cut_already() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 8))
    cut, flat = as_sequences(images), as_sequences(images.reshape(3, 48), step_size=8)
    encoders = [Encoder.learned(each, read_as="patches", patch=3, stride=2) for each in (cut, flat)]
    assert encoders[0] == encoders[1]
    for one, other in zip(encoders[0](cut), encoders[1](flat), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_must_be_as_high_and_as_wide() -> None:
    encoder = Encoder.learned(as_sequences(np.random.default_rng(0).random((2, 3, 4, 6))))
    assert encoder(as_sequences(np.zeros((1, 5, 24))))[0].shape == (5, 24), "flat"
    assert encoder(as_sequences(np.zeros((1, 5, 4, 6, 1))))[0].shape == (5, 24)
    with pytest.raises(UserError, match=r"X\[0\] has 6 x 4 features a step; the model was trained on 4 x 6"):
        encoder(as_sequences(np.zeros((1, 5, 6, 4))))


def idx(array: np.ndarray, kind: int) -> bytes:
    return bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.mark.parametrize(("kind", "name"), [(8, ">u1"), (9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_idx_files_of_every_type(kind: int, name: str, tmp_path: Path) -> None:
    array = (np.arange(12).reshape(2, 3, 2) * 10).astype(name)
    (tmp_path / "a.idx").write_bytes(idx(array, kind))
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(idx(array, kind)))
    for file in ("a.idx", "a.idx.gz"):
        read = read_idx(tmp_path / file)
        assert read.dtype.isnative and (read == array).all()
        assert is_idx(file)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"PNG", "is no IDX file: it starts with 50 4e 47"),
        (idx(np.zeros((2, 3), ">u1"), 8)[:-1], r"has 17 bytes; an IDX file of \(2, 3\) has 18"),
        (b"\0\0\x08\x03\0\0", "ends after 6 bytes, before the sizes of its 3 axes"),
        (b"\x1f\x8b\0", "cannot read"),
    ],
)
def test_broken_idx_files(data: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a-ubyte").write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        read_idx(tmp_path / "a-ubyte")
