"""``elman evaluate``: how good a trained model is."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..tasks.language_model.estimator import LanguageModel
from ..tasks.registry import find_job, job_of
from .options import parse
from .runs import chosen_run
from .train import TOKENS


@dataclass(frozen=True)
class Evaluate:
    """How good a trained model is, on the part of its data kept for validation or on other data.

    Examples:
      elman evaluate runs/lm-lstm-1
      elman evaluate runs/lm-lstm-1 --data other.txt --json
      elman evaluate runs/classify-gru-1 --data test.csv
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run folder of a trained model; the newest below runs/ unless given."""

    data: str | None = None
    """Other data, all of it, of the kind the model was trained on; of a language model: a text. Pictures go to on-NAME
    in the run folder."""

    checkpoint: str = "best"
    """Which checkpoint is judged: best, last, or a step."""

    json: bool = False
    """Print one JSON object."""


def _in_json(value: Any) -> Any:
    """A result as JSON can hold it: null for numbers that are not finite.

    >>> _in_json({"mase": [math.inf, 1.5]})
    {'mase': [None, 1.5]}
    """
    if isinstance(value, dict):
        return {name: _in_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run(arguments: list[str]) -> int:
    command = parse(Evaluate, arguments, "evaluate")
    folder = chosen_run(command.run)
    model = find_job(job_of(folder)).load().load(folder, command.checkpoint)
    result = model.evaluate(command.data)
    if command.json:
        print(json.dumps(_in_json(result)))
    elif isinstance(model, LanguageModel):
        print(f"perplexity           {result['perplexity']:.3f} a {TOKENS[model.tokenizer_.kind]}")
        print(f"bits per character   {result['bits_per_character']:.4f}")
        if "top5_accuracy" in result:
            print(f"among the top five   {result['top5_accuracy']:.2%}")
        if "unigram_bits_per_character" in result:
            print(f"by frequency alone   {result['unigram_bits_per_character']:.4f}")
    else:
        # Pictures of other data stand beside those of the validation part, not in their place.
        pictures = Path(folder) if command.data is None else Path(folder, f"on-{Path(command.data).stem}")
        print(model.show(result, pictures))
    return 0
