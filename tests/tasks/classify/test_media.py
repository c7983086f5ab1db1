"""The classifier on images, recordings and clips."""

from __future__ import annotations

import importlib.util
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elman import Classifier, UserError
from elman.cli import main
from elman.data.images import read_idx
from elman.data.moving import moving_digits
from elman.data.sound import log_mel, read_wav

pytestmark = pytest.mark.usefixtures("eager")

SMALL = {"cell": "gru", "hidden_size": 24, "learning_rate": 0.01, "threads": 1, "schedule": "cosine"}


def small(**options: Any) -> Classifier:
    return Classifier(**SMALL | {"steps": 4, "evaluate_every": 2} | options)


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The digits of the examples."""
    path = Path(__file__).parents[3] / "examples" / "glyphs.py"
    spec = importlib.util.spec_from_file_location("glyphs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images, labels = module.glyphs(count, seed, size=8)
    return images, labels


def write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())


# Images


@pytest.mark.parametrize(
    ("options", "features", "steps", "least"),
    [
        ({"read_as": "rows"}, 8, 8, 0.95),
        pytest.param({"read_as": "patches", "patch": 4, "stride": 2}, 16, 9, 0.95, marks=pytest.mark.slow),
        pytest.param(
            {"read_as": "pixels", "cell": "cornn", "hidden_size": 48, "cell_args": {"dt": 0.2}, "steps": 800},
            1,
            64,
            0.9,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_reads_digits_each_way(options: dict[str, Any], features: int, steps: int, least: float) -> None:
    model = small(**{"steps": 160, "evaluate_every": 80, "batch_size": 64} | options).fit(*drawn(1000, seed=0))
    X, y = drawn(300, seed=1)
    assert model.score(X, y) >= least
    assert model._kept[0].steps[0].shape == (steps, features)


def test_shifts_are_drawn_anew_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    X, y = drawn(80, seed=0)
    options = {"read_as": "rows", "shift": 1, "evaluate_every": 3, "schedule": "constant"}
    whole = small(**options, steps=12).fit(X, y, run=tmp_path / "whole")
    small(**options, steps=6).fit(X, y, run=tmp_path / "parts")
    parts = small(**options, steps=12).fit(X, y, run=tmp_path / "parts", resume=True)
    still = small(**options | {"shift": 0}, steps=12).fit(X, y)
    for name, value in whole.net.state_dict().items():
        assert torch.equal(parts.net.state_dict()[name], value), name
        assert not torch.equal(still.net.state_dict()[name], value), name


def test_a_folder_of_pictures_from_training_to_prediction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image = pytest.importorskip("PIL.Image")
    X, y = drawn(60, seed=0)
    for number, (image, label) in enumerate(zip(X, y, strict=True)):
        path = tmp_path / "digits" / f"is-{label}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    run = str(tmp_path / "run")
    words = ["--read-as", "patches", "--patch", "4", "--cell", "gru", "--hidden-size", "24", "--threads", "1"]
    assert main(["train", "classify", "--data", str(tmp_path / "digits"), *words, "--steps", "4", "--run", run]) == 0
    capsys.readouterr()
    one = tmp_path / "digits" / f"is-{y[7]}" / "07.png"
    assert main(["predict", run, str(one), str(tmp_path / "digits"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 61 and answers[0]["input"] == str(one)
    model = Classifier.load(run)
    assert model.encoder_.image is not None and model.encoder_.image.patch == 4
    assert answers[0]["label"] == model.predict(X[7:8])[0], "from a picture as from an array"
    assert model.evaluate(tmp_path / "digits")["examples"] == 60
    (tmp_path / "digits" / "is-0" / "broken.png").write_bytes(b"?")
    with pytest.raises(UserError, match=r"cannot read .*broken.png as a picture"):
        model.evaluate(tmp_path / "digits")


def test_images_in_the_format_of_mnist(tmp_path: Path) -> None:
    X, y = drawn(60, seed=0)
    write_idx(tmp_path / "a-images-idx3-ubyte", X)
    write_idx(tmp_path / "a-labels-idx1-ubyte", y.astype(np.uint8))
    np.save(tmp_path / "new.npy", X)
    model = small(read_as="rows").fit(tmp_path / "a-images-idx3-ubyte")
    expected = small(read_as="rows").fit(X, y)
    for given in (X, tmp_path / "new.npy", tmp_path / "a-images-idx3-ubyte"):
        np.testing.assert_array_equal(model.predict_proba(given), expected.predict_proba(X))
    assert [record["label"] for record, _ in model.predictions([str(tmp_path / "new.npy")], 1)] == model.predict(
        X
    ).tolist()


@pytest.mark.slow
def test_mnist_by_rows(shared_data: Path) -> None:
    images, labels = (
        read_idx(shared_data / "mnist" / f"t10k-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    )
    model = Classifier(
        cell="gru", hidden_size=64, read_as="rows", shift=1, epochs=5, learning_rate=4e-3, schedule="cosine", threads=1
    ).fit(images[:8000], labels[:8000].astype(int))
    assert model.score(images[8000:], labels[8000:].astype(int)) >= 0.97


# Sounds


def test_recordings_in_folders_and_in_a_column_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    rows = ["file,kind"]
    for number in range(40):
        kind, pitch = ("low", 300) if number % 2 else ("high", 1200)
        length = int(draw.integers(600, 900))
        time = np.arange(length) / 8000
        samples = 0.4 * np.sin(2 * np.pi * pitch * draw.uniform(0.8, 1.25) * time) + draw.normal(0, 0.05, length)
        write_wav(tmp_path / "sounds" / kind / f"{number:02}.wav", samples)
        rows.append(f"sounds/{kind}/{number:02}.wav,{kind}")
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    options = {"rate": 8000, "mels": 16, "window_ms": 20.0, "steps": 60, "evaluate_every": 30}
    model = small(**options).fit(tmp_path / "sounds")
    assert model.score(tmp_path / "sounds") == 1.0
    files = [tmp_path / row.split(",")[0] for row in rows[1:]]
    given = [log_mel(*read_wav(file), mels=16, window_ms=20.0) for file in files]
    np.testing.assert_array_equal(model.predict_proba(given), model.predict_proba(tmp_path / "a.csv"))
    monkeypatch.chdir(tmp_path)
    assert model.evaluate("sounds") == model.evaluate(tmp_path / "sounds")
    assert small(**options | {"steps": 2}, label="kind").fit(tmp_path / "a.csv").classes_.tolist() == ["high", "low"]
    (tmp_path / "a.csv").write_text("file,kind\nsounds/gone.wav,low\n")
    with pytest.raises(UserError, match=r"a.csv row 2, column 'file': cannot read .*gone.wav: No such file"):
        small(label="kind").fit(tmp_path / "a.csv")


# Clips


def test_it_says_what_moves_in_a_clip(tmp_path: Path) -> None:
    X, y = drawn(400, seed=0)
    chosen = y < 4
    clips = [
        moving_digits(X[chosen], y[chosen], count, steps=6, size=12, speed=1.0, noise=0.05, seed=seed)
        for seed, count in enumerate((400, 200))
    ]
    model = small(frames="cnn", frame_size=24, steps=150, evaluate_every=75, pooling="mean").fit(*clips[0])
    assert model.score(*clips[1]) >= 0.93
    model.save(tmp_path / "model")
    np.savez(tmp_path / "clips.npz", x=clips[1].frames, y=clips[1].labels)
    again = Classifier.load(tmp_path / "model")
    assert again.encoder_.shape == (12, 12)
    assert again.evaluate(tmp_path / "clips.npz") == model.evaluate(*clips[1])


# Mistakes


@pytest.mark.parametrize(
    ("options", "X", "sentence"),
    [
        ({"read_as": "row"}, np.zeros((4, 8, 8)), "read_as is 'row'; did you mean 'rows'?"),
        ({"read_as": "rows"}, np.zeros((4, 6, 8, 8, 1)), "leave read_as out for clips"),
        ({"read_as": "patches", "patch": 9}, np.zeros((4, 8, 8)), "an image of 8 x 8 pixels has no patch of 9 x 9"),
        ({"stride": 0}, np.zeros((4, 8, 8)), "stride is 0; expected a whole number of at least 1"),
        ({"shift": 1}, np.zeros((4, 8, 8)), "shift=1 moves images; say with read_as how they are read"),
        ({"shift": -1, "read_as": "rows"}, np.zeros((4, 8, 8)), "shift is -1; expected a number of pixels"),
        ({"frames": "cnn"}, np.zeros((4, 6, 8)), "a step has the axes (8,); the convolutional net reads frames"),
        ({"frames": "cnn", "read_as": "rows"}, np.zeros((4, 8, 8)), "read_as='rows' makes an image a sequence"),
        ({"hop_ms": 0.0}, np.zeros((4, 8, 8)), "hop_ms is 0.0; expected milliseconds, above 0"),
        ({"mels": 0}, np.zeros((4, 8, 8)), "mels is 0; expected a whole number of at least 1"),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], X: np.ndarray, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        small(**options).fit(X, [0, 1, 0, 1])
    assert sentence in str(caught.value)
