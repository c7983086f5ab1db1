from __future__ import annotations

import gzip
import wave
from pathlib import Path

import numpy as np
import pytest

from elman import UserError
from elman.data.media import loaded, read_examples
from elman.data.sound import SoundReading, log_mel

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 5, 4)).astype(np.uint8)


def write_picture(path: Path, image: np.ndarray) -> None:
    Image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path)


def write_idx(path: Path, array: np.ndarray) -> None:
    data = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())


def test_a_folder_for_each_label(tmp_path: Path) -> None:
    for name, image in zip(("b/1.png", "a/2.png", "b/0.png"), IMAGES, strict=True):
        write_picture(tmp_path / name, image)
    (tmp_path / "b" / "notes.txt").write_text("not an example")
    table = read_examples(tmp_path)
    assert table.columns["label"] == ["a", "b", "b"]
    assert table.place(0) == str(tmp_path / "a" / "2.png")
    read = loaded(table.columns["x"], tmp_path, table.place, SoundReading())
    for one, other in zip(read, IMAGES[[1, 2, 0]], strict=True):
        assert (one == other).all()
    flat = read_examples(tmp_path / "b")
    assert list(flat.columns) == ["x"] and len(flat) == 2, "without labels"
    assert len(read_examples(tmp_path / "a" / "2.png")) == 1


def test_recordings_become_log_mel(tmp_path: Path) -> None:
    samples = 0.5 * np.sin(np.arange(900) / 5)
    write_wav(tmp_path / "low" / "a.wav", samples)
    table = read_examples(tmp_path)
    reading = SoundReading(8000, 20, 20, 5)
    read = loaded(table.columns["x"], tmp_path, table.place, reading)[0]
    rounded = np.round(samples * 32767) / 32768
    np.testing.assert_allclose(read, log_mel(rounded, 8000, 20, 20, 5), rtol=1e-5)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_images_in_the_format_of_mnist_find_their_labels(ending: str, tmp_path: Path) -> None:
    images, labels = (tmp_path / f"t10k-{kind}-ubyte{ending}" for kind in ("images-idx3", "labels-idx1"))
    write_idx(images, IMAGES)
    assert list(read_examples(images).columns) == ["x"]
    write_idx(labels, np.array([7, 2, 7]))
    table = read_examples(images)
    assert (table.columns["x"] == IMAGES).all() and table.columns["label"] == [7, 2, 7]
    assert table.place(1) == f"{images.name} row 2"
    write_idx(labels, np.array([7, 2]))
    with pytest.raises(UserError, match=r"has labels \(2,\) for 3 images"):
        read_examples(images)


def test_an_array_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    assert (read_examples(tmp_path / "a.npy").columns["x"] == IMAGES).all()
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"holds an array \(3,\); expected an example a row"):
        read_examples(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"is no NumPy \.npy file"):
        read_examples(tmp_path / "a.npy")


def test_files_that_are_not_there_or_not_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for path, sentence in (
        (tmp_path, "holds no examples: expected files ending in .png"),
        (tmp_path / "gone.png", "cannot read .*gone.png: there is no such file"),
        (tmp_path / "gone.npy", "cannot read .*gone.npy: No such file"),
        (tmp_path / "train-images-idx3-ubyte", "No such file"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_examples(path)
    (tmp_path / "a" / "a.wav").write_bytes(b"?")
    with pytest.raises(UserError, match=r"a.csv row 2: .*a.wav is no WAV file"):
        loaded(["a/a.wav"], tmp_path, lambda i: "a.csv row 2", SoundReading())
