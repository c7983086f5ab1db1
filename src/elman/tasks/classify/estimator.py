"""Classification as an estimator: one label for a text, a sequence of numbers, an image, a recording or a clip."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from ...data import Batches, Encoder, Labels, Sequences, by_length, hold_out
from ...data.batches import Rows
from ...data.images import moved_about
from ...errors import UserError
from ...models import ClassifierNet
from ..coded import Batch, Coded
from ..confusion import confusion_matrix, draw_confusion, macro_f1, per_class, table
from ..labelling import LabellingEstimator, likeliest
from ..sequence_task import Lesson, built, judging, moved
from ..sources import is_file, pair
from .examples import ENDINGS, Examples, examples_of
from .settings import ClassifierSettings

EVALUATION_ROWS = 128
MOST_ONCE = 20  # labels up to which each may stand at one example alone
CUT = "set max_length (--max-length), "
SHOWN = 60  # characters of an example in a line of output


class Classifier(LabellingEstimator):
    """A recurrent classifier of any cell: ``fit``, ``predict``, ``predict_proba``, ``score``, ``evaluate``.

    Takes every option of ``ClassifierSettings`` by name; ``elman train classify --help`` explains each. X may be a list
    of texts, lists of tokens, an array (n, T) or (n, T, F), a list of arrays (T_i,) or (T_i, F) of unequal length, a
    column of pandas, or the name of a file or folder. Images are (n, height, width) or (n, height, width, C), which the
    option ``read_as`` turns into sequences, clips (n, T, height, width) or (n, T, height, width, C), for which there is
    ``frames="cnn"``; recordings are .wav files, or what ``elman.data.log_mel`` makes of samples. After ``fit`` or
    ``load`` there are also ``labels_``, ``encoder_`` and ``classes_``. scikit-learn's ``clone``, ``cross_val_score``
    and searches work.

    >>> texts = ["a fine film", "a dull film", "fine work", "dull work"] * 4
    >>> model = Classifier(cell="rnn", hidden_size=8, steps=30, learning_rate=0.02, min_count=0, threads=1)
    >>> model.fit(texts, ["good", "bad", "good", "bad"] * 4).predict(["fine", "dull"]).tolist()
    ['good', 'bad']
    """

    task = "classify"
    settings_class = ClassifierSettings
    help = """Train a classifier on a file of examples with labels; it is judged on a part it does not learn from.

    Examples:
      elman train classify --data reviews.csv --input text --label stars
      elman train classify --data questions.txt --cell gru --bidirectional --dropout 0.5 --minutes 5
      elman train classify --data names.csv --tokens char --best f1 --class-weight balanced
      elman train classify --data digits.csv --input 'pixel*' --step-size 8
      elman train classify --data train-images-idx3-ubyte.gz --read-as patches --shift 2
      elman train classify --data FOLDER --rate 8000   (FOLDER/label/*.wav)
      elman train classify --resume runs/classify-gru-1 --epochs 40
    """
    settings_: ClassifierSettings

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        groups: Any = None,
        valid: Any = None,
        run: str | Path | None = None,
        resume: bool = False,
        console: Console | None = None,
        quiet: bool = True,
    ) -> Self:
        """Trains on X and y, stops early, and ends with the weights best on the validation part.

        Args:
            X: examples, see the class, or a file of them; the file of the option ``data`` unless given.
            y: a label for each: texts, whole numbers or truth values; None where X is a file.
            groups: a value for each, none of which may be both in training and in validation.
            valid: the validation part: a pair (X, y) or a file; unless given that of the option ``valid``, or
                ``valid_share`` of the examples, of every label its part.
            run: a run folder to keep settings, metrics, curves and checkpoints in; unless given nothing is kept.
            resume: go on from that folder's last checkpoint, bit for bit; the data must be the same.
            console: where progress is shown, unless ``quiet``.
            quiet: show nothing.

        Raises ``UserError`` for every mistake in options and data, naming row and column; nothing is overwritten.
        """
        settings: ClassifierSettings = self._begin_with(X, valid)
        train, held = self._split(X, y, groups, valid)
        self.labels_ = Labels.learned(train.labels or (), train.label_place)
        if len(self.labels_) > max(MOST_ONCE, len(train.inputs) / 2):
            raise UserError(
                f"{len(train.inputs):,} examples have {len(self.labels_):,} different labels, such as "
                f"{self.labels_.names[0]!r}; expected labels that come back: is label= (--label) the right column?"
            )
        self.encoder_ = _learned_encoder(settings, train.inputs)
        targets = self.labels_.encode(train.labels or (), train.label_place)
        self._learn_letters(train.inputs)
        kept = self._coded(held.inputs), self.labels_.encode(held.labels or (), held.label_place)
        net = self._build()
        weights = self._class_weights(targets)

        def loss(batch: Batch) -> Tensor:
            scores = net(batch.x, batch.lengths, batch.spelling).float()
            assert batch.targets is not None
            weight = None if weights is None else weights.to(scores)
            return F.cross_entropy(scores, batch.targets, weight)

        shift, coded = settings.images.shift, self._coded(train.inputs)

        def collate(rows: Rows) -> Batch:
            y = torch.from_numpy(targets[rows])
            if shift:
                return self._coded(moved_about(train.inputs[rows], shift)).batch(np.arange(len(rows)), y)
            return coded.batch(rows, y)

        batches = Batches(coded.lengths, settings.machine.batch_size, collate, settings.training.seed)
        lesson = Lesson(
            net,
            batches,
            loss,
            lambda batch: len(batch.targets),
            lambda: _numbers(_log_probabilities(net, kept[0]), kept[1]),
            self._about(len(targets), len(kept[1]))
            | (coded.warning(train.inputs.place, CUT) or kept[0].warning(held.inputs.place, CUT)),
            _JUDGES[settings.goal.best],
        )
        self._train(lesson, run=run, resume=resume, console=console, quiet=quiet)
        self._kept = kept
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of every label for every example, (n, C), columns as in ``classes_``."""
        self._require_net()
        return np.exp(_log_probabilities(self.net, self._coded(self._new(X).inputs)))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of every example, (n,)."""
        answers = self.predict_proba(X).argmax(1)
        return self.classes_[answers]

    def evaluate(self, X: Any = None, y: Any = None) -> dict[str, Any]:
        """Loss (nats), accuracy, macro F1, and of every label precision, recall and F1, with the confusion matrix.

        On X and y, on a file, or, where X is None, on the part kept for validation. All are plain values:
        ``confusion[i][j]`` is how many examples of ``labels[i]`` were taken for ``labels[j]``.

        Raises ``UserError`` for a label that training did not have, with its row.
        """
        self._require_net()
        if X is None:
            inputs, targets = self._validation_part()
        else:
            given = examples_of(X, y, self.settings_, strict=True, kind=self.encoder_.kind)
            inputs, targets = self._coded(given.inputs), self.labels_.encode(given.labels or (), given.label_place)
        scores = _log_probabilities(self.net, inputs)
        confusion = confusion_matrix(targets, scores.argmax(1), len(self.labels_))
        each = {name: values.tolist() for name, values in per_class(confusion).items()}
        found: dict[str, Any] = {"examples": len(targets), **_numbers(scores, targets)}
        return found | {"labels": list(self.labels_.names), "per_label": each, "confusion": confusion.tolist()}

    def show(self, result: dict[str, Any], folder: Path | None) -> str:
        """What ``evaluate`` gave as lines; the confusion matrix is drawn to ``confusion.png`` in ``folder``."""
        names = [str(label) for label in result["labels"]]
        confusion = np.array(result["confusion"])
        lines = [
            f"accuracy  {result['accuracy']:.4f}  ({np.trace(confusion):,} of {result['examples']:,} examples)",
            f"macro F1  {result['f1']:.4f}",
            f"loss      {result['loss']:.4f}",
            "",
            table(confusion, names),
        ]
        if folder is not None:
            draw_confusion(confusion, names, folder / "confusion.png")
            lines += ["", f"drawn in {folder / 'confusion.png'}"]
        return "\n".join(lines)

    def predictions(self, sources: list[str], top: int) -> Iterator[tuple[dict[str, Any], str]]:
        """The likeliest ``top`` labels of every example of files and texts, as records and lines."""
        self._require_net()
        if not sources:
            raise UserError("nothing to predict; give a file, a text in quotes, or - for standard input")
        for source in sources:
            examples = self._new(source) if self._is_source(source) else self._one_text(source)
            for i, probabilities in enumerate(np.exp(_log_probabilities(self.net, self._coded(examples.inputs)))):
                if examples.inputs.kind == "texts" and not examples.inputs.items[i].strip():
                    record = {"label": None, "probabilities": {}, **_record(examples.inputs, i)}
                    yield record, f"no label: {examples.inputs.place(i)} is empty"
                    continue
                likely = likeliest(probabilities, self.labels_.names, top)
                answer = "  ".join(f"{name} {value:.3f}" for name, value in likely.items())
                label = self.labels_.names[probabilities.argmax()]
                record = {"label": label, "probabilities": likely, **_record(examples.inputs, i)}
                yield record, f"{answer}  {_shown(examples.inputs, i)}"

    # What is learned, and the net made from it

    def _build(self) -> ClassifierNet:
        net = self.settings_.net
        return built(ClassifierNet, net, len(self.labels_), pooling=net.pooling, **self._reader_options())

    def _class_weights(self, targets: NDArray[np.int64]) -> Tensor | None:
        if self.settings_.goal.class_weight is None:
            return None
        counts = np.bincount(targets, minlength=len(self.labels_))
        return torch.from_numpy(len(targets) / (len(self.labels_) * counts))

    def _about(self, learn: int, judge: int) -> dict[str, str]:
        encoder = self.encoder_
        about = {
            "examples": f"{learn:,} to learn from, {judge:,} to judge by",
            "labels": self._some_labels(),
        }
        if encoder.vocab_size:
            what = f"{self.settings_.examples.tokens}s" if encoder.kind == "texts" else "given"
            return about | {"tokens": f"{what}, {self._types()}"}
        return about | {"features": f"{encoder.features} a step"}

    # Examples, from wherever they come

    def _split(self, X: Any, y: Any, groups: Any, valid: Any) -> tuple[Examples, Examples]:
        """The examples to learn from and those to judge by."""
        place, seed = self.settings_.examples, self.settings_.training.seed
        X = place.data if X is None else X
        if X is None:
            raise UserError("there is nothing to train on; name a file with data= (--data FILE), or give fit(X, y)")
        given = examples_of(X, y, self.settings_, strict=True, groups=groups)
        valid = place.valid if valid is None else valid
        if valid is not None:
            held = examples_of(*pair(valid), self.settings_, strict=True, kind=given.inputs.kind)
            return given, held
        labels = Labels.learned(given.labels or (), given.label_place)
        numbers = labels.encode(given.labels or (), given.label_place)
        if given.groups is None:
            parts = hold_out(len(numbers), place.valid_share, labels=numbers.tolist(), seed=seed)
        else:
            parts = hold_out(len(numbers), place.valid_share, groups=given.groups, seed=seed)
        learn, judge = parts
        only = np.setdiff1d(numbers[judge], numbers[learn])
        if len(only):
            raise UserError(
                f"all examples of the label {labels.names[only[0]]!r} fell into the part kept back to judge by; give "
                "more of them, another group or seed, or judge by a file of its own with valid= (--valid)"
            )
        return given[learn], given[judge]

    def _read_kept(self) -> tuple[Coded, NDArray[np.int64]]:
        _, held = self._split(None, None, None, None)
        return self._coded(held.inputs), self.labels_.encode(held.labels or (), held.label_place)

    def _new(self, X: Any) -> Examples:
        """Examples to predict."""
        return examples_of(X, None, self.settings_, kind=self.encoder_.kind)

    def _is_source(self, source: str) -> bool:
        """Whether it names a file, or a folder where the model reads what folders hold."""
        return is_file(source, ENDINGS) or (self.encoder_.kind == "numbers" and Path(source).is_dir())

    def _one_text(self, text: str) -> Examples:
        if self.encoder_.kind == "numbers":
            raise UserError(f"{text!r} is no file, and this model reads numbers; give a file: {', '.join(ENDINGS)}")
        if not text.strip():
            raise UserError("the text is empty; give at least a word")
        words = text.split() if self.encoder_.kind == "tokens" else text
        return self._new([words])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.target_tags.required = "classifier", True
        tags.classifier_tags = importlib.import_module("sklearn.utils").ClassifierTags()
        return tags


_JUDGES: dict[str, Callable[[Mapping[str, float]], Any]] = {
    # Of equal accuracy the surer one: small validation parts have many equals.
    "accuracy": lambda numbers: (-numbers["accuracy"], numbers["loss"]),
    "f1": lambda numbers: (-numbers["f1"], numbers["loss"]),
    "loss": lambda numbers: numbers["loss"],
}


def _log_probabilities(net: nn.Module, inputs: Coded) -> NDArray[np.float64]:
    """The logarithms of the probabilities, (n, C), in the order of the inputs."""
    rows_and_scores = []
    like = next(net.parameters())
    with judging(net):
        for rows in by_length(inputs.lengths, EVALUATION_ROWS):
            batch = moved(inputs.batch(rows), like)
            scores = net(batch.x, batch.lengths, batch.spelling).double().log_softmax(-1)
            rows_and_scores.append((rows, scores.cpu().numpy()))
    order = np.concatenate([rows for rows, _ in rows_and_scores])
    return np.concatenate([scores for _, scores in rows_and_scores])[np.argsort(order)]


def _numbers(scores: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, float]:
    confusion = confusion_matrix(targets, scores.argmax(1), scores.shape[1])
    return {
        "loss": float(-scores[np.arange(len(targets)), targets].mean()),
        "accuracy": float(np.trace(confusion) / len(targets)),
        "f1": macro_f1(confusion),
    }


def _learned_encoder(settings: ClassifierSettings, inputs: Sequences) -> Encoder:
    options, images = settings.examples, settings.images
    of_numbers = {"step_size": options.step_size}
    of_texts = {
        "tokens": options.tokens != "word",
        "lowercase": options.lowercase,
        "character_size": settings.net.character_size,
        "word_dropout": settings.net.word_dropout,
    }
    for name, value in (of_texts if inputs.kind == "numbers" else of_numbers).items():
        if value:
            other = "texts" if inputs.kind == "numbers" else "numbers"
            raise UserError(f"{name} is for {other}, but the examples are {inputs.kind}; leave it out")
    return Encoder.learned(
        inputs,
        tokens=options.tokens,
        lowercase=options.lowercase,
        standardise=options.standardise,
        centre_each=options.centre_each,
        max_length=options.max_length,
        min_count=options.min_count,
        max_types=options.max_types,
        vocab_size=options.vocab_size,
        read_as=images.read_as,
        patch=images.patch,
        stride=images.stride,
    )


def _record(inputs: Sequences, i: int) -> dict[str, Any]:
    """What an example was, so that an answer can be told to whom it belongs."""
    place = inputs.place(i)
    return {"place": place, "input": place if inputs.kind == "numbers" else inputs.items[i]}


def _shown(inputs: Sequences, i: int) -> str:
    item = inputs.items[i]
    if inputs.kind == "numbers":
        return inputs.place(i)
    text = " ".join(item if isinstance(item, list) else item.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
