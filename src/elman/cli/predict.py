"""``elman predict``: what a trained model says of new examples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import tyro

from ..errors import UserError
from ..tasks.registry import find_job, job_of
from ..tasks.sequence_task import SequenceEstimator
from .options import parse


@dataclass(frozen=True)
class Predict:
    """What a trained model says of new examples: those of files, or texts given right here.

    Examples:
      elman predict runs/classify-gru-1 "what a lovely film"
      elman predict runs/classify-gru-1 new.csv --json
      elman predict runs/classify-gru-1 - < lines.txt
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run folder of a trained model."""

    sources: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FILE|TEXT ...]")] = ()
    """Files of examples, texts, or - for standard input, an example a line."""

    top: int = 1
    """How many of the likeliest answers to print."""

    checkpoint: str = "best"
    """Which checkpoint answers: best, last, or a step."""

    json: bool = False
    """Print one JSON object an example."""


def run(arguments: list[str]) -> int:
    command = parse(Predict, arguments, "predict")
    if command.top < 1:
        raise UserError(f"top is {command.top}; expected a whole number of at least 1")
    kind = find_job(job_of(command.run)).load()
    if not issubclass(kind, SequenceEstimator):
        raise UserError(f"{command.run} is a language model, which writes: elman generate {command.run}")
    model = kind.load(command.run, command.checkpoint)
    for record, line in model.predictions(list(command.sources), command.top):
        print(json.dumps(record, ensure_ascii=False) if command.json else line, flush=True)
    return 0
