"""Scene labelling as an estimator: a class for every pixel of a picture."""

from __future__ import annotations

import io
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from ...data import Batches, Labels, Scaling, hold_out
from ...data.pictures import Pictures, as_pictures, read_pictures
from ...errors import UserError
from ...models import SceneNet
from ...training.files import replace_file, writing
from ..confusion import confusion_matrix, per_class
from ..sequence_task import Lesson, SequenceEstimator, built, judging
from ..sources import is_path, pair
from .figure import Shown, draw_scenes, write_labels
from .settings import SceneSettings

IGNORED = -100  # the class number of pixels that are not counted, as in torch's cross_entropy
EVALUATION_PICTURES = 16
DRAWN = 4  # pictures that evaluate draws
MOST_CLASSES = 256  # what a picture of labels can hold


class Batch(NamedTuple):
    """Pictures of one or several sizes: ``pixels`` (P, C) of all, scaled, and ``targets`` (P,), their class numbers.

    ``shapes`` has for each size, in the order of the pixels, how many pictures are of it: (B, height, width).
    """

    pixels: Tensor
    targets: Tensor
    shapes: tuple[tuple[int, int, int], ...]

    def by_size(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, height, width, C) and targets (B, height, width) of each size."""
        ends = [math.prod(shape) for shape in self.shapes]
        for shape, pixels, targets in zip(self.shapes, self.pixels.split(ends), self.targets.split(ends), strict=True):
            yield pixels.view(*shape, -1), targets.view(shape)


class Judgement(dict[str, Any]):
    """What ``evaluate`` found, as plain values; ``shown`` are some of the pictures."""

    def __init__(self, found: Mapping[str, Any], shown: Sequence[Shown]) -> None:
        super().__init__(found)
        self.shown = shown


class SceneLabeller(SequenceEstimator):
    """A class for every pixel, by recurrent sweeps in four directions: ``fit``, ``predict``, ``score``, ``evaluate``.

    Takes every option of ``SceneSettings`` by name; ``elman train scene --help`` explains each. X are pictures: an
    array (n, height, width) or (n, height, width, C) of any numbers, a list of pictures of any sizes, a .npz file, or a
    folder; y has a label a pixel, (n, height, width) or a list, whole numbers or texts. What is predicted may be of
    other sizes than those of training. After ``fit`` or ``load`` there are also ``labels_``, ``scaling_`` and
    ``classes_``.

    >>> draw = np.random.default_rng(0)
    >>> X = draw.integers(0, 256, (20, 3, 4, 3), np.uint8)
    >>> y = np.where(X[..., 0] > 127, "bright", "dark")
    >>> model = SceneLabeller(cell="rnn", hidden_size=8, patch=1, steps=30, learning_rate=0.05, threads=1).fit(X, y)
    >>> model.predict(X).shape, model.score(X, y) > 0.9
    ((20, 3, 4), True)
    """

    task = "scene"
    settings_class = SceneSettings
    help = """Train on pictures with a label for every pixel; it is judged on pictures it does not learn from.

    Examples:
      elman train scene --data scenes.npz
      elman train scene --data streets --valid streets-valid --ignore 255 --class-names sky road car --flip
      elman train scene --data streets --patch 4 --num-layers 2 --best iou --class-weight balanced --minutes 10
    """
    settings_: SceneSettings
    net: SceneNet
    labels_: Labels
    scaling_: Scaling
    usual_: int

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        valid: Any = None,
        run: str | Path | None = None,
        resume: bool = False,
        console: Console | None = None,
        quiet: bool = True,
    ) -> Self:
        """Trains on X and y, stops early, and ends with the weights best on the validation part.

        Args:
            X: pictures, see the class, or a file or folder of them; that of the option ``data`` unless given.
            y: a label for each pixel; None where X is a file or folder.
            valid: the validation part: a pair (X, y), a file or a folder; unless given that of the option ``valid``,
                or ``valid_share`` of the pictures.
            run: a run folder to keep settings, metrics, curves and checkpoints in; unless given nothing is kept.
            resume: go on from that folder's last checkpoint, bit for bit; the data must be the same.
            console: where progress is shown, unless ``quiet``.
            quiet: show nothing.

        Raises ``UserError`` for every mistake in options and data, naming the picture; nothing is overwritten.
        """
        settings: SceneSettings = self._begin_with(X, valid)
        train, held = self._split(X, y, valid)
        self.labels_ = self._learned_labels(train)
        images, targets = self._scaled(train, learn=True), self._targets(train)
        counts = np.bincount(np.concatenate([each[each >= 0] for each in targets]), minlength=len(self.labels_))
        self.usual_ = int(counts.argmax())
        kept, truth = self._scaled(held), self._targets(held)
        net = self._build()
        weights = None
        if settings.goal.class_weight is not None:
            weights = torch.from_numpy(counts.sum() / (len(counts) * counts))

        def loss(batch: Batch) -> Tensor:
            found, wanted = [], []
            for images, targets in batch.by_size():
                if net.training and settings.pictures.flip:
                    mirrored = torch.rand(len(images), device=images.device) < 0.5
                    images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
                    targets = torch.where(mirrored[:, None, None], targets.flip(2), targets)
                found.append(net(images).float().flatten(0, 2))
                wanted.append(targets.flatten())
            scores, targets = torch.cat(found), torch.cat(wanted)
            weight = None if weights is None else weights.to(scores)
            total = F.cross_entropy(scores, targets, weight, ignore_index=IGNORED, reduction="sum")
            counted = targets != IGNORED
            # Pictures without a single counted pixel make no gradient, rather than NaN.
            return total / (counted.sum() if weight is None else weight[targets[counted]].sum()).clamp(min=1e-6)

        batches = Batches(
            [each.size for each in targets],
            settings.machine.batch_size,
            lambda rows: _batch([images[row] for row in rows], [targets[row] for row in rows]),
            settings.training.seed,
        )
        lesson = Lesson(
            net,
            batches,
            loss,
            lambda batch: int((batch.targets != IGNORED).sum()),
            lambda: _numbers(*_judged(net, kept, truth)),
            self._about(train, held),
            _JUDGES[settings.goal.best],
            counted="pixels",
        )
        self._train(lesson, run=run, resume=resume, console=console, quiet=quiet)
        self._kept = held
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the last axis of ``predict_proba``."""
        return self.labels_.array

    def predict_proba(self, X: Any) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """The probability of every label for every pixel, (n, height, width, C); a list where sizes differ."""
        return _together(list(self._probabilities(X)))

    def predict(self, X: Any) -> NDArray[Any] | list[NDArray[Any]]:
        """The likeliest label of every pixel, (n, height, width); a list where sizes differ."""
        return _together([self.classes_[each.argmax(-1)] for each in self._probabilities(X)])

    def _probabilities(self, X: Any) -> Iterator[NDArray[np.float32]]:
        """Picture by picture (height, width, C)."""
        self._require_net()
        for _, scores in _scores(self.net, self._scaled(self._pictures(X))):
            yield from scores.softmax(-1).cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """The share of pixels whose label is predicted."""
        return float(self.evaluate(X, y)["accuracy"])

    def evaluate(self, X: Any = None, y: Any = None) -> Judgement:
        """Loss (nats), and how many pixels are right: all (accuracy), the mean over classes, and the mean intersection
        over union (of pixels of a class and pixels taken for it, the share that are both), with each class's own.

        On X and y, on a file or folder, or, where X is None, on the part kept for validation. ``majority`` is the
        accuracy of giving every pixel the commonest label of the training part.

        Raises ``UserError`` for a label that training did not have, with its picture.
        """
        self._require_net()
        pictures = self._validation_part() if X is None else self._pictures(X, y, labelled=True)
        truth = self._targets(pictures)
        judged = _judged(self.net, self._scaled(pictures), truth)
        _, confusion, answers = judged
        pixels = int(confusion.sum())
        found: dict[str, Any] = {"pictures": len(pictures), "pixels": pixels, **_numbers(*judged)}
        found["majority"] = float(confusion[self.usual_].sum() / pixels)
        found["labels"] = list(self.labels_.names)
        each = {"recall": per_class(confusion)["recall"], "iou": intersection_over_union(confusion)}
        found["per_label"] = {name: values.tolist() for name, values in each.items()}
        found["confusion"] = confusion.tolist()
        rows = np.unique(np.linspace(0, len(pictures) - 1, DRAWN).astype(int))
        shown = [Shown(pictures.images[row], np.maximum(truth[row], -1), answers[row]) for row in rows]
        return Judgement(found, shown)

    def show(self, result: dict[str, Any], folder: Path | None) -> str:
        """What ``evaluate`` gave as lines; some pictures, their labels and the answers are drawn to ``scenes.png``."""
        names = self._names()
        confusion = np.array(result["confusion"])
        lines = [
            f"pixel accuracy       {result['accuracy']:.4f}  ({np.trace(confusion):,} of {result['pixels']:,} pixels)",
            f"always {names[self.usual_]!r:<13} {result['majority']:.4f}  (the commonest label of the training part)",
            f"mean class accuracy  {result['class_accuracy']:.4f}",
            f"mean IoU             {result['iou']:.4f}",
            f"loss                 {result['loss']:.4f}",
            "",
        ]
        width = max(5, *map(len, names))
        lines.append(f"{'label':<{width}}      pixels  recall     IoU")
        each = result["per_label"]
        for row, (name, recall, iou) in enumerate(zip(names, each["recall"], each["iou"], strict=True)):
            lines.append(f"{name:<{width}}  {confusion[row].sum():>10,}  {recall:>6.3f}  {iou:>6.3f}")
        if folder is not None and isinstance(result, Judgement):
            draw_scenes(result.shown, self.labels_.names, names, folder / "scenes.png")
            lines += ["", f"drawn in {folder / 'scenes.png'}"]
        return "\n".join(lines)

    def predictions(self, sources: list[str], top: int) -> Iterator[tuple[dict[str, Any], str]]:
        """Labels every picture of files and folders, in labels/NAME.png of the run (NAME.npz for arrays; NAME-2, NAME-3
        and so on where there is one: nothing is overwritten), and gives the ``top`` classes with most pixels.
        """
        self._require_net()
        if not sources:
            raise UserError("nothing to predict; give a picture, a folder of pictures, or a .npz file")
        folder = self.run.path / "labels"
        for source in map(Path, sources):
            pictures = self._pictures(source)
            answers = [scores.argmax(-1)[0].cpu().numpy() for _, scores in _scores(self.net, self._scaled(pictures), 1)]
            with writing(folder):
                folder.mkdir(exist_ok=True)
            arrays = source.suffix.lower() == ".npz"
            written = _unused(folder / source.name)
            if arrays:
                _write_npz(written, [self.classes_[answer] for answer in answers])
            for i, answer in enumerate(answers):
                place = pictures.place(i)
                if not arrays:
                    written = _unused(folder / f"{Path(place).stem}.png")
                    write_labels(answer, self.labels_.names, written)
                shares = np.bincount(answer.ravel(), minlength=len(self.labels_)) / answer.size
                most = np.argsort(-shares, kind="stable")[:top]
                named = {self._names()[k]: round(float(shares[k]), 4) for k in most if shares[k]}
                line = "  ".join(f"{name} {share:.1%}" for name, share in named.items())
                yield {"input": place, "labels": str(written), "shares": named}, f"{place}: {line}  -> {written}"

    # What is learned, and the net made from it

    def _learned(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels_.names),
            "usual": self.usual_,
            "mean": list(self.scaling_.mean),
            "deviation": list(self.scaling_.deviation),
        }

    def _relearn(self, learned: dict[str, Any]) -> None:
        try:
            self.labels_, self.usual_ = Labels(learned["labels"]), int(learned["usual"])
            self.scaling_ = Scaling(tuple(learned["mean"]), tuple(learned["deviation"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.run.path} does not say how to read pictures; restore its learned.json") from error

    def _build(self) -> SceneNet:
        net = self.settings_.net
        return built(
            SceneNet,
            net,
            len(self.labels_),
            channels=len(self.scaling_.mean),
            patch=net.patch,
            embedding_size=net.embedding_size,
        )

    def _about(self, train: Pictures, held: Pictures) -> dict[str, str]:
        names = self._names()
        sizes = sorted({image.shape[:2] for image in train.images}, key=lambda size: (math.prod(size), size))
        ends = dict.fromkeys(f"{width} x {height}" for height, width in (sizes[0], sizes[-1]))
        channels = train.images[0].shape[2]
        return {
            "pictures": f"{len(train):,} to learn from, {len(held):,} to judge by; {' to '.join(ends)} pixels, "
            f"{channels} channel{'s' if channels > 1 else ''}",
            "labels": f"{len(names)}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}",
        }

    def _names(self) -> list[str]:
        """The labels as a person wants to read them."""
        called = self.settings_.pictures.class_names or ()
        return [
            called[label] if isinstance(label, int) and 0 <= label < len(called) else str(label)
            for label in self.labels_.names
        ]

    # Pictures and labels, from wherever they come

    def _split(self, X: Any, y: Any, valid: Any) -> tuple[Pictures, Pictures]:
        """The pictures to learn from and those to judge by."""
        options, seed = self.settings_.pictures, self.settings_.training.seed
        X = options.data if X is None else X
        if X is None:
            raise UserError("there is nothing to train on; name a file with data= (--data FILE), or give fit(X, y)")
        given = self._pictures(X, y, labelled=True)
        valid = options.valid if valid is None else valid
        if valid is not None:
            return given, self._pictures(*pair(valid), labelled=True)
        rows, held = hold_out(len(given), options.valid_share, seed=seed)
        return given[rows], given[held]

    def _pictures(self, X: Any, y: Any = None, *, labelled: bool = False) -> Pictures:
        if is_path(X):
            if y is not None:
                raise UserError(f"X is {str(X)!r}, which holds the labels; leave y out")
            return read_pictures(X, labelled=labelled)
        if labelled and y is None:
            raise UserError("y is missing; give a label for every pixel of X")
        return as_pictures(X, y)

    def _read_kept(self) -> Pictures:
        return self._split(None, None, None)[1]

    def _learned_labels(self, train: Pictures) -> Labels:
        found = {label: i for i in reversed(range(len(train))) for label in self._there(train, i)}
        if not found:
            raise UserError("every pixel has the label to ignore; give pictures with others")
        labels = Labels.learned(found, lambda number: train.place(list(found.values())[number]))
        if len(labels) > MOST_CLASSES:
            raise UserError(f"there are {len(labels)} different labels; expected at most {MOST_CLASSES} classes")
        called = self.settings_.pictures.class_names
        whole = [label for label in labels.names if isinstance(label, int)]
        if called is not None and (len(whole) < len(labels) or max(whole) >= len(called) or min(whole) < 0):
            raise UserError(
                f"class_names has {len(called)} names, for the labels 0 to {len(called) - 1}; the labels are "
                f"{', '.join(map(str, labels.names[:12]))}"
            )
        return labels

    def _there(self, pictures: Pictures, i: int) -> list[Any]:
        assert pictures.labels is not None
        return [label for label in np.unique(pictures.labels[i]).tolist() if not self._is_ignored(label)]

    def _is_ignored(self, label: Any) -> bool:
        # As text, because on the command line a label is one.
        return self.settings_.pictures.ignore is not None and str(label) == str(self.settings_.pictures.ignore)

    def _targets(self, pictures: Pictures) -> list[NDArray[np.int16]]:
        """The class number of every pixel, (height, width) each."""
        maps = []
        for i, labels in enumerate(pictures.labels or ()):
            found, which = np.unique(labels, return_inverse=True)
            counted = [label for label in found.tolist() if not self._is_ignored(label)]
            numbers = self.labels_.encode(counted, lambda _, i=i: pictures.place(i))  # type: ignore[misc]
            codes = np.full(len(found), IGNORED, np.int64)
            codes[[not self._is_ignored(label) for label in found.tolist()]] = numbers
            # The smallest type that holds them: a set of pictures has many pixels.
            maps.append(codes[which].reshape(labels.shape).astype(np.int16))
        return maps

    def _scaled(self, pictures: Pictures, learn: bool = False) -> list[NDArray[np.float32]]:
        if learn:
            self.scaling_ = Scaling.learned([image.reshape(-1, image.shape[2]) for image in pictures.images])
        channels = len(self.scaling_.mean)
        for i, image in enumerate(pictures.images):
            if image.shape[2] != channels:
                raise UserError(
                    f"{pictures.place(i)} has {image.shape[2]} channels; the model was trained on {channels}"
                )
        return [self.scaling_(image) for image in pictures.images]


_JUDGES: dict[str, Callable[[Mapping[str, float]], Any]] = {
    "accuracy": lambda numbers: (-numbers["accuracy"], numbers["loss"]),
    "class_accuracy": lambda numbers: (-numbers["class_accuracy"], numbers["loss"]),
    "iou": lambda numbers: (-numbers["iou"], numbers["loss"]),
    "loss": lambda numbers: numbers["loss"],
}


def intersection_over_union(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each class the pixels that are of it and taken for it, over those that are either, (C,); 0 over nothing.

    >>> intersection_over_union(np.array([[2, 1], [0, 1]])).round(3).tolist()
    [0.667, 0.5]
    """
    right = np.diag(confusion).astype(np.float64)
    return right / np.maximum(confusion.sum(0) + confusion.sum(1) - right, 1)


def _numbers(loss: float, confusion: NDArray[np.int64], _: Any = None) -> dict[str, float]:
    there = confusion.sum(1) > 0
    either = there | (confusion.sum(0) > 0)
    return {
        "loss": loss,
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "class_accuracy": float(per_class(confusion)["recall"][there].mean()),
        "iou": float(intersection_over_union(confusion)[either].mean()),
    }


def _judged(
    net: SceneNet, images: Sequence[NDArray[np.float32]], truth: Sequence[NDArray[np.int16]]
) -> tuple[float, NDArray[np.int64], list[NDArray[np.int16]]]:
    """Mean loss and confusions over the counted pixels, and the answers, (height, width) each."""
    total = 0.0
    confusion = np.zeros((net.classes, net.classes), np.int64)
    answers: list[NDArray[np.int16]] = []
    for rows, scores in _scores(net, images):
        targets = _tensor(np.stack([truth[row] for row in rows])).to(scores.device)
        loss = F.cross_entropy(scores.flatten(0, 2).double(), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        total += float(loss)
        taken = scores.argmax(-1)
        counted = targets != IGNORED
        confusion += confusion_matrix(targets[counted].cpu().numpy(), taken[counted].cpu().numpy(), net.classes)
        answers += list(taken.cpu().numpy().astype(np.int16))
    if not confusion.sum():
        raise UserError("every pixel to judge by has the label to ignore; give pictures with others")
    return total / int(confusion.sum()), confusion, answers


def _scores(
    net: SceneNet, images: Sequence[NDArray[np.float32]], most: int = EVALUATION_PICTURES
) -> Iterator[tuple[range, Tensor]]:
    """The scores (B, height, width, C) of pictures in their order, up to ``most`` at once, of one size."""
    like = next(net.parameters())
    first = 0
    while first < len(images):
        end = first + 1
        while end < min(len(images), first + most) and images[end].shape == images[first].shape:
            end += 1
        with judging(net):
            scores = net(torch.from_numpy(np.stack(images[first:end])).to(like.device, like.dtype))
        yield range(first, end), scores
        first = end


def _batch(images: Sequence[NDArray[np.float32]], targets: Sequence[NDArray[np.int16]]) -> Batch:
    """Those of one size stand together, for the net to read at once."""
    sizes = list(dict.fromkeys(each.shape for each in targets))
    order = sorted(range(len(targets)), key=lambda row: sizes.index(targets[row].shape))
    pixels = np.concatenate([images[row].reshape(-1, images[row].shape[2]) for row in order])
    counts = Counter(each.shape for each in targets)
    shapes = tuple((counts[size], *size) for size in sizes)
    return Batch(torch.from_numpy(pixels), _tensor(np.concatenate([targets[row].ravel() for row in order])), shapes)


def _together(answers: list[NDArray[Any]]) -> NDArray[Any] | list[NDArray[Any]]:
    return np.stack(answers) if len({each.shape for each in answers}) == 1 else answers


def _tensor(targets: NDArray[np.int16]) -> Tensor:
    return torch.from_numpy(targets.astype(np.int64))


def _unused(path: Path) -> Path:
    """The path, or with -2, -3, ... behind the name the first that is no file yet."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], numbered) if not each.exists())


def _write_npz(path: Path, labels: Sequence[NDArray[Any]]) -> None:
    data = io.BytesIO()
    np.savez_compressed(data, labels=np.stack(labels))
    with writing(path):
        replace_file(path, data.getvalue())
