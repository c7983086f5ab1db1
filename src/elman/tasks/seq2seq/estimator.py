"""Sequence to sequence as an estimator: translation, dialogue, any text that answers a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from ...data import Encoder, as_sequences, by_length, hold_out, pad
from ...data.pairs import BETWEEN_TURNS, Pairs, aligned_pairs, as_pairs, pairs_in_table, read_conversations
from ...data.sequences import Sequences
from ...data.table import READABLE, Table, read_table
from ...errors import UserError
from ...generation import Sampler
from ...models import Seq2SeqNet
from ...models.decoder import DecoderNet, DecoderState
from ...structure import map_leaves
from ..sequence_task import built, judging
from ..sources import is_file, is_path, pair
from ..writing.attention_figure import draw_attention
from ..writing.estimator import EVALUATION_ROWS, Exercises, WritingEstimator, evenly, short_enough
from ..writing.writer import Answer, Ids, Writer, shifted
from .settings import Seq2SeqSettings, TeachingSettings

SIGMOID_STEEPNESS = 10.0
SHOWN_ANSWERS = 5
BLANK = "\N{OPEN BOX}"


class Seq2Seq(WritingEstimator):
    """Texts that answer texts: an encoder that reads both ways, a decoder of any cell, attention, beam search.

    ``fit``, ``predict``, ``answers``, ``evaluate``, ``score``, ``attention_weights``, ``attention_figure`` and, of a
    model of dialogues, ``reply``. Takes every option of ``Seq2SeqSettings`` by name; ``elman train seq2seq --help``
    explains each. X and y are lists or columns of texts, or X is the name of a file of pairs. After ``fit`` or ``load``
    there are also ``source_``, how sources are read, and ``writer_``, how targets are written.

    >>> words = ["one", "two", "three", "four"] * 8
    >>> model = Seq2Seq(cell="gru", hidden_size=16, target_tokens="char", min_count=0, steps=80, learning_rate=0.02,
    ...                 valid_share=0.3, target="digit", threads=1)
    >>> model.fit(words, ["1", "2", "3", "4"] * 8, valid=(words, ["1", "2", "3", "4"] * 8)).predict(["two", "four"])
    ['2', '4']
    """

    task = "seq2seq"
    settings_class = Seq2SeqSettings
    help = """Train a model that answers a text with a text; it is judged on a part it does not learn from.

    Examples:
      elman train seq2seq --data pairs.csv --source question --target answer
      elman train seq2seq --recipe translation --source train.en --target train.de
      elman train seq2seq --recipe number-words --data numbers.csv
      elman train seq2seq --recipe dialogue --data conversations.jsonl
      elman train seq2seq --resume runs/seq2seq-gru-1 --epochs 40
    """
    net: Seq2SeqNet
    settings_: Seq2SeqSettings
    source_: Encoder

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
        """Trains on pairs of texts, stops early, and ends with the weights best on the validation part.

        Args:
            X: sources, or a file of pairs; that of the options unless given.
            y: a target for each; None where X is a file.
            valid: the validation part: a pair (X, y) or a file; unless given that of the options, or ``valid_share``
                of the pairs, of which no source (no conversation) is trained on.
            run: a run folder to keep settings, metrics, curves and checkpoints in; unless given nothing is kept.
            resume: go on from that folder's last checkpoint, bit for bit; the data must be the same.
            console: where progress is shown, unless ``quiet``.
            quiet: show nothing.

        Raises ``UserError`` for every mistake in options and data, naming row and column; nothing is overwritten.
        """
        settings: Seq2SeqSettings = self._begin_with(X, valid)
        train, held = self._split(X, y, valid)
        self.source_, target = self._learned_encoders(train)
        self.writer_ = Writer(target, 0)
        sources, targets = self._sources(train), self._targets(train)
        rows = short_enough(targets, settings.pairs.max_length, "target")
        sources, targets = [sources[row] for row in rows], [targets[row] for row in rows]
        self.writer_ = Writer(target, max(map(len, targets)))
        # By the target, the dearer side, and among equals by the source.
        widest = 1 + max(map(len, sources))
        self._train_to_write(
            self._build(),
            _exercises(sources, targets),
            self._exercises(held),
            self._about(len(train), len(rows), len(held)),
            lengths=[len(target) * widest + len(source) for source, target in zip(sources, targets, strict=True)],
            smoothing=settings.teaching.label_smoothing,
            run=run,
            resume=resume,
            console=console,
            quiet=quiet,
        )
        self._kept = held
        return self

    def predict(self, X: Any) -> list[str]:
        """The best answer to every text of X, a list or a column."""
        return [found[0].text for found in self.answers(X)]

    def answers(self, X: Any, n_best: int = 1) -> list[list[Answer]]:
        """The ``n_best`` answers to every text of X, the best first, found by a beam of at least so many."""
        self._require_net()
        sources = self._encoded(as_sequences(X, kind="texts"))
        found: list[list[Answer]] = [[] for _ in sources]
        for rows in by_length([len(ids) for ids in sources], EVALUATION_ROWS):
            state = self._state([sources[row] for row in rows])
            answers = self.writer_.best(self.net.decoder, state, self.settings_.search, n_best)
            for row, each in zip(rows, answers, strict=True):
                found[row] = each
        return found

    def reply(self, history: Sequence[str], sampling: Sampler | None = None, generator: Any = None) -> str:
        """What comes after the turns of a conversation, the last of them last: the best answer, or one drawn.

        Raises ``UserError`` for an empty history, and for a model that was not trained on conversations.
        """
        self._require_net()
        turns = self.settings_.pairs.turns
        if turns is None:
            raise UserError("this model was not trained on conversations; train with turns=, then talk to it")
        if not history:
            raise UserError("there is nothing to reply to; give at least one turn")
        said = BETWEEN_TURNS.join(" ".join(turn.split()) for turn in history[-turns:])
        if sampling is None:
            return self.predict([said])[0]
        state = self._state(self._encoded(as_sequences([said], kind="texts")))
        longest = self.settings_.search.longest
        return self.writer_.drawn(self.net.decoder, state, sampling, longest, generator)[0]

    def attention_weights(
        self, source: str, target: str | None = None
    ) -> tuple[list[str], list[str], NDArray[np.float64]]:
        """Where the decoder looks: the tokens of both sides and the weights (target tokens, source tokens).

        Of the best answer, unless a target is given; the marks at the ends are written as "end".

        Raises ``UserError`` for a model without attention.
        """
        self._require_net()
        if self.net.decoder.attention is None:
            raise UserError("this model has no attention; train with attention='general' or 'additive'")
        (ids,) = self._encoded(as_sequences([source], kind="texts"))
        text = self.predict([source])[0] if target is None else target
        (written,) = self.writer_.ids(as_sequences([text], lambda i: "the target", kind="texts"))
        state = self._state([ids])
        with judging(self.net) as device:
            read = shifted(torch.from_numpy(written).unsqueeze(1), self.writer_.end)
            _, _, weights = self.net.decoder.read(read.to(device), state)
        assert weights is not None
        return _pieces(self.source_, ids), _pieces(self.writer_.encoder, written), weights[:, 0].double().cpu().numpy()

    def attention_figure(self, path: str | Path, source: str, target: str | None = None) -> None:
        """Draws ``attention_weights`` to a PNG file: a row a token of the answer, a column a token of the source."""
        draw_attention(*self.attention_weights(source, target), Path(path))

    def score(self, X: Any, y: Any = None) -> float:
        """The share of answers that are the target, token by token."""
        found = self.evaluate(X, y)
        if "exact" not in found:
            raise UserError("evaluate_texts is 0, so nothing is written and compared; set_search(evaluate_texts=1000)")
        return float(found["exact"])

    def evaluate(self, X: Any = None, y: Any = None) -> dict[str, Any]:
        """Loss (nats a token of the target, its end included), perplexity, exact matches and BLEU.

        On X and y, on a file of pairs, or, where X is None, on the part kept for validation. Loss and perplexity are of
        all pairs, the rest of ``evaluate_texts`` of them, taken evenly. ``bleu`` is that of sacrebleu with the text as
        it is (in lower case where the model is); ``bleu_signature`` says how it was counted or, where it is None, why
        it was not. ``shown`` has some sources, targets and answers.
        """
        self._require_net()
        pairs = self._validation_part() if X is None else self._pairs(X, y)
        judged = self._perplexity(self.net, self._exercises(pairs))
        found: dict[str, Any] = {"examples": len(pairs), **judged}
        search = self.settings_.search
        if not search.evaluate_texts:
            return found
        part = pairs[evenly(len(pairs), search.evaluate_texts)]
        texts = self.predict(part.sources)
        compared = self._compared(texts, [[text] for text in part.targets], self.settings_.pairs.lowercase)
        shown = [
            {"source": part.sources[i], "target": part.targets[i], "answer": texts[i]}
            for i in range(min(SHOWN_ANSWERS, len(part)))
        ]
        return found | compared | {"beam": search.beam, "shown": shown}

    def show(self, result: dict[str, Any], folder: Path | None) -> str:
        """What ``evaluate`` gave as lines; attention to the first source is drawn to ``attention.png`` there."""
        lines = [f"perplexity  {result['perplexity']:.3f} a token, over {result['examples']:,} pairs"]
        if "exact" in result:
            how = f"of {result['written']:,} answers, beam {result['beam']}"
            lines.append(f"exact       {result['exact']:.4f} {how}")
            counted = "" if result["bleu"] is None else f"{result['bleu']:.2f}  "
            lines.append(f"BLEU        {counted}({result['bleu_signature']})")
            for each in result["shown"]:
                lines += ["", f"  {_line(each['source'])}", f"  = {_line(each['target'])}"]
                lines.append(f"  > {_line(each['answer'])}")
            if folder is not None and self.net.decoder.attention is not None:
                self.attention_figure(folder / "attention.png", result["shown"][0]["source"])
                lines += ["", f"attention to the first drawn in {folder / 'attention.png'}"]
        return "\n".join(lines)

    def predictions(
        self, sources: list[str], top: int, attention_map: str | Path | None = None
    ) -> Iterator[tuple[dict[str, Any], str]]:
        """The best ``top`` answers to every text, and to every line or source of a file, as records and lines.

        Attention to the first text is drawn to ``attention_map``.
        """
        self._require_net()
        if not sources:
            raise UserError("nothing to predict; give a text in quotes, a file, or - for standard input")
        for source in sources:
            texts = self._texts_of(source)
            if attention_map is not None:
                self.attention_figure(attention_map, texts[0])
                attention_map = None
            for start in range(0, len(texts), EVALUATION_ROWS):
                part = texts[start : start + EVALUATION_ROWS]
                for text, found in zip(part, self.answers(part, top), strict=True):
                    record = {"answer": found[0].text, "input": text}
                    if top == 1:
                        yield record, found[0].text
                    else:
                        tops = [{"answer": each.text, "score": round(each.score, 4)} for each in found]
                        yield {**record, "answers": tops}, "\n".join(f"{e.score:8.3f}  {e.text}" for e in found)

    # What is learned, and the net made from it

    def _learned(self) -> dict[str, Any]:
        return {
            "source": self.source_.document(),
            "target": None if self.settings_.pairs.shared else self.writer_.encoder.document(),
            "longest": self.writer_.longest,
        }

    def _relearn(self, learned: dict[str, Any]) -> None:
        origin = str(self.run.path)
        self.source_ = Encoder.from_document(learned.get("source", {}), origin)
        target = self.source_
        if learned.get("target") is not None:
            target = Encoder.from_document(learned["target"], origin)
        if not isinstance(learned.get("longest"), int):
            raise UserError(f"{origin} says nothing of its targets; restore its learned.json or train again")
        self.writer_ = Writer(target, learned["longest"])

    def _build(self) -> Seq2SeqNet:
        net = self.settings_.net
        return built(
            Seq2SeqNet,
            net,
            self.source_.vocab_size,
            self.writer_.encoder.vocab_size,
            encoder_cell=net.encoder_cell,
            encoder_size=net.encoder_size,
            encoder_layers=net.encoder_layers,
            attention=None if net.attention == "none" else net.attention,
            input_feeding=net.input_feeding,
            embedding_size=net.embedding_size,
            tied=net.tied,
            shared=self.settings_.pairs.shared,
        )

    def _learned_encoders(self, train: Pairs) -> tuple[Encoder, Encoder]:
        options = self.settings_.pairs

        def learned(texts: Sequence[str], tokens: str) -> Encoder:
            return Encoder.learned(
                Sequences("texts", texts, train.place),
                tokens=tokens,
                lowercase=options.lowercase,
                # Options of the kinds of tokens there are: of two kinds, each takes its own.
                **{name: value for name, value in _OPTIONS[tokens](options).items() if value is not None},
            )

        kinds = (options.tokens, options.target_tokens or options.tokens)
        for name in ("min_count", "max_types", "vocab_size"):
            if getattr(options, name) is not None and not any(name in _OPTIONS[kind](options) for kind in kinds):
                raise UserError(f"{name} does not go with tokens='{options.tokens}'; leave it out")
        if options.shared:
            both = learned([*train.sources, *train.targets], options.tokens)
            return both, both
        return learned(train.sources, kinds[0]), learned(train.targets, kinds[1])

    def _about(self, pairs: int, learn: int, judge: int) -> dict[str, str]:
        options = self.settings_.pairs
        left = f" ({pairs - learn:,} left out, longer than max_length)" if learn < pairs else ""
        kinds = (options.tokens, options.target_tokens or options.tokens)
        sides = zip(("sources", "targets"), kinds, (self.source_, self.writer_.encoder), strict=True)
        types = ", ".join(f"{side} {kind}, {encoder.vocab_size:,} types" for side, kind, encoder in sides)
        shared = f"{kinds[0]}, {self.source_.vocab_size:,} types for both sides"
        return {
            "pairs": f"{learn:,} to learn from, {judge:,} to judge by{left}",
            "tokens": shared if options.shared else types,
        }

    # Pairs, from wherever they come

    def _split(self, X: Any, y: Any, valid: Any) -> tuple[Pairs, Pairs]:
        """The pairs to learn from and those to judge by."""
        options = self.settings_.pairs
        if X is None and options.data is None:
            train = aligned_pairs(self._file("source"), self._file("target"), options.encoding)
        else:
            train = self._pairs(options.data if X is None else X, y)
        valid = options.valid if valid is None else valid
        if valid is not None:
            return train, self._pairs(*pair(valid))
        if options.valid_source is not None or options.valid_target is not None:
            files = (self._file("valid_source"), self._file("valid_target"))
            return train, aligned_pairs(*files, options.encoding)
        learn, judge = hold_out(len(train), options.valid_share, groups=train.groups, seed=self.settings_.training.seed)
        return train[learn], train[judge]

    def _file(self, name: str) -> str:
        path = getattr(self.settings_.pairs, name)
        default = getattr(type(self.settings_.pairs)(), name)
        if path is None or (path == default and not Path(path).exists()):
            what = "there is nothing to train on; name a file of pairs with data= (--data FILE), give fit(X, y), or "
            raise UserError(
                f"{what if name in ('source', 'target') else ''}name two aligned text files with "
                + ("source= and target=" if name in ("source", "target") else "valid_source= and valid_target=")
            )
        return str(path)

    def _pairs(self, X: Any, y: Any) -> Pairs:
        options = self.settings_.pairs
        if not is_path(X):
            return as_pairs(X, y)
        if y is not None:
            raise UserError(f"X is the file {str(X)!r}, which holds the targets; leave y out")
        if options.turns is not None:
            return read_conversations(X, options.turns, options.encoding)
        table = read_table(X, options.encoding)
        return pairs_in_table(table, self._column(table, "source"), self._column(table, "target"))

    def _column(self, table: Table, side: str) -> str:
        """The name of the column of sources or targets."""
        named: str = getattr(self.settings_.pairs, side)
        # Of a model trained on two aligned files the options name these.
        return named if named in table.columns or self.settings_.pairs.data is not None else side

    def _read_kept(self) -> Pairs:
        return self._split(None, None, None)[1]

    def _texts_of(self, source: str) -> list[str]:
        if not is_file(source, READABLE):
            return [source]
        table = read_table(source, self.settings_.pairs.encoding)
        column = self._column(table, "source")
        if column not in table.columns:  # lines of source<TAB>target, or of sources alone
            column = next((name for name in ("label", "text") if name in table.columns), column)
        return [str(text or "") for text in table.column(column)]

    # Texts as ids, and ids as texts

    def _encoded(self, texts: Sequences) -> list[Ids]:
        """Sources as ids with the mark at their end, so that none is empty."""
        most, end = self.settings_.pairs.max_length, self.writer_.end
        return [np.append(ids[-most:] if most else ids, end).astype(np.int64) for ids in self.source_(texts)]

    def _sources(self, pairs: Pairs) -> list[Ids]:
        return self._encoded(Sequences("texts", pairs.sources, pairs.place))

    def _targets(self, pairs: Pairs) -> list[Ids]:
        return self.writer_.ids(Sequences("texts", pairs.targets, pairs.place))

    def _exercises(self, pairs: Pairs) -> Exercises:
        return _exercises(self._sources(pairs), self._targets(pairs))

    def _taught(self, decoder: DecoderNet, state: DecoderState, read: Tensor, epoch: float) -> Tensor:
        chance = own_share(self.settings_.teaching, epoch)
        return with_own_tokens(decoder, state, read, chance) if chance else read

    def _state(self, sources: Sequence[Ids]) -> DecoderState:
        with judging(self.net) as device:
            x, lengths = pad(sources)
            return self.net.begin(x.to(device), lengths.to(device))


_OPTIONS: Mapping[str, Any] = {
    "word": lambda options: {"min_count": options.min_count, "max_types": options.max_types},
    "char": lambda options: {"min_count": options.min_count, "max_types": options.max_types},
    "bpe": lambda options: {"vocab_size": options.vocab_size},
}


def own_share(teaching: TeachingSettings, epoch: float) -> float:
    """The probability of scheduled sampling after so many epochs (Bengio et al. 2015, arXiv:1506.03099, section 2.4).

    Linear, or their inverse sigmoid brought to 0 at the start and to the highest at the end of the rise.

    >>> [own_share(TeachingSettings(scheduled_sampling=0.5, sampling_epochs=4), epoch) for epoch in (0, 1, 8)]
    [0.0, 0.125, 0.5]
    """
    part = min(epoch / teaching.sampling_epochs, 1.0)
    if teaching.sampling_rise == "sigmoid":
        low, here = (1 / (1 + math.exp(-SIGMOID_STEEPNESS * (x - 0.5))) for x in (0.0, part))
        part = (here - low) / (1 - 2 * low)
    return teaching.scheduled_sampling * part


def with_own_tokens(decoder: DecoderNet, state: DecoderState, read: Tensor, chance: float) -> Tensor:
    """What the decoder reads, (T, B) ids, each but the first replaced with probability ``chance`` by one it drew.

    Drawn step by step from the model's own probabilities after what it has read so far, replaced tokens included
    (Bengio et al. 2015); no gradient goes through the choice.

    >>> net = DecoderNet(5, "gru", 4)
    >>> read = torch.tensor([[0, 0], [1, 2], [3, 4]])
    >>> torch.equal(with_own_tokens(net, net.begin(rows=2), read, 0.0), read)
    True
    """
    state = map_leaves(Tensor.detach, state)
    rows = [read[0]]
    with judging(decoder):
        for truth in read[1:].unbind(0):
            scores, state = decoder.step(rows[-1], state)
            drawn = torch.multinomial(scores.float().softmax(-1), 1).squeeze(1)
            rows.append(torch.where(torch.rand(len(drawn), device=drawn.device) < chance, drawn, truth))
    return torch.stack(rows)


def _exercises(sources: Sequence[Ids], targets: Sequence[Ids]) -> Exercises:
    return Exercises(targets, lambda rows: pad([sources[row] for row in rows]))


def _pieces(encoder: Encoder, ids: Ids) -> list[str]:
    """The tokens by themselves; the mark at the end is the last."""
    assert encoder.tokenizer is not None
    decode = encoder.tokenizer.decode
    return [*(decode([int(token)]).strip() or BLANK for token in ids[:-1]), "end"]


def _line(text: str) -> str:
    return " / ".join(text.splitlines())
