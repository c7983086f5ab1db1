"""Tagging as an estimator: a tag for every word of a sentence, a label for every step of a sequence of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from ...data import Batches, Encoder, Labels, Sequences, as_sequences, by_length, hold_out, pad
from ...data.batches import Rows
from ...data.labels import plain_label
from ...data.sequences import Kind
from ...data.tagged import TAGGED, Tagged, read_tagged, words_of
from ...errors import UserError
from ...models.tagger import TaggerNet
from ..coded import Batch, Coded
from ..confusion import confusion_matrix, draw_confusion, macro_f1, per_class, table
from ..labelling import LabellingEstimator, likeliest, some
from ..sequence_task import Lesson, built, judging, moved
from ..sources import is_file, is_path, pair
from .settings import TaggerSettings
from .spans import are_chunk_tags, span_scores

EVALUATION_ROWS = 128
Labelled = list[list[Any]]


class Tagger(LabellingEstimator):
    """A recurrent tagger of any cell: ``fit``, ``predict``, ``predict_proba``, ``score``, ``evaluate``.

    Takes every option of ``TaggerSettings`` by name; ``elman train tag --help`` explains each. X may be a list of token
    lists, a list of arrays (T_i,) or (T_i, F) of unequal length, an array (n, T) or (n, T, F, ...), or the name of a
    file; y has a list of tags for each. To predict, X may also be a list of texts, which are cut into words and
    punctuation. After ``fit`` or ``load`` there are also ``labels_``, ``encoder_`` and ``classes_``. scikit-learn's
    ``clone`` and ``cross_val_score`` work.

    >>> sentences = [["they", "run"], ["the", "run"], ["they", "walk"], ["the", "walk"]] * 4
    >>> tags = [["PRON", "VERB"], ["DET", "NOUN"]] * 8
    >>> model = Tagger(cell="rnn", hidden_size=12, character_size=0, steps=30, learning_rate=0.02, threads=1)
    >>> model.fit(sentences, tags).predict(["they run", "the run"])
    [['PRON', 'VERB'], ['DET', 'NOUN']]
    """

    task = "tag"
    settings_class = TaggerSettings
    help = """Train a tagger on a file of sequences with a tag for every step; it is judged on a part kept back.

    Examples:
      elman train tag --data train.conllu --valid dev.conllu
      elman train tag --data chunks.txt --crf --best spans --minutes 10
      elman train tag --data words.tsv --input 1 --column 3 --dropout 0.4
      elman train tag --data steps.csv --input 'x*' --column state --sequence walk --cell gru
      elman train tag --resume runs/tag-lstm-1 --epochs 20
    """
    net: TaggerNet
    settings_: TaggerSettings

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
            X: sequences, see the class, or a file of them; the file of the option ``data`` unless given.
            y: for each a list of tags, one a step: texts, whole numbers or truth values; None where X is a file.
            valid: the validation part: a pair (X, y) or a file; unless given that of the option ``valid``, or
                ``valid_share`` of the sequences.
            run: a run folder to keep settings, metrics, curves and checkpoints in; unless given nothing is kept.
            resume: go on from that folder's last checkpoint, bit for bit; the data must be the same.
            console: where progress is shown, unless ``quiet``.
            quiet: show nothing.

        Raises ``UserError`` for every mistake in options and data, naming row and column; nothing is overwritten.
        """
        settings: TaggerSettings = self._begin_with(X, valid)
        train, held = self._split(X, y, valid)
        self._learn(train)
        (coded, truth), kept = self._read(train), self._read(held)
        targets = self._numbers(truth)
        net = self._build()

        def loss(batch: Batch) -> Tensor:
            assert batch.targets is not None
            losses = net.losses(net(batch.x, batch.lengths, batch.spelling), batch.targets, batch.lengths)
            return losses.sum() / batch.lengths.sum().clamp(min=1)

        lesson = Lesson(
            net,
            Batches(
                coded.lengths,
                settings.machine.batch_size,
                lambda rows: coded.batch(rows, pad([targets[row] for row in rows])[0]),
                settings.training.seed,
            ),
            loss,
            lambda batch: int(batch.lengths.sum()),
            lambda: self._judged(net, *kept)[0],
            self._about(train, held) | (coded.warning(train.inputs.place) or kept[0].warning(held.inputs.place)),
            _JUDGES[settings.goal.best],
            "tokens" if self.encoder_.kind == "tokens" else "steps",
        )
        self._train(lesson, run=run, resume=resume, console=console, quiet=quiet)
        self._kept = kept
        return self

    def predict(self, X: Any) -> Labelled:
        """The tags of every sequence, a list of one for each step."""
        return [self._names(answers) for answers, _ in self._answered(self._given(X).inputs, False)]

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """The probability of every tag at every step, (T_i, K) for each sequence, columns as in ``classes_``."""
        return [probabilities for _, probabilities in self._answered(self._given(X).inputs, True)]

    def evaluate(self, X: Any = None, y: Any = None) -> dict[str, Any]:
        """Loss (nats a step), accuracy of steps and of whole sequences, and of every tag precision, recall and F1.

        On X and y, on a file, or, where X is None, on the part kept for validation. All are plain values:
        ``confusion[i][j]`` is how many steps of ``labels[i]`` were given ``labels[j]``. Of tokens ``unknown`` counts
        those outside the vocabulary, which only their characters tell. Tags that mark spans, such as B-NP I-NP O, are
        also judged by exact ``spans``, see ``elman.tasks.tag.spans``. A tag that training did not have cannot be
        predicted: it counts as wrong, and its sequence does not count in the loss.

        Raises ``UserError`` for a step without a tag, with its place.
        """
        self._require_net()
        coded, truth = self._validation_part() if X is None else self._read(self._given(X, y, strict=True))
        numbers, answers = self._judged(self.net, coded, truth)
        names = list(self.labels_.names)
        names += sorted({tag for tags in truth for tag in tags} - set(names), key=str)
        place = {name: number for number, name in enumerate(names)}
        right, given = np.array([place[tag] for tags in truth for tag in tags], np.int64), np.concatenate(answers)
        if not len(right):
            raise UserError("the sequences have no steps to judge by; give at least one that is not empty")
        confusion = confusion_matrix(right, given, len(names))
        found: dict[str, Any] = {
            "sequences": len(truth),
            "steps": len(right),
            **numbers,
            "f1": macro_f1(confusion),
            "whole": float(np.mean([tags == self._names(each) for tags, each in zip(truth, answers, strict=True)])),
            "labels": names,
            "per_label": {name: values.tolist() for name, values in per_class(confusion).items()},
            "confusion": confusion.tolist(),
        }
        if self.encoder_.tokenizer is not None:
            hits = (right == given)[np.concatenate(coded.steps) == self.encoder_.tokenizer.unknown_id]
            found["unknown"] = {"steps": len(hits), "accuracy": float(hits.mean()) if len(hits) else None}
        if are_chunk_tags(names):
            found["spans"] = span_scores(truth, map(self._names, answers))
        return found

    def show(self, result: dict[str, Any], folder: Path | None) -> str:
        """What ``evaluate`` gave as lines; the confusion matrix is drawn to ``confusion.png`` in ``folder``."""
        names = [str(label) for label in result["labels"]]
        confusion = np.array(result["confusion"])
        what = "steps" if self.encoder_.kind == "numbers" else "tokens"
        lines = [
            f"accuracy   {result['accuracy']:.4f}  ({np.trace(confusion):,} of {result['steps']:,} {what})",
            f"sequences  {result['whole']:.4f}  without a mistake, of {result['sequences']:,}",
            f"loss       {result['loss']:.4f}",
        ]
        unknown = result.get("unknown")
        if unknown and unknown["steps"]:
            lines.append(f"unknown    {unknown['accuracy']:.4f}  of {unknown['steps']:,} tokens outside the vocabulary")
        lines += ["", table(confusion, names)]
        unseen = [name for name in result["labels"] if name not in self.labels_.names]
        if unseen:
            lines.append(f"not there in training: {', '.join(map(str, unseen))}")
        if "spans" in result:
            lines += ["", _span_table(result["spans"])]
        if folder is not None:
            draw_confusion(confusion, names, folder / "confusion.png")
            lines += ["", f"drawn in {folder / 'confusion.png'}"]
        return "\n".join(lines)

    def predictions(self, sources: list[str], top: int) -> Iterator[tuple[dict[str, Any], str]]:
        """The tags of every sequence of files and texts, as records and lines; with ``top`` their rivals too."""
        self._require_net()
        if not sources:
            raise UserError("nothing to predict; give a file, a text in quotes, or - for standard input")
        for source in sources:
            named = is_file(source, TAGGED)
            if not named and self.encoder_.kind == "numbers":
                raise UserError(
                    f"{source!r} is no file, and this model reads numbers; give a file: {', '.join(TAGGED)}"
                )
            inputs = self._given(source if named else [source]).inputs
            for i, (numbers, likeliness) in enumerate(self._answered(inputs, top > 1)):
                tags = self._names(numbers)
                record: dict[str, Any] = {"tags": tags}
                answers = [str(tag) for tag in tags]
                if top > 1:
                    record["probabilities"] = [likeliest(step, self.labels_.names, top) for step in likeliness]
                    answers = ["|".join(f"{t}:{p:.3f}" for t, p in best.items()) for best in record["probabilities"]]
                if inputs.kind == "tokens":
                    words = inputs.items[i]
                    yield {"tokens": words, **record}, " ".join(map("/".join, zip(words, answers, strict=True)))
                else:
                    yield {"input": inputs.place(i), **record}, f"{inputs.place(i)}  {_runs(answers)}"

    # What is learned, and the net made from it

    def _learn(self, train: Tagged) -> None:
        options = self.settings_.examples
        if train.tags is None:
            raise UserError("y is missing; give a list of tags for every sequence of X")
        steps = [(i, step) for i, tags in enumerate(train.tags) for step in range(len(tags))]
        self.labels_ = Labels.learned(itertools.chain(*train.tags), lambda k: train.place(*steps[k]))
        self.encoder_ = Encoder.learned(
            train.inputs,
            lowercase=options.lowercase,
            standardise=options.standardise,
            centre_each=options.centre_each,
            min_count=options.min_count,
            max_types=options.max_types,
        )
        self._learn_letters(train.inputs)
        if self.settings_.goal.best == "spans" and not are_chunk_tags(self.labels_.names):
            raise UserError(f"best='spans' is for tags such as B-NP I-NP O, not {some(self.labels_.names)}")

    def _build(self) -> TaggerNet:
        net = self.settings_.net
        return built(TaggerNet, net, len(self.labels_), crf=net.crf, **self._reader_options())

    def _about(self, train: Tagged, held: Tagged) -> dict[str, str]:
        about = {
            "sequences": f"{len(train.inputs):,} to learn from, {len(held.inputs):,} to judge by",
            "tags": self._some_labels(),
        }
        if self.encoder_.kind == "numbers":
            return about | {"features": f"{self.encoder_.features} a step"}
        return about | {"words": self._types()}

    # Answers

    def _scored(self, net: TaggerNet, coded: Coded) -> Iterator[tuple[Rows, Tensor, Tensor]]:
        """Of all sequences, some at a time: their numbers (B,), their scores (T, B, K) and lengths (B,)."""
        like = next(net.parameters())
        with judging(net):
            for rows in by_length(coded.lengths, EVALUATION_ROWS):
                batch = moved(coded.batch(rows), like)
                yield rows, net(batch.x, batch.lengths, batch.spelling), batch.lengths

    def _answered(self, inputs: Sequences, likely: bool) -> list[tuple[Rows, NDArray[np.float64]]]:
        """Of every sequence the numbers of its tags, (T,), and the probabilities of all, (T, K), or mere scores."""
        found: dict[int, tuple[Rows, NDArray[np.float64]]] = {}
        for rows, scores, lengths in self._scored(self.net, self._coded(inputs)):
            answers = self.net.decode(scores, lengths).cpu().numpy()
            probabilities = self.net.probabilities(scores, lengths) if likely else scores
            numbers = probabilities.double().cpu().numpy()
            for column, (row, length) in enumerate(zip(rows.tolist(), lengths.tolist(), strict=True)):
                found[row] = answers[:length, column], numbers[:length, column]
        return [found[row] for row in range(len(inputs))]

    def _judged(self, net: TaggerNet, coded: Coded, truth: Labelled) -> tuple[dict[str, float], list[Rows]]:
        """Numbers about the answers to sequences whose tags are known, and the answers themselves."""
        targets, answers = self._numbers(truth), [np.zeros(0, np.int64)] * len(truth)
        total, steps = 0.0, 0
        for rows, scores, lengths in self._scored(net, coded):
            decoded = net.decode(scores, lengths).cpu().numpy()
            for column, row in enumerate(rows.tolist()):
                answers[row] = decoded[: len(targets[row]), column]
            known = [column for column, row in enumerate(rows.tolist()) if (targets[row] >= 0).all()]
            if known:
                wanted = pad([targets[rows[column]] for column in known])[0].to(lengths.device)
                losses = net.losses(scores[: len(wanted), known], wanted, lengths[known])
                total, steps = total + float(losses.sum()), steps + int(lengths[known].sum())
        right = sum(int((given == wanted).sum()) for given, wanted in zip(answers, targets, strict=True))
        numbers = {"loss": total / max(steps, 1), "accuracy": right / max(1, sum(map(len, truth)))}
        if are_chunk_tags(self.labels_.names):
            numbers["spans_f1"] = span_scores(truth, map(self._names, answers))["f1"]
        return numbers, answers

    def _names(self, numbers: Rows) -> list[Any]:
        return [self.labels_.names[number] for number in numbers.tolist()]

    def _numbers(self, truth: Labelled) -> list[Rows]:
        """The numbers of tags, -1 for those that training did not have."""
        found = ([self.labels_.find(tag) for tag in tags] for tags in truth)
        return [np.array([-1 if number is None else number for number in tags], np.int64) for tags in found]

    # Sequences, from wherever they come

    def _split(self, X: Any, y: Any, valid: Any) -> tuple[Tagged, Tagged]:
        """The sequences to learn from and those to judge by."""
        place = self.settings_.examples
        X = place.data if X is None else X
        if X is None:
            raise UserError("there is nothing to train on; name a file with data= (--data FILE), or give fit(X, y)")
        given = self._tagged(X, y, strict=True)
        valid = place.valid if valid is None else valid
        if valid is not None:
            return given, self._tagged(*pair(valid), strict=True, kind=given.inputs.kind)
        if len(given.inputs) == 1:
            raise UserError(
                "there is one sequence, which cannot be both learned from and judged by; give more (in a .csv file "
                "sequence= names the column that tells them apart), or others to judge by with valid="
            )
        parts = hold_out(len(given.inputs), place.valid_share, seed=self.settings_.training.seed)
        train, held = (given[rows.tolist()] for rows in parts)
        return train, held

    def _given(self, X: Any, y: Any = None, *, strict: bool = False) -> Tagged:
        """Sequences for the trained net."""
        self._require_net()
        return self._tagged(X, y, strict=strict, kind=self.encoder_.kind)

    def _tagged(self, X: Any, y: Any = None, *, strict: bool, kind: Kind | None = None) -> Tagged:
        """``strict``: for training and evaluation, where every step must have its tag; ``kind``: what the sequences
        must be, where that is known.
        """
        options = self.settings_.examples
        if is_path(X):
            if y is not None:
                raise UserError(f"X is the file {str(X)!r}, which holds the tags; leave y out")
            read = read_tagged(
                str(X),
                options.encoding,
                inputs=options.inputs,
                tags=options.column,
                sequence=options.sequence,
                strict=strict,
                kind=kind,
            )
            if kind is not None and read.inputs.kind != kind:
                raise UserError(f"{X} holds {read.inputs.kind}, but this model reads {kind}; give a file of those")
            return read
        if strict and y is None:
            raise UserError("y is missing; give a list of tags for every sequence of X")
        if kind == "tokens" and isinstance(X, list | tuple):
            X = [words_of(each) if isinstance(each, str) else each for each in X]
        return Tagged(as_sequences(X, kind=kind), y.to_numpy() if hasattr(y, "to_numpy") else y)

    def _read_kept(self) -> tuple[Coded, Labelled]:
        return self._read(self._split(None, None, None)[1])

    def _read(self, tagged: Tagged) -> tuple[Coded, Labelled]:
        """Sequences for the net, and their tags as plain values; raises ``UserError`` for one that is missing."""
        truth = [
            [self.labels_.own(plain_label(tag, step, partial(tagged.place, i))) for step, tag in enumerate(tags)]
            for i, tags in enumerate(() if tagged.tags is None else tagged.tags)
        ]
        return self._coded(tagged.inputs), truth


_JUDGES: dict[str, Callable[[Mapping[str, float]], Any]] = {
    # Of equal accuracy the surer one: small validation parts have many equals.
    "accuracy": lambda numbers: (-numbers["accuracy"], numbers["loss"]),
    "spans": lambda numbers: (-numbers["spans_f1"], numbers["loss"]),
    "loss": lambda numbers: numbers["loss"],
}


def _runs(answers: Sequence[str]) -> str:
    """Labels with the steps they last, from 1.

    >>> _runs(["walk", "walk", "run"])
    'walk 1-2, run 3'
    """
    shown, step = [], 0
    for label, same in itertools.groupby(answers):
        first, step = step + 1, step + len(list(same))
        shown.append(f"{label} {first}" + (f"-{step}" if step > first else ""))
    return ", ".join(shown)


def _span_table(found: dict[str, Any]) -> str:
    """Precision, recall and F1 of exact spans of every kind and of all."""
    rows = {**found["kinds"], "all spans": found}
    width = max(map(len, rows))
    lines = [f"{'span':<{width}}  there  precision  recall     F1"]
    for kind, each in rows.items():
        numbers = f"{each['precision']:>9.3f}  {each['recall']:>6.3f}  {each['f1']:>5.3f}"
        lines.append(f"{kind:<{width}}  {each['spans']:>5,}  {numbers}")
    return "\n".join(lines)
