from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elman import SceneLabeller, UserError
from elman.tasks.scene.estimator import Judgement, _batch, intersection_over_union
from elman.tasks.scene.figure import class_colours, write_labels

pytestmark = pytest.mark.usefixtures("eager")

SMALL = {"cell": "gru", "hidden_size": 10, "embedding_size": 8, "patch": 1, "learning_rate": 0.02, "batch_size": 8,
         "threads": 1}  # fmt: skip


def small(**options: Any) -> SceneLabeller:
    return SceneLabeller(**SMALL | {"steps": 4, "evaluate_every": 2} | options)


def scenes(count: int, seed: int = 0, height: int = 4, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Noise in which one bright pixel makes all of its row and its column class 1: no pixel tells its own class."""
    draw = np.random.default_rng(seed)
    images = draw.normal(100.0, 5.0, (count, height, width))
    labels = np.zeros((count, height, width), np.int64)
    for image, truth in zip(images, labels, strict=True):
        row, column = draw.integers(height), draw.integers(width)
        image[row, column] += 100.0
        truth[row], truth[:, column] = 1, 1
    return images, labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SceneLabeller:
    folder = tmp_path_factory.mktemp("scenes")
    X, y = scenes(100)
    np.savez(folder / "scenes.npz", images=X, labels=y)
    model = SceneLabeller(**SMALL | {"steps": 90, "evaluate_every": 45, "class_names": ("off", "on")})
    return model.fit(folder / "scenes.npz", run=folder / "run")


def test_it_learns_what_no_pixel_tells(trained: SceneLabeller) -> None:
    X, y = scenes(60, seed=1)
    found = trained.evaluate(X, y)
    assert found["accuracy"] >= 0.99 and found["iou"] >= 0.97 and found["loss"] < 0.05
    assert found["majority"] == pytest.approx(12 / 20)
    assert trained.score(X, y) == found["accuracy"] == (trained.predict(X) == y).mean()


def test_another_size_than_that_of_training(trained: SceneLabeller) -> None:
    X, y = scenes(40, seed=2, height=5, width=4)
    assert trained.score(X, y) >= 0.95


def mixed(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pictures of two sizes by turns."""
    sizes = (scenes(count, seed), scenes(count, seed + 1, height=5, width=4))
    X, y = ([each for pair in zip(*parts, strict=True) for each in pair] for parts in zip(*sizes, strict=True))
    return X, y


def test_pictures_of_several_sizes_are_learned_from() -> None:
    X, y = mixed(50)
    model = SceneLabeller(**SMALL | {"steps": 90, "evaluate_every": 45}).fit(X, y)
    X, y = mixed(20, seed=5)
    assert model.evaluate(X, y)["accuracy"] == model.score(X, y) >= 0.97
    answers, shares = model.predict(X), model.predict_proba(X)
    assert [each.shape for each in shares] == [(*each.shape, 2) for each in X]
    assert np.mean([(a == b).mean() for a, b in zip(answers, y, strict=True)]) == pytest.approx(model.score(X, y))
    assert np.array_equal(model.predict(X[::2]), answers[::2]) and isinstance(model.predict(X[::2]), np.ndarray)


def test_a_batch_of_several_sizes_is_its_parts() -> None:
    X, y = mixed(3)
    images, targets = [each[..., None].astype(np.float32) for each in X], [each.astype(np.int16) for each in y]
    batch = _batch(images, targets)
    assert batch.shapes == ((3, 4, 5), (3, 5, 4))
    for k, (part, wanted) in enumerate(batch.by_size()):
        assert np.array_equal(part, np.stack(images[k::2])) and np.array_equal(wanted, np.stack(targets[k::2]))


def test_the_numbers_are_those_counted_by_hand(trained: SceneLabeller) -> None:
    X, y = scenes(10, seed=3)
    y[:, :2] = 0  # so that some answers are wrong
    found, answers = trained.evaluate(X, y), trained.predict(X)
    for label in (0, 1):
        there, taken = y == label, answers == label
        assert found["per_label"]["recall"][label] == pytest.approx((there & taken).sum() / there.sum())
        assert found["per_label"]["iou"][label] == pytest.approx((there & taken).sum() / (there | taken).sum())
    assert found["iou"] == pytest.approx(np.mean(found["per_label"]["iou"]))
    assert found["class_accuracy"] == pytest.approx(np.mean(found["per_label"]["recall"]))
    right = trained.predict_proba(X)[np.arange(10)[:, None, None], np.arange(4)[:, None], np.arange(5), y]
    assert found["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-4)
    assert np.array_equal(intersection_over_union(np.array(found["confusion"])), found["per_label"]["iou"])


def test_save_and_load_and_the_part_kept_for_validation(trained: SceneLabeller, tmp_path: Path) -> None:
    trained.save(tmp_path / "saved")
    again = SceneLabeller.load(tmp_path / "saved")
    X, _ = scenes(3, seed=4)
    assert np.array_equal(again.predict_proba(X), trained.predict_proba(X))
    assert again.evaluate() == trained.evaluate() and trained.evaluate()["pictures"] == 10
    assert json.loads(json.dumps(again.evaluate())) == again.evaluate()


@pytest.mark.slow
def test_resumed_it_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    X, y = scenes(20)
    small(steps=4, flip=True, dropout=0.2).fit(X, y, run=tmp_path / "whole")
    small(steps=2, flip=True, dropout=0.2).fit(X, y, run=tmp_path / "run")
    small(steps=4, flip=True, dropout=0.2).fit(X, y, run=tmp_path / "run", resume=True)
    last = [SceneLabeller.load(tmp_path / run, "last").net.state_dict() for run in ("whole", "run")]
    for name, weight in last[0].items():
        assert np.array_equal(weight, last[1][name]), name
    with pytest.raises(UserError, match="the data has changed since"):
        small(steps=4, flip=True, dropout=0.2).fit(X, y + 1, run=tmp_path / "run", resume=True)


def test_pixels_to_ignore_teach_nothing_and_count_for_nothing() -> None:
    X, y = scenes(20)
    void = y.copy()
    void[:, 0] = 255
    other = np.where(void == 255, 255, 1 - y)
    model = small(ignore="255").fit(X, void)
    found = model.evaluate(X, void)
    assert found["pixels"] == 20 * 3 * 5 and found["labels"] == [0, 1]
    assert model.evaluate(X, other)["accuracy"] == pytest.approx(1 - found["accuracy"])
    texts = small(ignore="void").fit(X, np.where(void == 255, "void", np.where(y == 1, "on", "off")))
    assert texts.evaluate(X, np.where(void == 255, "void", np.where(y == 1, "on", "off")))["loss"] == found["loss"]
    assert texts.classes_.tolist() == ["off", "on"]
    assert texts.evaluate(X, np.where(void == 255, "void", "on"))["pixels"] == 20 * 3 * 5
    with pytest.raises(UserError, match="every pixel to judge by has the label to ignore"):
        model.evaluate(X, np.full_like(y, 255))


@pytest.mark.slow
def test_mirrored_pictures_are_learned_from_only_where_asked() -> None:
    """Right of the bright pixel is on; mirrored it would be left of it, which no net can then tell."""
    draw = np.random.default_rng(0)
    at = draw.integers(1, 6, (120, 4))
    X = (np.arange(7) == at[..., None]) * 100.0
    y = (np.arange(7) > at[..., None]).astype(int)
    losses = [small(steps=60, flip=flip).fit(X, y).evaluate(X, y)["loss"] for flip in (False, True)]
    assert losses[0] < 0.05 < 0.3 < losses[1]


@pytest.mark.slow
def test_rare_classes_weigh_more_where_asked() -> None:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(60, 2, 3))
    y = (X + draw.normal(0, 1.0, X.shape) > 2.0).astype(int)
    options = {"steps": 60, "best": "class_accuracy"}
    plain, balanced = (small(**options, class_weight=each).fit(X, y).evaluate(X, y) for each in (None, "balanced"))
    assert balanced["per_label"]["recall"][1] > 0.6 > 0.3 > plain["per_label"]["recall"][1]


# Files and the command line


def test_pictures_in_folders_and_labels_written(tmp_path: Path) -> None:
    X, y = scenes(24)
    colours = np.array([[0, 0, 128], [255, 200, 0]], np.uint8)
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for number, (image, truth) in enumerate(zip(X, y, strict=True)):
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / "images" / f"{number:02}.png")
        Image.fromarray(colours[truth]).save(tmp_path / "labels" / f"{number:02}.png")
    model = small().fit(tmp_path, run=tmp_path / "run")
    assert model.classes_.tolist() == ["#000080", "#ffc800"]
    loaded = SceneLabeller.load(tmp_path / "run")
    assert loaded.evaluate() == model.evaluate()
    picture = tmp_path / "images" / "03.png"
    ((record, line),) = loaded.predictions([str(picture)], 2)
    answer = loaded.predict(picture)[0]
    written = np.asarray(Image.open(record["labels"]))
    assert record["labels"] == str(tmp_path / "run" / "labels" / "03.png") and line.startswith(f"{picture}: #")
    assert np.array_equal(written, colours[(answer == "#ffc800").astype(int)])
    assert sum(record["shares"].values()) == pytest.approx(1.0, abs=1e-3)
    np.savez(tmp_path / "new.npz", images=X[:2].clip(0, 255).astype(np.uint8))
    records = [record for record, _ in loaded.predictions([str(tmp_path / "new.npz")], 1)]
    with np.load(records[0]["labels"]) as file:
        assert np.array_equal(file["labels"], loaded.predict(tmp_path / "new.npz"))
    assert [record["input"] for record in records] == ["new.npz picture 0", "new.npz picture 1"]


def test_written_numbers_are_the_labels(tmp_path: Path) -> None:
    answer = np.array([[0, 1], [2, 2]])
    for labels, values in (([3, 7, 200], [3, 7, 200]), (["road", "sky", "tree"], [0, 1, 2]), ([0, 5, 999], [0, 1, 2])):
        write_labels(answer, labels, tmp_path / "x.png")
        picture = Image.open(tmp_path / "x.png")
        assert picture.mode == "P" and np.array_equal(np.asarray(picture), np.array(values)[answer])
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) == 3


def test_texts_that_only_look_like_colours_get_colours_of_their_own() -> None:
    assert len(np.unique(class_colours(["#street", "#houses"]), axis=0)) == 2
    assert class_colours(["#00FF00", "#0000ff"]).tolist() == [[0, 255, 0], [0, 0, 255]]


def test_labels_of_equal_names_stand_side_by_side(trained: SceneLabeller, tmp_path: Path) -> None:
    X = scenes(4, seed=5)[0].clip(0, 255).astype(np.uint8)
    names = ("a/x.png", "b/x.png", "b/x.bmp", "b/x-2.png")
    for name, image in zip(names, X, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name)
    for folder in "ab":
        np.savez(tmp_path / folder / "x.npz", images=X["ab".index(folder) :][:1])
    model = SceneLabeller.load(trained.run.path)
    model.save(tmp_path / "run")
    model = SceneLabeller.load(tmp_path / "run")
    sources = [tmp_path / name for name in ("a/x.png", "b", "a/x.npz", "b/x.npz")]
    records = [record for record, _ in model.predictions(list(map(str, sources)), 1)]
    records += [record for record, _ in model.predictions([str(sources[0])], 1)]
    written = [Path(record["labels"]) for record in records]
    assert len(set(written)) == 7 and sorted(written) == sorted((tmp_path / "run" / "labels").iterdir())
    for record, path in zip(records, written, strict=True):
        if path.suffix == ".png":
            assert np.array_equal(np.asarray(Image.open(path)), model.predict(Path(record["input"]))[0]), path
    for path, source in zip(written[4:6], sources[2:], strict=True):
        with np.load(path) as file:
            assert np.array_equal(file["labels"], model.predict(source))


def test_what_evaluate_found_is_shown_and_drawn(trained: SceneLabeller, tmp_path: Path) -> None:
    found = trained.evaluate()
    said = trained.show(found, tmp_path)
    assert isinstance(found, Judgement) and len(found.shown) == 4
    assert f"pixel accuracy       {found['accuracy']:.4f}" in said and "always 'off'" in said
    assert "label      pixels  recall     IoU\noff" in said and f"drawn in {tmp_path / 'scenes.png'}" in said
    picture = np.asarray(Image.open(tmp_path / "scenes.png").convert("RGB"))
    assert picture.shape[0] > 300 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda X, y: small().fit(), "there is nothing to train on; name a file with data="),
        (lambda X, y: small().fit(X), "y is missing; give a label for every pixel of X"),
        (lambda X, y: small().fit("gone.npz", y), "X is 'gone.npz', which holds the labels; leave y out"),
        (lambda X, y: small().fit("gone.npz"), "cannot read gone.npz: No such file or directory"),
        (lambda X, y: small().fit(X, y, valid=3), "valid is neither a file nor a pair; give (X, y)"),
        (lambda X, y: small().fit(X, y * 0), "all examples have the label 0; expected at least two"),
        (lambda X, y: small(ignore=0).fit(X, y * 0), "every pixel has the label to ignore"),
        (lambda X, y: small().fit([*X, X[0][:3]], [*y, y[0]]), "X[4] is 5 x 3 pixels, its labels are 5 x 4; expected"),
        (lambda X, y: small(class_names=("a",)).fit(X, y), "class_names has 1 names, for the labels 0 to 0; the"),
        (lambda X, y: small().fit(X, y, valid=(X, y + 1)), "X[0]: the label 2 was not there in training; valid: 0, 1"),
        (lambda X, y: small().fit(X, y, valid=(X[..., None].repeat(3, -1), y)), "X[0] has 3 channels; the model was"),
        (lambda X, y: small(patch=0).fit(X, y), "patch is 0; expected a whole number of at least 1"),
        (lambda X, y: small(best="iuo").fit(X, y), "best is 'iuo'; did you mean 'iou'?"),
        (lambda X, y: small().predict(X), "this SceneLabeller has not been trained; call fit()"),
    ],
)
def test_mistakes_are_told(call: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        call(*scenes(4))
    assert sentence in str(caught.value)
