"""Classification as an estimator: one label for a text, a list of tokens or a sequence of numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from ..data import Batches, Encoder, Labels, Sequences, as_sequences, by_length, hold_out, pad, read_table
from ..data.labels import plain_label
from ..data.sequences import Kind
from ..data.table import READABLE, Table
from ..errors import UserError
from ..models import ClassifierNet
from .classify_settings import ClassifierSettings
from .confusion import confusion_matrix, draw_confusion, macro_f1, per_class, table
from .sequence_task import Lesson, SequenceEstimator, built, judging, moved

EVALUATION_ROWS = 128
SHOWN = 60  # characters of an example in a line of output


class Batch(NamedTuple):
    """``x`` (T, B) ids or (T, B, F) numbers, ``lengths`` (B,), ``targets`` (B,) class numbers."""

    x: Tensor
    lengths: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Examples:
    """Examples, their labels and groups where there are any, and where a label stands."""

    inputs: Sequences
    labels: Sequence[Any] | None
    groups: Sequence[Any] | None = None
    label_place: Callable[[int], str] | None = None


class Classifier(SequenceEstimator):
    """A recurrent classifier of any cell: ``fit``, ``predict``, ``predict_proba``, ``score``, ``evaluate``.

    Takes every option of ``ClassifierSettings`` by name; ``elman train classify --help`` explains each. X may be a list
    of texts, lists of tokens, an array (n, T) or (n, T, F), a list of arrays (T_i,) or (T_i, F) of unequal length, a
    column of pandas, or the name of a file. After ``fit`` or ``load`` there are also ``labels_``, ``encoder_`` and
    ``classes_``. scikit-learn's ``clone``, ``cross_val_score`` and searches work.

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
      elman train classify --resume runs/classify-gru-1 --epochs 40
    """
    settings_: ClassifierSettings
    labels_: Labels
    encoder_: Encoder
    _kept_in_file: bool
    _kept: tuple[list[NDArray[Any]], NDArray[np.int64]]

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
        settings: ClassifierSettings = self._begin(self._options_with(X, valid))
        train, held = self._split(X, y, groups, valid)
        self._kept_in_file = all(part is None or _is_path(part) for part in (X, valid))
        self.labels_ = Labels.learned(train.labels or (), train.label_place)
        self.encoder_ = _learned_encoder(settings, train.inputs)
        inputs, targets = self.encoder_(train.inputs), self.labels_.encode(train.labels or (), train.label_place)
        kept = self.encoder_(held.inputs), self.labels_.encode(held.labels or (), held.label_place)
        net = self._build()
        weights = self._class_weights(targets)

        def loss(batch: Batch) -> Tensor:
            scores = net(batch.x, batch.lengths).float()
            weight = None if weights is None else weights.to(scores)
            return F.cross_entropy(scores, batch.targets, weight)

        def collate(rows: NDArray[np.int64]) -> Batch:
            return Batch(*pad([inputs[row] for row in rows]), torch.from_numpy(targets[rows]))

        batches = Batches([len(each) for each in inputs], settings.machine.batch_size, collate, settings.training.seed)
        lesson = Lesson(
            net,
            batches,
            loss,
            lambda batch: len(batch.targets),
            lambda: _numbers(_log_probabilities(net, kept[0]), kept[1]),
            self._about(len(inputs), len(kept[0])),
            _JUDGES[settings.goal.best],
        )
        self._train(lesson, run=run, resume=resume, console=console, quiet=quiet)
        self._kept = kept
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the columns of ``predict_proba``."""
        return self.labels_.array

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of every label for every example, (n, C), columns as in ``classes_``."""
        self._require_net()
        return np.exp(_log_probabilities(self.net, self.encoder_(self._inputs(X))))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of every example, (n,)."""
        answers = self.predict_proba(X).argmax(1)
        return self.classes_[answers]

    def score(self, X: Any, y: Any = None) -> float:
        """The share of examples whose label is predicted."""
        return float(self.evaluate(X, y)["accuracy"])

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
            given = self._examples(X, y, strict=True, kind=self.encoder_.kind)
            inputs, targets = self.encoder_(given.inputs), self.labels_.encode(given.labels or (), given.label_place)
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
            examples = self._examples(source, kind=self.encoder_.kind) if _is_file(source) else self._one_text(source)
            for i, probabilities in enumerate(np.exp(_log_probabilities(self.net, self.encoder_(examples.inputs)))):
                best = np.argsort(-probabilities, kind="stable")[:top]
                likely = {str(self.labels_.names[k]): round(float(probabilities[k]), 4) for k in best}
                shown = _shown(examples.inputs, i)
                answer = "  ".join(f"{name} {value:.3f}" for name, value in likely.items())
                label = self.labels_.names[best[0]]
                yield {"label": label, "probabilities": likely, "input": shown}, f"{answer}  {shown}"

    # What is learned, and the net made from it

    def _learned(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels_.names),
            "encoder": self.encoder_.document(),
            "validation_in_file": self._kept_in_file,
        }

    def _relearn(self, learned: dict[str, Any]) -> None:
        origin = str(self.run.path)
        if not isinstance(learned.get("labels"), list):
            raise UserError(f"{origin} says nothing of its labels; restore its learned.json or train again")
        self.labels_ = Labels(learned["labels"])
        self.encoder_ = Encoder.from_document(learned.get("encoder", {}), origin)
        self._kept_in_file = bool(learned.get("validation_in_file"))

    def _build(self) -> ClassifierNet:
        net, encoder = self.settings_.net, self.encoder_
        return built(
            ClassifierNet,
            net,
            len(self.labels_),
            vocab_size=encoder.vocab_size or None,
            features=encoder.features or None,
            bidirectional=net.bidirectional,
            embedding_size=net.embedding_size,
            pooling=net.pooling,
            word_dropout=net.word_dropout,
            unknown_id=encoder.tokenizer and encoder.tokenizer.unknown_id,
        )

    def _class_weights(self, targets: NDArray[np.int64]) -> Tensor | None:
        if self.settings_.goal.class_weight is None:
            return None
        counts = np.bincount(targets, minlength=len(self.labels_))
        return torch.from_numpy(len(targets) / (len(self.labels_) * counts))

    def _about(self, learn: int, judge: int) -> dict[str, str]:
        names = ", ".join(map(str, self.labels_.names[:8])) + (", ..." if len(self.labels_) > 8 else "")
        encoder = self.encoder_
        about = {
            "examples": f"{learn:,} to learn from, {judge:,} to judge by",
            "labels": f"{len(self.labels_)}: {names}",
        }
        if encoder.vocab_size:
            what = f"{self.settings_.examples.tokens}s" if encoder.kind == "texts" else "given"
            return about | {"tokens": f"{what}, {encoder.vocab_size:,} types"}
        return about | {"features": f"{encoder.features} a step"}

    # Examples, from wherever they come

    def _options_with(self, X: Any, valid: Any) -> Mapping[str, Any]:
        """The options, with the files that ``fit`` was given in place of those it was made with."""
        given = {name: str(each) for name, each in (("data", X), ("valid", valid)) if _is_path(each)}
        return {**self.get_params(), **given}

    def _split(self, X: Any, y: Any, groups: Any, valid: Any) -> tuple[Examples, Examples]:
        """The examples to learn from and those to judge by."""
        place, seed = self.settings_.examples, self.settings_.training.seed
        X = place.data if X is None else X
        if X is None:
            raise UserError("there is nothing to train on; name a file with data= (--data FILE), or give fit(X, y)")
        given = self._examples(X, y, strict=True, groups=groups)
        valid = place.valid if valid is None else valid
        if valid is not None:
            pair = (valid, None) if _is_path(valid) else _pair(valid)
            held = self._examples(*pair, strict=True, kind=given.inputs.kind)
            return given, held
        plain = [plain_label(label, row, given.label_place) for row, label in enumerate(given.labels or ())]
        if given.groups is None:
            parts = hold_out(len(plain), place.valid_share, labels=plain, seed=seed)
        else:
            parts = hold_out(len(plain), place.valid_share, groups=given.groups, seed=seed)
        train, held = (_part(given, rows) for rows in parts)
        return train, held

    def _validation_part(self) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
        if not hasattr(self, "_kept"):
            if not self._kept_in_file:
                raise UserError("what was kept for validation is in no file; name data to evaluate on")
            _, held = self._split(None, None, None, None)
            self._kept = self.encoder_(held.inputs), self.labels_.encode(held.labels or (), held.label_place)
        return self._kept

    def _inputs(self, X: Any) -> Sequences:
        return self._examples(X, kind=self.encoder_.kind).inputs

    def _one_text(self, text: str) -> Examples:
        if self.encoder_.kind == "numbers":
            raise UserError(f"{text!r} is no file, and this model reads numbers; give a file: {', '.join(READABLE)}")
        words = text.split() if self.encoder_.kind == "tokens" else text
        return self._examples([words], kind=self.encoder_.kind)

    def _examples(
        self, X: Any, y: Any = None, *, strict: bool = False, kind: Kind | None = None, groups: Any = None
    ) -> Examples:
        """``strict``: for training and evaluation, where labels must be there and no input of a file may be empty;
        ``kind``: what the examples must be, where that is known.
        """
        if _is_path(X):
            if y is not None:
                raise UserError(f"X is the file {str(X)!r}, which holds the labels; leave y out")
            if groups is not None:
                raise UserError(
                    f"X is the file {str(X)!r}; name its column of groups with group=, and leave groups out"
                )
            return self._from_file(str(X), strict, kind)
        inputs = as_sequences(X, step_size=self.settings_.examples.step_size, kind=kind)
        for name, values in (("y", y), ("groups", groups)):
            if values is not None and len(values) != len(inputs):
                raise UserError(f"X has {len(inputs)} examples, {name} has {len(values)}; expected one for each")
        if strict and y is None:
            raise UserError("y is missing; give a label for every example of X")
        return Examples(inputs, None if y is None else _flat(y), None if groups is None else _flat(groups))

    def _from_file(self, path: str, strict: bool, kind: Kind | None) -> Examples:
        options = self.settings_.examples
        table = read_table(path, options.encoding)
        label = options.label
        # Lines of label and text have names of their own, whatever those of the file trained on.
        if label is None or list(table.columns) == ["label", "text"]:
            label = next((name for name in ("label", "y", "class") if name in table.columns), None)
        if strict and label is None:
            raise UserError(f"{table.name} has no column 'label', but {_columns(table)}; name it with label= (--label)")
        labels = None
        if label is not None and (strict or label in table.columns):
            labels = [each.strip() if isinstance(each, str) else each for each in table.column(label)]
        groups = table.column(options.group) if strict and options.group else None
        columns = _input_columns(table, options.input, {label, options.group})
        if len(columns) == 1 and not _all_numbers(table.columns[columns[0]]):
            values: Any = table.column(columns[0])
            if strict:
                _refuse_empty(table, columns[0])
            values = ["" if value is None else value for value in values]
        else:
            values = _numeric(table, columns)
        inputs = as_sequences(
            values,
            lambda i: table.place(i, columns[0] if len(columns) == 1 else None),
            step_size=options.step_size,
            kind=kind,
        )
        return Examples(inputs, labels, groups, lambda i: table.place(i, label))

    def __sklearn_tags__(self) -> Any:
        tags = importlib.import_module("sklearn.utils")
        return tags.Tags(
            estimator_type="classifier",
            target_tags=tags.TargetTags(required=True),
            classifier_tags=tags.ClassifierTags(),
            input_tags=tags.InputTags(string=True, three_d_array=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net")


_JUDGES: dict[str, Callable[[Mapping[str, float]], Any]] = {
    # Of equal accuracy the surer one: small validation parts have many equals.
    "accuracy": lambda numbers: (-numbers["accuracy"], numbers["loss"]),
    "f1": lambda numbers: (-numbers["f1"], numbers["loss"]),
    "loss": lambda numbers: numbers["loss"],
}


def _log_probabilities(net: nn.Module, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """The logarithms of the probabilities, (n, C), in the order of the inputs."""
    rows_and_scores = []
    like = next(net.parameters())
    with judging(net):
        for rows in by_length([len(each) for each in inputs], EVALUATION_ROWS):
            x, lengths = moved(pad([inputs[row] for row in rows]), like)
            scores = net(x, lengths).double().log_softmax(-1)
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
    options = settings.examples
    return Encoder.learned(
        inputs,
        tokens=options.tokens,
        lowercase=options.lowercase,
        standardise=options.standardise,
        max_length=options.max_length,
        min_count=options.min_count,
        max_types=options.max_types,
        vocab_size=options.vocab_size,
    )


def _part(examples: Examples, rows: NDArray[np.int64]) -> Examples:
    labels, place = examples.labels or (), examples.label_place
    return Examples(
        examples.inputs[rows],
        [labels[row] for row in rows],
        None,
        None if place is None else lambda i: place(int(rows[i])),
    )


def _is_path(X: Any) -> bool:
    return isinstance(X, str | Path)


def _is_file(source: str) -> bool:
    """Whether a source of ``elman predict`` is a file: by its ending, so that a misspelt name is not read as a text."""
    named = source.lower().removesuffix(".gz").endswith(READABLE)
    return source == "-" or (named and (Path(source).exists() or " " not in source.strip()))


def _pair(valid: Any) -> tuple[Any, Any]:
    if not isinstance(valid, tuple | list) or len(valid) != 2:
        raise UserError("valid is neither a file nor a pair; give (X, y)")
    return valid[0], valid[1]


def _flat(values: Any) -> list[Any]:
    """Labels as a plain list, from a list, an array, a tensor or a column."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = np.asarray(values, object) if isinstance(values, list | tuple) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"y is {array.shape}; expected one label an example, (n,)")
    return list(array.tolist())


def _columns(table: Table) -> str:
    return f"the columns {', '.join(map(repr, list(table.columns)[:12]))}"


def _input_columns(table: Table, named: str | Sequence[str] | None, others: set[str | None]) -> list[str]:
    left = [name for name in table.columns if name not in others]
    if len(left) == 1:
        return left
    if named:
        return table.matching([named] if isinstance(named, str) else named)
    for name in ("text", "x"):
        if name in left:
            return [name]
    raise UserError(f"{table.name} has {_columns(table)}; name those of the examples with input= (--input)")


def _all_numbers(column: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in column)


def _refuse_empty(table: Table, column: str) -> None:
    for record, value in enumerate(table.columns[column]):
        if value is None or (isinstance(value, str) and not value.strip()):
            raise UserError(f"{table.place(record, column)} is empty; fill it in or take the row out")


def _numeric(table: Table, columns: Sequence[str]) -> NDArray[np.float64]:
    """Columns as numbers, (n, columns)."""
    numbers = np.empty((len(table), len(columns)))
    for k, name in enumerate(columns):
        for record, value in enumerate(table.column(name)):
            try:
                numbers[record, k] = value
            except (TypeError, ValueError):
                raise UserError(f"{table.place(record, name)} is {value!r}; expected a number") from None
    return numbers


def _shown(inputs: Sequences, i: int) -> str:
    item = inputs.items[i]
    if inputs.kind == "numbers":
        return inputs.place(i)
    text = " ".join(item if isinstance(item, list) else item.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
