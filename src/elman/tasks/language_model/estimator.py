"""The language model as an estimator: train on a text, measure perplexity, tell a story."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from ...data import Corpus, Streams, Tokenizer, TokenSet, documents, evaluation_windows, load_corpus, whole_text
from ...data.table import lines_of
from ...errors import UserError
from ...generation import STOPPED, Sampling, beam_search, stream_tokens
from ...models import LanguageNet
from ...tbptt import TBPTT
from ...training import Result, RunFolder, distinct_tensors, join, load_weights, train
from ..estimator import Estimator, options_of, settings_from
from ..runs import (
    DIGEST,
    cell_names,
    check_resumable,
    device_at_hand,
    device_named,
    digest_of,
    new_run_folder,
    read_settings,
    write_settings,
)
from ..settings import LanguageModelSettings
from ..sources import is_file
from .completion import Completion, before_gap, next_tokens, next_words
from .growing_text import GrowingText

TASK = "language_model"
NEWLINE = "\n"

WORDS = ("word", "spaced")
TOP = 5
EVALUATION_STEPS = 256
EVALUATION_ROWS = 32
EVALUATION_SCORES = 1 << 23  # logits held at once; a large vocabulary is judged in shorter windows


class LanguageModel(Estimator):
    """A recurrent language model of any cell: ``fit`` a text, ``evaluate`` perplexity, ``generate`` more of its kind.

    Takes every option of ``LanguageModelSettings`` by name; ``elman train lm --help`` explains each. After ``fit`` or
    ``load``: ``net`` (the ``LanguageNet``, with the best weights), ``tokenizer_``, ``settings_`` (the options it was
    trained with), ``run`` (the run folder) and, after ``fit``, ``result`` and ``unigram_bits_per_character``.

    >>> lm = LanguageModel(cell="gru", hidden_size=16, steps=3)
    >>> import tempfile
    >>> lm = lm.fit("tales", run=tempfile.mkdtemp() + "/run", quiet=True)
    >>> len(lm.generate("Once upon a time", length=5, seed=1))
    5
    """

    settings_class = LanguageModelSettings
    help = """Train a recurrent language model on a text; it is judged on a part of the text it does not learn from.

    Examples:
      elman train lm --data my.txt --cell gru --minutes 5
      elman train lm --data stories/ --cell lstm --hidden-size 256 256 --dropout 0.2 --schedule cosine
      elman train lm --recipe demo --cell scrn --cell-args context_size=64 alpha=0.9
      elman train lm --resume runs/lm-gru-1 --minutes 10
    """
    net: LanguageNet
    tokenizer_: Tokenizer
    settings_: LanguageModelSettings
    run: RunFolder
    result: Result
    unigram_bits_per_character: float
    _digest: str | None

    def settings(self) -> LanguageModelSettings:
        """The options, checked and frozen; raises ``UserError`` for values that cannot be."""
        return settings_from(LanguageModelSettings, self.get_params())

    def fit(
        self,
        data: str | Path | None = None,
        *,
        run: str | Path | None = None,
        resume: bool = False,
        console: Console | None = None,
        quiet: bool = False,
    ) -> Self:
        """Trains on ``data`` (default: the option of that name) in the run folder ``run`` (default: a new one in runs).

        Args:
            data: a file, a folder of stories, or a corpus by name.
            run: the folder for settings, tokenizer, metrics, curves and checkpoints; with ``resume`` an existing one.
            resume: go on from the folder's last checkpoint, bit for bit.
            console: where progress is shown; default standard output.
            quiet: show nothing.

        Raises ``UserError`` for every mistake in options, text or folder; nothing that exists is overwritten.
        """
        options = self.get_params() if data is None else {**self.get_params(), "data": str(data)}
        settings = settings_from(LanguageModelSettings, options)
        place, text = settings.sequences, settings.text
        if place.threads is not None:
            torch.set_num_threads(place.threads)
        console = console or Console(quiet=quiet)
        with join(device_named(place.device)) as workers:
            folder = RunFolder(run or new_run_folder(f"lm-{cell_names(settings.net.cells, '-').lower()}", workers))
            corpus = load_corpus(text.data, **_corpus_options(settings), progress=workers.first and not quiet)
            streams = Streams(
                corpus.train,
                place.batch_size,
                place.unroll,
                workers.rank,
                workers.world,
                resets=place.reset_documents,
                vary=settings.training.seed if place.vary_unroll else None,
            )
            digest = digest_of(_files(settings))
            torch.manual_seed(settings.training.seed)
            net = build_net(settings, corpus.tokenizer.vocab_size).to(workers.device, getattr(torch, place.dtype))
            _try_out(net)
            if resume:
                check_resumable(folder, self.load_settings(folder), settings)
                kept = folder.load_settings().get(DIGEST), Tokenizer.load(folder.tokenizer).identity
                if kept != (digest, corpus.tokenizer.identity):
                    raise UserError(
                        f"the text has changed since {folder.path} was trained; resume with the text as it was, or "
                        "start a new run"
                    )
            elif workers.first:
                _write_run(folder, settings, corpus.tokenizer, digest)
            workers.wait()
            self.run = folder
            if workers.first and not quiet:
                console.print(_summary(settings, corpus, net, folder), highlight=False, soft_wrap=True)
            tbptt = TBPTT(workers.wrap(net), place.unroll, place.backprop, precision=place.precision)
            self.result = train(
                net,
                streams,
                lambda window: _backward(tbptt, net, [each.to(workers.device) for each in window]),
                lambda: evaluate_net(net, corpus.valid, ranked(corpus.tokenizer)),
                settings.training,
                folder,
                tokens=lambda window: window.y.numel(),
                share=(lambda window: len(window.x) / place.unroll) if place.vary_unroll else None,
                carried={"tbptt": tbptt},
                resume=resume,
                workers=workers,
                console=console,
                silent=quiet,
            )
            load_weights(net, self.result.best)
        self.net, self.tokenizer_, self.settings_, self._digest = net.eval(), corpus.tokenizer, settings, digest
        self.unigram_bits_per_character = corpus.unigram_bits_per_character()
        return self

    def evaluate(self, data: str | Path | None = None) -> dict[str, float]:
        """Loss (nats a token), perplexity and bits per character of ``data``, or of what was kept for validation.

        A model of words also says how often the right word was among its five likeliest, ``top5_accuracy``. Every
        document is read once from the start state, every transition counts; ``unigram_bits_per_character`` is what
        guessing by frequency reaches, where the training text is at hand.
        """
        self._require_net()
        text = self.settings_.text
        if data is not None:
            judged = whole_text(data, self.tokenizer_, lowercase=text.lowercase)
            return evaluate_net(self.net, judged, ranked(self.tokenizer_))
        corpus = load_corpus(text.data, **_corpus_options(self.settings_))
        same = corpus.tokenizer.identity == self.tokenizer_.identity
        if not same or self._digest != digest_of(_files(self.settings_)):
            raise UserError(f"the text {text.data!r} has changed since training; name the text to evaluate on")
        return evaluate_net(self.net, corpus.valid, ranked(self.tokenizer_)) | {
            "unigram_bits_per_character": corpus.unigram_bits_per_character()
        }

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        greedy: bool = False,
        beam: int | None = None,
        length_penalty: float = 0.0,
        stop: str | None = None,
        samples: int = 1,
        noise: float | None = None,
        seed: int | None = None,
        on_text: Callable[[int, str], object] | None = None,
    ) -> str | list[str]:
        """What the model writes after ``prompt``: a string, or a list of ``samples`` strings when there are several.

        Args:
            prompt: the beginning; empty starts a story. A model of lower-case text reads it in lower case.
            length: most tokens to write; a story also ends at its end mark.
            temperature: below 1 safer, above 1 wilder; 0 is greedy.
            top_k: only the k likeliest tokens.
            top_p: only the likeliest tokens that together have this probability.
            greedy: always the likeliest token.
            beam: width of a beam search for the likeliest text instead of sampling.
            length_penalty: of the beam search, 0 to 1; larger favours longer texts.
            stop: a text at which to stop.
            samples: texts written side by side.
            noise: sigma of a random start state, 0.01 in the textbook.
            seed: makes the choice repeatable.
            on_text: called with (sample, new text) as the text grows.

        Raises ``UserError`` for a prompt with characters the model never saw, and for options out of range.
        """
        self._require_net()
        ids = encode_prompt(self.tokenizer_, prompt.lower() if self.settings_.text.lowercase else prompt)
        end, unknown = self.tokenizer_.end_id, self.tokenizer_.unknown_id
        start = partial(GrowingText, self.tokenizer_.decode_each, stop, prompt, ids)
        common: dict[str, Any] = {"start": end, "forbid": () if unknown is None else (unknown,)}
        if beam is not None:
            if samples != 1 or top_k or top_p or greedy or noise is not None:
                raise UserError(
                    "beam search finds the one likeliest text; leave samples, top_k, top_p, greedy and noise out"
                )
            best = beam_search(
                self.net, ids, length=length, width=beam, length_penalty=length_penalty, stop=end, **common
            )[0].ids
            text = start()
            for token in best:
                text.add(token)
            text.end()
            if on_text is not None:
                on_text(0, text.text)
            return text.text
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, greedy=greedy)
        steps = stream_tokens(
            self.net,
            ids,
            length=length,
            sampling=sampling,
            samples=samples,
            stop=() if end is None else end,
            noise=noise,
            seed=seed,
            **common,
        )
        texts = [start() for _ in range(samples)]
        # A net that starts from noise draws it from PyTorch's own generator.
        with torch.random.fork_rng([], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            for step in steps:
                for sample, (text, token) in enumerate(zip(texts, step.tolist(), strict=True)):
                    new = text.end() if token in (STOPPED, end) else text.add(token)
                    if new and on_text is not None:
                        on_text(sample, new)
                if all(text.ended for text in texts):
                    break
        for sample, text in enumerate(texts):
            if (new := text.end()) and on_text is not None:
                on_text(sample, new)
        written_texts = [text.text for text in texts]
        return written_texts[0] if samples == 1 else written_texts

    def complete(self, prompt: str, top: int = 5, *, tokens: bool = False) -> list[Completion]:
        """The ``top`` likeliest words to come after ``prompt``, each with its probability, the likeliest first.

        A gap ``__`` at the prompt's end stands for the word. Models of words rank their words; models of characters
        search for whole words letter by letter, also such as finish one that the prompt begins (with ``tokens`` they
        rank characters); other models rank their tokens. What may not be shown, the unknown word and the end of the
        text, is left out, so that the probabilities of all words add up to less than one.

        Raises ``UserError`` for a gap elsewhere than at the end, and for characters the model never saw.

        >>> import tempfile
        >>> lm = LanguageModel(cell="gru", hidden_size=16, steps=3).fit("tales", run=tempfile.mkdtemp(), quiet=True)
        >>> [len(each.text) for each in lm.complete("Once upon a __", top=3, tokens=True)]
        [1, 1, 1]
        """
        self._require_net()
        text = before_gap(prompt)
        ids = encode_prompt(self.tokenizer_, text.lower() if self.settings_.text.lowercase else text)
        if self.tokenizer_.kind == "char" and not tokens:
            return next_words(self.net, self.tokenizer_, ids, top)
        return next_tokens(self.net, self.tokenizer_, ids, top)

    def predictions(self, sources: list[str], top: int) -> Iterator[tuple[dict[str, Any], str]]:
        """What may come next after each text of ``elman predict`` (files: a text a line), as records and lines."""
        if not sources:
            raise UserError('nothing to go on from; give a text in quotes, such as "let\'s meet for __", or a file')
        for source in sources:
            texts = _lines(source) if is_file(source, (".txt",)) else [source]
            for text in texts:
                found = self.complete(text, top)
                words = [{"text": word, "probability": round(p, 6)} for word, p in found]
                shown = [f"{p:8.4f}  {'(line end)' if word == NEWLINE else word.strip()}" for word, p in found]
                yield {"prompt": text, "next": words}, "\n".join([text, *shown])

    def save(self, folder: str | Path) -> None:
        """Writes the model to a folder that ``load`` reads: settings, tokenizer and weights, in a run folder's layout.

        Raises ``UserError`` where the folder holds a run already.
        """
        self._require_net()
        save_model(self.net, self.tokenizer_, self.settings_, RunFolder(folder), self._digest)

    @classmethod
    def load(cls, folder: str | Path, checkpoint: str = "best") -> LanguageModel:
        """The model of a run folder, with its best weights, or those of the checkpoint named ("last", a step)."""
        run = RunFolder(folder)
        settings = cls.load_settings(run)
        model = cls(**options_of(settings))
        model.tokenizer_, model._digest = Tokenizer.load(run.tokenizer), run.load_settings().get(DIGEST)
        net = build_net(settings, model.tokenizer_.vocab_size).to(getattr(torch, settings.sequences.dtype))
        load_weights(net, run.checkpoint(checkpoint))
        model.net, model.settings_, model.run = net.to(device_at_hand(settings.sequences.device)).eval(), settings, run
        return model

    @classmethod
    def load_settings(cls, run: RunFolder) -> LanguageModelSettings:
        """The settings a run was trained with, see ``read_settings``."""
        return read_settings(run, TASK, LanguageModelSettings, "a language model")

    def _require_net(self) -> None:
        if not hasattr(self, "net"):
            raise UserError("this language model has not been trained; call fit(), or LanguageModel.load(folder)")


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy in nats over all (T, B) targets.

    >>> round(cross_entropy(torch.zeros(3, 2, 8), torch.zeros(3, 2, dtype=torch.long)).exp().item(), 4)
    8.0
    """
    # Products under autocast give bfloat16, too coarse for the logarithm of a sum.
    numbers = logits.float() if logits.dtype == torch.bfloat16 else logits
    return F.cross_entropy(numbers.flatten(0, 1), targets.flatten())


def _backward(tbptt: TBPTT, net: LanguageNet, window: Sequence[Tensor]) -> Tensor:
    """The mean cross entropy of a window; its gradients have the net's penalty in them."""

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        found = cross_entropy(logits, targets)
        return found if net.penalty is None else found + net.penalty

    total = tbptt.backward(loss, *window)
    penalty, net.penalty = net.penalty, None
    return total if penalty is None else total - penalty.detach()


@torch.no_grad()
def evaluate_net(net: LanguageNet, tokens: TokenSet, top: int | None = None) -> dict[str, float]:
    """Mean loss over every scored transition of ``tokens``, its exponential, and bits per character, in one pass.

    The state is carried through each document from the start state. With ``top`` also how often the right token was
    among that many likeliest.
    """
    device = next(net.parameters()).device
    mode = net.training
    net.eval()
    total, hits, state = 0.0, 0, None
    rows = min(EVALUATION_ROWS, len(tokens.starts))
    steps = max(1, min(EVALUATION_STEPS, EVALUATION_SCORES // (rows * net.vocab_size)))
    for window in evaluation_windows(tokens, steps, rows):
        x, y, resets, scored = (each.to(device) for each in window)
        logits, state = net(x, state, resets=resets)
        logits, targets = logits[scored], y[scored]
        total += float(F.cross_entropy(logits, targets, reduction="none").double().sum())
        if top:
            hits += int((ranks(logits, targets) < top).sum())
    net.train(mode)
    loss = total / tokens.scored
    found = {
        "loss": loss,
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "bits_per_character": total / math.log(2) / tokens.characters,
    }
    return found | {f"top{top}_accuracy": hits / tokens.scored} if top else found


def ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """(N,): how many types score above the targets (N,) in scores (N, V); of equal ones the lower id comes first.

    >>> ranks(torch.tensor([[0.1, 0.7, 0.7], [0.1, 0.7, 0.7]]), torch.tensor([1, 2])).tolist()
    [0, 1]
    """
    mine = scores.gather(1, targets[:, None])
    lower = torch.arange(scores.shape[1], device=scores.device) < targets[:, None]
    return ((scores > mine) | ((scores == mine) & lower)).sum(1)


def ranked(tokenizer: Tokenizer) -> int | None:
    """Among how many likeliest tokens the right one is looked for: five words, and no rank of other tokens."""
    return TOP if tokenizer.kind in WORDS else None


def build_net(settings: LanguageModelSettings, vocab_size: int) -> LanguageNet:
    """The network of these settings, freshly started from PyTorch's generator."""
    net = settings.net
    try:
        return LanguageNet(
            vocab_size,
            net.cell if isinstance(net.cell, str) else list(net.cell),
            net.hidden_size if isinstance(net.hidden_size, int) else list(net.hidden_size),
            net.num_layers,
            embedding_size=net.embedding_size or None,
            tied=net.tied,
            dropout=net.dropout,
            input_dropout=net.input_dropout,
            output_dropout=net.output_dropout,
            embedding_dropout=net.embedding_dropout,
            weight_drop=net.weight_drop,
            locked=net.locked,
            activation_penalty=net.activation_penalty,
            change_penalty=net.change_penalty,
            initial_state=net.initial_state,
            init=net.init,
            **net.cell_args,
        )
    except TypeError as error:
        if not net.cell_args:
            raise
        raise UserError(f"the cell cannot be made with cell_args={net.cell_args!r}: {error}") from error


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The ids of a prompt; an empty one needs the end mark, with which stories start."""
    if not prompt and tokenizer.end_id is None:
        raise UserError("this model knows no start of a story (it was trained with end_mark=False); give a prompt")
    if tokenizer.kind == "bigram" and len(prompt) % 2:
        prompt = " " + prompt  # pairs are counted from the prompt's end, so that its last character is heard
    return [int(i) for i in tokenizer.encode(prompt)] if prompt else []


def save_model(
    net: LanguageNet,
    tokenizer: Tokenizer,
    settings: LanguageModelSettings,
    folder: RunFolder,
    digest: str | None = None,
) -> None:
    """Settings, tokenizer, the digest of the text it was trained on, and one checkpoint without training state."""
    if folder.steps():
        raise UserError(f"{folder.path} holds checkpoints already; choose another folder")
    _write_run(folder, settings, tokenizer, digest)
    folder.save(0, distinct_tensors(net), {}, {"step": 0}, best=0, keep=1)


def _lines(source: str) -> list[str]:
    pieces = (piece for document in documents(source) for piece in document.pieces())
    return [line for line in lines_of("".join(pieces)) if line.strip()]


@torch.no_grad()
def _try_out(net: LanguageNet) -> None:
    """One step, so that a cell that cannot run says so before anything is written."""
    net(torch.zeros(1, 2, dtype=torch.long, device=next(net.parameters()).device))


def _write_run(folder: RunFolder, settings: LanguageModelSettings, tokenizer: Tokenizer, digest: str | None) -> None:
    write_settings(folder, TASK, settings, settings.net.cells, **{DIGEST: digest})
    tokenizer.save(folder.tokenizer)


def _files(settings: LanguageModelSettings) -> list[str]:
    """The files that the texts are read from; of a folder its stories."""
    given = [Path(text) for text in (settings.text.data, settings.text.valid) if text is not None]
    return [str(file) for path in given for file in (sorted(path.glob("*.txt")) if path.is_dir() else [path])]


def _corpus_options(settings: LanguageModelSettings) -> dict[str, Any]:
    text = settings.text
    names = ("valid", "tokenizer", "min_count", "max_types", "vocab_size", "end_mark", "first", "lowercase", "split")
    return {name: getattr(text, name) for name in (*names, "valid_documents", "valid_characters")}


def _summary(settings: LanguageModelSettings, corpus: Corpus, net: LanguageNet, folder: RunFolder) -> str:
    text = settings.text
    weights = sum(p.numel() for p in net.parameters())
    return (
        f"text      {text.data}: {corpus.train.characters:,} characters to learn from, {corpus.valid.characters:,} to "
        f"judge by\n"
        f"tokens    {text.tokenizer}, {corpus.tokenizer.vocab_size:,} types\n"
        f"network   {cell_names(settings.net.cells, ' + ')}, {weights:,} weights\n"
        f"run       {folder.path}"
    )
