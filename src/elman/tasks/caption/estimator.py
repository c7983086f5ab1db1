"""Captions as an estimator: texts from what is no text, a class, a vector of features, or a small picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from ...data import Encoder, Sequences, hold_out
from ...data.pictures import PICTURE_ENDINGS
from ...data.table import READABLE
from ...errors import UserError
from ...generation import Sampling
from ...generation.arguments import count as checked_count
from ...models import CaptionNet
from ..scene.figure import seen
from ..sequence_task import built, judging, moved
from ..sources import is_file, is_path, pair
from ..writing.attention_figure import draw_looks
from ..writing.estimator import EVALUATION_ROWS, Exercises, WritingEstimator, evenly, short_enough
from ..writing.settings import SearchSettings
from ..writing.writer import Answer, Writer, shifted
from .inputs import Captions, InputReader, Inputs, as_captions, as_inputs, read_captions, read_inputs
from .settings import CaptionSettings

SHOWN = 5
DRAWN_OF_A_CLASS = 20  # texts that evaluate draws of each class
ENDINGS = (*READABLE, ".npy", *PICTURE_ENDINGS)


class Captioner(WritingEstimator):
    """Texts from classes, vectors or pictures: ``fit``, ``predict``, ``answers``, ``samples``, ``evaluate``, ``score``.

    Takes every option of ``CaptionSettings`` by name; ``elman train caption --help`` explains each. X is a list or
    column of class names, an array (n, features), or pictures of one size, (n, height, width) or (n, height, width,
    channels); texts are as many, each a text or a list of texts that are all right. After ``fit`` or ``load`` there are
    also ``reader_`` and ``writer_``.

    >>> X = ["pet", "fish"] * 12
    >>> model = Captioner(cell="gru", hidden_size=16, tokens="char", steps=40, learning_rate=0.04, threads=1)
    >>> model.fit(X, ["cat", "cod"] * 12, valid=(["pet", "fish"], ["cat", "cod"])).predict(["fish", "pet"])
    ['cod', 'cat']
    """

    task = "caption"
    settings_class = CaptionSettings
    help = """Train a model that writes texts from classes, vectors or pictures; it is judged on a part it does not
    learn from.

    Examples:
      elman train caption --recipe names-by-class --data names.csv --input language --text name
      elman train caption --data captions.csv --features vectors.npy --input index
      elman train caption --recipe captions --data captions.jsonl --features features.npz --input image
      elman train caption --data captions.csv --input image --text caption --halvings 3
      elman train caption --resume runs/caption-gru-1 --epochs 40
    """
    net: CaptionNet
    settings_: CaptionSettings
    reader_: InputReader

    def fit(
        self,
        X: Any = None,
        texts: Any = None,
        *,
        valid: Any = None,
        run: str | Path | None = None,
        resume: bool = False,
        console: Console | None = None,
        quiet: bool = True,
    ) -> Self:
        """Trains on X and its texts, stops early, and ends with the weights best on the validation part.

        Args:
            X: what is written from, see the class, or a file of texts; that of the option ``data`` unless given.
            texts: a text, or a list of texts, for each; None where X is a file.
            valid: the validation part: a pair (X, texts) or a file; unless given that of the option ``valid``, or
                ``valid_share`` of the pictures or vectors, or of the texts of classes, of which none is in both parts.
            run: a run folder to keep settings, metrics, curves and checkpoints in; unless given nothing is kept.
            resume: go on from that folder's last checkpoint, bit for bit; the data must be the same.
            console: where progress is shown, unless ``quiet``.
            quiet: show nothing.

        Raises ``UserError`` for every mistake in options and data, naming row and column; nothing is overwritten.
        """
        settings: CaptionSettings = self._begin_with(X, valid)
        train, held = self._split(X, texts, valid)
        self.reader_ = InputReader.learned(train.inputs, settings.texts.standardise)
        self._check_search(settings.search)
        encoder = self._learned_encoder(train)
        self.writer_ = Writer(encoder, 0)
        whole = self._exercises(train)
        rows = np.array(short_enough(whole.targets, settings.texts.max_length, "text"))
        targets = [whole.targets[row] for row in rows]
        lengths = [len(ids) for ids in targets]
        self.writer_ = Writer(encoder, max(lengths))
        self._train_to_write(
            self._build(),
            Exercises(targets, lambda some: whole.told(rows[some])),
            self._exercises(held),
            self._about(train, held, len(whole.targets) - len(rows)),
            lengths=lengths,
            smoothing=settings.goal.label_smoothing,
            run=run,
            resume=resume,
            console=console,
            quiet=quiet,
        )
        self._kept = held
        return self

    def predict(self, X: Any) -> list[str]:
        """A text for everything in X: the best found, or one drawn where the option ``temperature`` is set."""
        if self._fitted_settings().search.temperature is not None:
            return [drawn[0] for drawn in self.samples(X)]
        return [found[0].text for found in self.answers(X)]

    def answers(self, X: Any, n_best: int = 1) -> list[list[Answer]]:
        """The ``n_best`` texts for everything in X, the best first, found by a beam of at least so many."""
        self._require_net()
        found: list[list[Answer]] = []
        for x in self._parts(self.reader_(as_inputs(X))):
            with judging(self.net):
                state = self.net.begin(x)
            found += self.writer_.best(self.net.decoder, state, self.settings_.search, n_best)
        return found

    def samples(
        self, X: Any, count: int = 1, *, temperature: float | None = None, seed: int | None = None
    ) -> list[list[str]]:
        """``count`` texts for everything in X, drawn at a temperature: that of the options, or 1, unless given.

        Draws anew at every call unless a ``seed`` is given. Raises ``UserError`` for a count below 1.
        """
        settings = self._fitted_settings()
        checked_count("count", count)
        if temperature is None:
            temperature = 1.0 if settings.search.temperature is None else settings.search.temperature
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()
        found: list[list[str]] = []
        for x in self._parts(self.reader_(as_inputs(X))):
            with judging(self.net):
                state = self.net.begin(x.repeat_interleave(count, 0))
            drawn = self.writer_.drawn(
                self.net.decoder, state, Sampling(temperature), settings.search.longest, generator
            )
            found += [drawn[start : start + count] for start in range(0, len(drawn), count)]
        return found

    def attention_weights(self, picture: Any, text: str | None = None) -> tuple[list[str], NDArray[np.float64]]:
        """The tokens of a picture's best text, or of the text given, the end included, and where the decoder looked
        before it wrote each, (tokens, rows, columns): weights over the places of its map of the picture.

        Raises ``UserError`` for a model of classes or vectors, which looks at no places.
        """
        self._require_net()
        if self.reader_.kind != "pictures":
            raise UserError(f"this model writes from {self.reader_.kind}, which have no places to look at")
        inputs = as_inputs(np.asarray(picture)[None])
        (x,) = self._parts(self.reader_(inputs))
        if text is None:
            text = self.answers(inputs.items)[0][0].text
        ids = torch.from_numpy(self.writer_.ids(_sequences([text], str))[0]).to(x.device).unsqueeze(1)
        with judging(self.net):
            _, _, weights = self.net.decoder.read(shifted(ids, self.writer_.end), self.net.begin(x))
        assert weights is not None
        halves = 2**self.settings_.net.halvings
        rows, columns = (-(-side // halves) for side in inputs.items.shape[1:3])
        tokens = [self.writer_.text([token]) or "end" for token in ids[:, 0].tolist()]
        return tokens, weights[:, 0].view(len(ids), rows, columns).double().cpu().numpy()

    def attention_figure(self, path: str | Path, picture: Any, text: str | None = None) -> None:
        """Draws a picture, or a file of one, to a PNG file: for each token darkened where it was not looked at."""
        self._require_net()
        if is_path(picture) and self.reader_.kind == "pictures":
            picture = read_inputs(str(picture), self.settings_.texts).items[0]
        tokens, weights = self.attention_weights(picture, text)
        picture = np.asarray(picture)
        draw_looks(seen(picture if picture.ndim == 3 else picture[..., None]), tokens, weights, Path(path))

    def score(self, X: Any, texts: Any = None) -> float:
        """The mean logarithm of the probability of a token: higher is better."""
        return -float(self.evaluate(X, texts)["loss"])

    def evaluate(self, X: Any = None, texts: Any = None) -> dict[str, Any]:
        """Loss (nats a token, the end included), perplexity, and what it writes: exact matches, BLEU, distinct texts.

        On X and texts, on a file, or, where X is None, on the part kept for validation. Loss and perplexity are over
        all texts. Of vectors and pictures, ``evaluate_texts`` at most, taken evenly, a text is written: ``exact`` is
        the share that is one of the texts given for it, ``bleu`` that of sacrebleu with all of these as references (in
        lower case where the model is) or None, and ``bleu_signature`` how it was counted or why not. Of classes 20
        texts each are drawn. ``distinct`` is the share of the written texts that are different.
        """
        settings = self._fitted_settings()
        captions = self._validation_part() if X is None else self._captions(X, texts)
        exercises = self._exercises(captions)
        found: dict[str, Any] = {"inputs": len(captions), "texts": len(exercises.targets)}
        found |= self._perplexity(self.net, exercises)
        if not settings.search.evaluate_texts:
            return found
        return found | (
            self._judged_draws(captions) if self.reader_.labels is not None else self._judged_texts(captions)
        )

    def _judged_draws(self, captions: Captions) -> dict[str, Any]:
        """How different the texts drawn of each class are."""
        assert self.reader_.labels is not None
        names = sorted(set(captions.inputs.items), key=self.reader_.labels.names.index)
        drawn = self.samples(names, DRAWN_OF_A_CLASS, seed=self.settings_.training.seed)
        every = [text for each in drawn for text in each]
        shown = [{"input": str(name), "drawn": each[:SHOWN]} for name, each in zip(names, drawn, strict=True)]
        return {"written": len(every), "distinct": len(set(every)) / len(every), "shown": shown}

    def _judged_texts(self, captions: Captions) -> dict[str, Any]:
        """How near the texts written from vectors or pictures are to those given."""
        settings = self.settings_
        part = captions[evenly(len(captions), settings.search.evaluate_texts)]
        drawn = settings.search.temperature is not None
        if drawn:
            answers = [each[0] for each in self.samples(part.inputs.items, seed=settings.training.seed)]
        else:
            answers = self.predict(part.inputs.items)
        return self._compared(answers, part.texts, settings.texts.lowercase) | {
            "distinct": len(set(answers)) / len(answers),
            "beam": None if drawn else settings.search.beam,
            "shown": [
                {"input": part.inputs.place(i), "texts": part.texts[i], "answer": answers[i]}
                for i in range(min(SHOWN, len(part)))
            ],
        }

    def show(self, result: dict[str, Any], folder: Path | None) -> str:
        """What ``evaluate`` gave as lines."""
        lines = [f"perplexity  {result['perplexity']:.3f} a token, over {result['texts']:,} texts"]
        if "exact" in result:
            how = "drawn" if result["beam"] is None else f"beam {result['beam']}"
            lines.append(f"exact       {result['exact']:.4f} of {result['written']:,} texts written ({how})")
            if result["bleu"] is None:
                lines.append(f"BLEU        {result['bleu_signature']}")
            else:
                lines.append(f"BLEU        {result['bleu']:.2f}  ({result['bleu_signature']})")
        if "distinct" in result:
            lines.append(f"distinct    {result['distinct']:.4f} of {result['written']:,} texts written")
            for each in result["shown"]:
                if "drawn" in each:
                    lines.append(f"  {each['input']}: {', '.join(each['drawn'])}")
                else:
                    lines += ["", f"  {each['input']}", f"  = {each['texts'][0]}", f"  > {each['answer']}"]
        return "\n".join(lines)

    def predictions(
        self, sources: list[str], top: int, attention_map: str | Path | None = None
    ) -> Iterator[tuple[dict[str, Any], str]]:
        """``top`` texts for every class named, and for every input of files: the best, or as many drawn where the
        option ``temperature`` is set. Where the model looked in the first picture is drawn to ``attention_map``.
        """
        settings = self._fitted_settings()
        if not sources:
            known = self.reader_.labels
            names = f", such as {known.names[0]!r}," if known else ""
            raise UserError(f"nothing to predict; give a class{names} or a file")
        for source in sources:
            inputs = read_inputs(source, settings.texts) if is_file(source, ENDINGS) else self._one_class(source)
            for start in range(0, len(inputs), EVALUATION_ROWS):
                part = inputs[np.arange(start, min(start + EVALUATION_ROWS, len(inputs)))]
                self.reader_(part)  # for its place, should it be none that the model knows
                if attention_map is not None:
                    self.attention_figure(attention_map, part.items[0])
                    attention_map = None
                if settings.search.temperature is None:
                    texts = [[each.text for each in found] for found in self.answers(part.items, top)]
                else:
                    texts = self.samples(part.items, top)
                for i, each in enumerate(texts):
                    name = str(part.items[i]) if part.kind == "classes" else part.place(i)
                    record: dict[str, Any] = {"text": each[0], "input": name}
                    if top > 1:
                        record["texts"] = each
                    yield record, "\n".join(f"{name}: {text}" for text in each)

    # What is learned, and the net made from it

    def _learned(self) -> dict[str, Any]:
        return {
            "reader": self.reader_.document(),
            "encoder": self.writer_.encoder.document(),
            "longest": self.writer_.longest,
        }

    def _relearn(self, learned: dict[str, Any]) -> None:
        origin = str(self.run.path)
        self.reader_ = InputReader.from_document(learned.get("reader", {}), origin)
        if not isinstance(learned.get("longest"), int):
            raise UserError(f"{origin} says nothing of its texts; restore its learned.json or train again")
        self.writer_ = Writer(Encoder.from_document(learned.get("encoder", {}), origin), learned["longest"])

    def _build(self) -> CaptionNet:
        net = self.settings_.net
        return built(
            CaptionNet,
            net,
            self.writer_.encoder.vocab_size,
            **self.reader_.sizes,
            input_size=net.input_size,
            halvings=net.halvings,
            attention=net.attention,
            embedding_size=net.embedding_size,
            tied=net.tied,
        )

    def _learned_encoder(self, train: Captions) -> Encoder:
        options = self.settings_.texts
        return Encoder.learned(
            _sequences([text for each in train.texts for text in each], train.text_place),
            tokens=options.tokens,
            lowercase=options.lowercase,
            min_count=options.min_count,
            max_types=options.max_types,
        )

    def _exercises(self, captions: Captions) -> Exercises:
        """Every text, and the input it is written from."""
        x = self.reader_(captions.inputs)
        of = np.array([row for row, each in enumerate(captions.texts) for _ in each])
        texts = _sequences([text for each in captions.texts for text in each], captions.text_place)
        return Exercises(self.writer_.ids(texts), lambda rows: (torch.from_numpy(x[of[rows]]),))

    def set_search(self, **options: Any) -> Self:
        """As of every model that writes; a ``beam`` without ``temperature`` searches where texts were drawn before."""
        return super().set_search(**({"temperature": None} if "beam" in options else {}) | options)

    def _check_search(self, search: SearchSettings) -> None:
        if search.coverage_penalty and self.reader_.kind != "pictures":
            raise UserError(
                f"coverage_penalty={search.coverage_penalty} counts where attention went, and there is none to "
                f"{self.reader_.kind}; leave it out"
            )

    def _about(self, train: Captions, held: Captions, left: int) -> dict[str, str]:
        learn, judge = (sum(map(len, part.texts)) for part in (train, held))
        kind = self.reader_.kind
        if self.reader_.labels is not None:
            names = self.reader_.labels.names
            told = f"{len(names)}: {', '.join(map(str, names[:8]))}{', ...' if len(names) > 8 else ''}"
        else:
            size = " x ".join(map(str, train.inputs.items.shape[1:]))
            told = f"{len(train):,} to learn from, {len(held):,} to judge by, {size}"
        return {
            kind: told,
            "texts": f"{learn:,} to learn from, {judge:,} to judge by"
            + (f" ({left:,} left out, longer than max_length)" if left else ""),
            "tokens": f"{self.settings_.texts.tokens}s, {self.writer_.encoder.vocab_size:,} types",
        }

    # Inputs and texts, from wherever they come

    def _split(self, X: Any, texts: Any, valid: Any) -> tuple[Captions, Captions]:
        """The captions to learn from and those to judge by."""
        options, seed = self.settings_.texts, self.settings_.training.seed
        X = options.data if X is None else X
        if X is None:
            raise UserError("there is nothing to train on; name a file with data= (--data FILE), or give fit(X, texts)")
        given = self._captions(X, texts)
        valid = options.valid if valid is None else valid
        if valid is not None:
            return given, self._captions(*pair(valid))
        groups = None
        if given.inputs.kind == "classes":
            groups = ["\n".join(each).lower() for each in given.texts]
        learn, judge = hold_out(len(given), options.valid_share, groups=groups, seed=seed)
        return given[learn], given[judge]

    def _captions(self, X: Any, texts: Any) -> Captions:
        if not is_path(X):
            return as_captions(X, texts)
        if texts is not None:
            raise UserError(f"X is the file {str(X)!r}, which holds the texts; leave texts out")
        return read_captions(str(X), self.settings_.texts)

    def _read_kept(self) -> Captions:
        return self._split(None, None, None)[1]

    def _one_class(self, name: str) -> Inputs:
        if self.reader_.labels is None:
            raise UserError(f"{name!r} is no file, and this model writes from {self.reader_.kind}; give a file")
        # On the command line a whole number is a text.
        named = {str(label): label for label in self.reader_.labels.names}
        return as_inputs([named.get(name, name)], lambda i: "the command line")

    def _parts(self, x: NDArray[Any]) -> Iterator[Tensor]:
        like = next(self.net.parameters())
        for start in range(0, len(x), EVALUATION_ROWS):
            yield moved((torch.from_numpy(x[start : start + EVALUATION_ROWS]),), like)[0]

    def _fitted_settings(self) -> CaptionSettings:
        self._require_net()
        return self.settings_


def _sequences(texts: Sequence[str], place: Any) -> Sequences:
    return Sequences("texts", texts, place)
