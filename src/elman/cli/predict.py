"""``elman predict``: what a trained model says of new examples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from ..errors import UserError
from ..tasks.language_model.estimator import TOP, LanguageModel
from ..tasks.registry import find_job, job_of
from ..tasks.tag.estimator import Tagger
from ..tasks.writing.estimator import WritingEstimator
from .options import parse


@dataclass(frozen=True)
class Predict:
    """What a trained model says of new examples: those of files, or texts given right here.

    Examples:
      elman predict runs/classify-gru-1 "what a lovely film"
      elman predict runs/classify-gru-1 new.csv --json
      elman predict runs/classify-gru-1 - < lines.txt
      elman predict runs/tag-lstm-1 "the old king slept"
      elman predict runs/tag-lstm-1 new.conllu --conll > tagged.tsv
      elman predict runs/lm-lstm-1 "let's meet for __"
      elman predict runs/caption-gru-1 French --top 5
      elman predict runs/forecast-gru-1 newest.csv
      elman predict runs/seq2seq-gru-1 "a dog runs" --beam 8 --top 3 --attention-map attention.png
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run folder of a trained model."""

    sources: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FILE|TEXT ...]")] = ()
    """Files of examples, texts, or - for standard input: an example a line, of a forecast the CSV file of a series."""

    top: int | None = None
    """How many of the likeliest answers to print: 1 unless given, 5 of a language model; a forecast has one alone
    and refuses more."""

    checkpoint: str = "best"
    """Which checkpoint answers: best, last, or a step."""

    json: bool = False
    """Print one JSON object an example."""

    conll: bool = False
    """Of a model that tags words: print a token, a tab and its tag a line, and an empty line after every sentence."""

    beam: int | None = None
    """Of a model that writes texts: how many hypotheses are kept at each step; as trained unless given."""

    attention_map: str | None = None
    """Of a model that writes from texts or pictures: a PNG file for where it looked, drawn of the first example."""


def run(arguments: list[str]) -> int:
    command = parse(Predict, arguments, "predict")
    if command.top is not None and command.top < 1:
        raise UserError(f"top is {command.top}; expected a whole number of at least 1")
    kind = find_job(job_of(command.run)).load()
    model = kind.load(command.run, command.checkpoint)
    if command.conll:
        _require_tags(command, model)
    sources, top = list(command.sources), command.top or (TOP if isinstance(model, LanguageModel) else 1)
    if command.beam is None and command.attention_map is None:
        found = model.predictions(sources, top)
    elif isinstance(model, WritingEstimator):
        if command.beam is not None:
            model.set_search(beam=command.beam)
        found = model.predictions(sources, top, command.attention_map)
    else:
        raise UserError(f"{command.run} writes no texts; beam and attention_map are for those that do, leave them out")
    for record, line in found:
        if command.json:
            line = json.dumps(record, ensure_ascii=False)
        elif command.conll:
            line = "".join(f"{token}\t{tag}\n" for token, tag in zip(record["tokens"], record["tags"], strict=True))
        print(line, flush=True)
    return 0


def _require_tags(command: Predict, model: Any) -> None:
    if not isinstance(model, Tagger) or model.encoder_.kind != "tokens":
        raise UserError(f"{command.run} tags no words; conll is for models that do, use json (--json) instead")
    if command.json or command.top not in (None, 1):
        raise UserError("conll prints tokens, each with its one tag; leave json and top out, or leave conll out")
