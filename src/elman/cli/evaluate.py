"""``elman evaluate``: how well a trained model predicts a text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import tyro

from ..tasks.language_model import LanguageModel
from .options import parse
from .runs import chosen_run
from .train import TOKENS


@dataclass(frozen=True)
class Evaluate:
    """Perplexity and bits per character of a trained model, on the part of its text kept for validation or on another.

    Examples:
      elman evaluate runs/lm-lstm-1
      elman evaluate runs/lm-lstm-1 --data other.txt --json
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run folder of a trained model; the newest below runs/ unless given."""

    data: str | None = None
    """Another text, all of it: a file, a folder, "-", or a corpus by name."""

    checkpoint: str = "best"
    """Which checkpoint is judged: best, last, or a step."""

    json: bool = False
    """Print one JSON object."""


def run(arguments: list[str]) -> int:
    command = parse(Evaluate, arguments, "evaluate")
    model = LanguageModel.load(chosen_run(command.run), command.checkpoint)
    result = model.evaluate(command.data)
    if command.json:
        print(json.dumps(result))
        return 0
    print(f"perplexity           {result['perplexity']:.3f} a {TOKENS[model.tokenizer_.kind]}")
    print(f"bits per character   {result['bits_per_character']:.4f}")
    if "unigram_bits_per_character" in result:
        print(f"by frequency alone   {result['unigram_bits_per_character']:.4f}")
    return 0
