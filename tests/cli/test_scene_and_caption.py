"""Scene labelling and captions on the command line, from files to predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elman import Captioner, SceneLabeller

pytestmark = pytest.mark.usefixtures("eager")

SMALL = ["--cell", "gru", "--embedding-size", 8, "--threads", 1, "--steps", 6]


def test_scenes(call: Any, refused: Any, folder: Path) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (24, 4, 5, 3), np.uint8)
    labels = (images[..., 0] > 127).astype(int)
    labels[:, 0, 0] = 255
    np.savez("scenes.npz", images=images, labels=labels)
    said = call("train", "scene", "--data", "scenes.npz", "--ignore", 255, "--patch", 2,
                "--class-names", "dark", "bright", "--hidden-size", 10, *SMALL)  # fmt: skip
    assert said.code == 0 and not said.err
    lines = said.out.splitlines()
    assert lines[:2] == [
        "pictures  22 to learn from, 2 to judge by; 5 x 4 pixels, 3 channels",
        "labels    2: dark, bright",
    ]
    run = Path("runs/scene-gru-1")
    assert "mean IoU" in said.out and (run / "scenes.png").exists() and (run / "curves.png").exists()
    model = SceneLabeller.load(run)
    assert json.loads(call("evaluate", run, "--data", "scenes.npz", "--json").out) == model.evaluate("scenes.npz")
    Image.fromarray(images[0]).save("new.png")
    said = call("predict", run, "new.png", "--top", 2)
    assert said.out.startswith("new.png: ") and said.out.endswith(f"  -> {run / 'labels' / 'new.png'}\n")
    assert np.array_equal(np.asarray(Image.open(run / "labels" / "new.png")), model.predict("new.png")[0])
    assert refused("predict", run, "new.png", "--beam", 3).startswith(f"{run} writes no texts; beam and attention_map")


def test_names_of_classes(call: Any, refused: Any, folder: Path) -> None:
    rows = "".join(
        f"{kind},{name}\n" for kind, name in [("cat", "mia"), ("cat", "mio"), ("dog", "rex"), ("dog", "rax")]
    )
    Path("pets.csv").write_text("kind,name\n" + rows * 8)
    said = call("train", "caption", "--recipe", "names-by-class", "--data", "pets.csv", "--input", "kind", "--text",
                "name", "--valid-share", 0.3, "--hidden-size", 16, "--input-size", 8, *SMALL)  # fmt: skip
    assert said.code == 0 and not said.err
    assert said.out.splitlines()[0] == "classes   2: cat, dog"
    run = Path("runs/caption-gru-1")
    model = Captioner.load(run)
    assert model.settings_.search.temperature == 0.7
    said = call("predict", run, "dog", "cat", "--top", 3)
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["dog"] * 3 + ["cat"] * 3
    sentence = refused("predict", run, "dgo")
    assert sentence == "the command line: the label 'dgo' was not there in training; did you mean 'dog'?"
    assert refused("predict", run, "dog", "--attention-map", "x.png").startswith(
        "this model writes from classes, which"
    )
