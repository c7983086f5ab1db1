from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elman import UserError
from elman.data.pictures import as_pictures, read_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of colours with labels, grey and as colours."""
    draw = np.random.default_rng(0)
    for part in ("images", "labels", "colours"):
        (tmp_path / part).mkdir()
    for name in ("a", "b"):
        Image.fromarray(draw.integers(0, 256, (3, 4, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(draw.integers(0, 5, (3, 4), np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    return tmp_path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_arrays_lists_and_files_give_the_same(folder: Path) -> None:
    images = np.stack([pixels(folder / "images" / f"{name}.png") for name in "ab"])
    labels = np.stack([pixels(folder / "labels" / f"{name}.png") for name in "ab"])
    np.savez(folder / "set.npz", images=images, labels=labels)
    np.savez(folder / "xy.npz", x=images, y=labels.astype(float))
    for found in (
        as_pictures(images, labels),
        as_pictures(list(images), labels.tolist()),
        read_pictures(folder / "set.npz", labelled=True),
        read_pictures(folder / "xy.npz", labelled=True),
        read_pictures(folder, labelled=True),
    ):
        np.testing.assert_array_equal(np.stack(found.images), images)
        assert found.labels is not None
        np.testing.assert_array_equal(np.stack(found.labels), labels)
    for unlabelled in (folder, folder / "images", folder / "set.npz"):
        assert read_pictures(unlabelled).labels is None and len(read_pictures(unlabelled)) == 2
    np.testing.assert_array_equal(read_pictures(folder / "images" / "b.png").images[0], images[1])
    part = found[[1]]
    assert part.place(0) == str(folder / "images" / "b.png") and np.array_equal(part.labels[0], labels[1])


def test_palettes_grey_and_colours(tmp_path: Path) -> None:
    values = np.array([[0, 7], [255, 7]], np.uint8)
    palette = Image.fromarray(values, "P")
    palette.putpalette(bytes(range(256)) * 3)
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    Image.fromarray(values).save(tmp_path / "images" / "x.png")
    palette.save(tmp_path / "labels" / "x.png")
    found = read_pictures(tmp_path, labelled=True)
    assert found.labels is not None and np.array_equal(found.labels[0], values)
    assert found.images[0].shape == (2, 2, 1) and np.array_equal(found.images[0][..., 0], values)
    Image.fromarray(np.stack([values, values // 2, values * 0], -1)).save(tmp_path / "labels" / "x.png")
    coloured = read_pictures(tmp_path, labelled=True)
    assert coloured.labels is not None
    assert coloured.labels[0].tolist() == [["#000000", "#070300"], ["#ff7f00", "#070300"]]


@pytest.mark.parametrize(
    ("X", "y", "sentence"),
    [
        ([], None, "there are no pictures; give at least one"),
        (np.zeros((2, 3)), None, "X[0] is (3,); expected a picture, (height, width) or (height, width, channels)"),
        (np.array([["a"]])[None], None, "X[0] holds <U1 values; expected numbers"),
        (np.array([[[1.0, np.nan]]]), None, "X[0] is nan at row 0, column 1; expected numbers"),
        (
            [np.zeros((2, 2, 3)), np.zeros((2, 2))],
            None,
            "X[1] is grey, X[0] is of 3 channels; convert them all",
        ),
        (np.zeros((2, 2, 2)), np.zeros((1, 2, 2)), "X has 2 pictures, y has 1; expected one for each"),
        (np.zeros((1, 2, 3)), np.zeros((1, 2, 2)), "X[0] is 3 x 2 pixels, its labels are 2 x 2; expected a label"),
        (np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.5), "the labels of X[0] are float64; expected whole numbers"),
        (np.zeros((1, 2, 2)), np.zeros(1), "the labels of X[0] are (); expected one a pixel"),
        ("text", None, "X is a str; expected an array or a list of arrays"),
    ],
)
def test_what_are_no_pictures_is_told(X: Any, y: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        as_pictures(X, y)
    assert sentence in str(caught.value)


def test_files_that_are_wrong_are_named(folder: Path) -> None:
    def refused(path: Path, labelled: bool = True) -> str:
        with pytest.raises(UserError) as caught:
            read_pictures(path, labelled=labelled)
        return str(caught.value)

    assert refused(folder / "gone").endswith(
        "gone: no such file or folder; expected a .npz file, or a folder with images/ and labels/"
    )
    assert "a.png is no set of pictures; expected a .npz file" in refused(folder / "images" / "a.png")
    assert f"there is no folder {folder / 'images' / 'images'}" in refused(folder / "images")
    assert "colours holds no pictures; expected files that end in .png" in refused(folder / "colours", False)
    np.savez(folder / "set.npz", pictures=np.zeros((1, 2, 2)))
    assert "set.npz has no array 'images', but 'pictures'; expected images and labels" in refused(folder / "set.npz")
    (folder / "bad.npz").write_bytes(b"no")
    assert "bad.npz is no NumPy .npz file of plain arrays" in refused(folder / "bad.npz")
    (folder / "labels" / "b.png").rename(folder / "labels" / "c.png")
    assert "b.png has no labels: there is no" in refused(folder)
    (folder / "labels" / "b.png").write_bytes(b"no picture")
    assert f"cannot read {folder / 'labels' / 'b.png'} as a picture" in refused(folder)
    (folder / "labels" / "b.png").unlink()
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(folder / "labels" / "b.jpg")
    assert "b.jpg is a JPEG file, which blurs labels; save them as PNG" in refused(folder)
