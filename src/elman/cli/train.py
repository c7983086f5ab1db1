"""``elman train``: train a model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import UserError, nearest
from ..tasks.estimator import options_of, settings_from
from ..tasks.language_model import LanguageModel, load_settings
from ..tasks.recipes import read_recipe, recipe_names
from ..tasks.settings import LanguageModelSettings
from ..training import RunFolder
from .options import parse, value_of

BUDGET = ("epochs", "steps", "minutes")
# What may differ when a run goes on; everything else decides what its weights mean, or what bit for bit means.
CHANGEABLE = (*BUDGET, "evaluate_every", "patience", "checkpoint_every", "keep", "device", "threads")


@dataclass(frozen=True)
class TrainLM(LanguageModelSettings):
    """Train a recurrent language model on a text; it is judged on a part of the text it does not learn from.

    elman train lm --data my.txt --cell gru --minutes 5
    """

    run: str | None = None
    """Folder for everything the run writes; runs/lm-CELL-N unless given."""

    resume: str | None = None
    """Go on with this run folder, bit for bit; a new budget (epochs, steps, minutes) may be given, and little else."""

    recipe: str | None = None
    """A recipe's name or a TOML file: options to start from, which those given here override."""


def run(arguments: list[str]) -> int:
    tasks = ("lm",)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: elman train lm [options]\n\nrecipes: {', '.join(recipe_names())}\n\nelman train lm --help explains")
        return 0
    if arguments[0] not in tasks:
        raise UserError(f"elman train knows no task {arguments[0]!r}; {nearest(arguments[0], tasks)}")
    words = arguments[1:]
    resume, recipe = value_of("--resume", words), value_of("--recipe", words)
    if resume is not None:
        return _resume(resume, recipe, words)
    options = read_recipe(recipe) if recipe else {}
    command = parse(TrainLM, words, "train lm", _command(settings_from(LanguageModelSettings, options)))
    report(fit(command, run=command.run))
    return 0


def fit(settings: LanguageModelSettings, *, run: str | Path | None, resume: bool = False) -> LanguageModel:
    """Trains with these settings, showing progress on the terminal."""
    return LanguageModel(**_options(settings)).fit(run=run, resume=resume, console=Console())


def report(model: LanguageModel) -> None:
    """What there is now and what to do next, in plain lines."""
    result, folder = model.result, model.run.path
    print(result.sentence)
    best = result.best_metrics
    if best:
        print(
            f"\nbest validation perplexity {best['perplexity']:.2f} a {model.tokenizer_.kind} (step {result.best_step})\n"
            f"{best['bits_per_character']:.3f} bits per character; "
            f"guessing by frequency alone: {model.unigram_bits_per_character:.3f}"
        )
    print(f"\npicture   {model.run.curves}")
    print(f"a story   elman generate {folder} --prompt 'Once upon a time'")
    print(f"go on     elman train lm --resume {folder} --minutes 5")


def _resume(folder: str, recipe: str | None, words: list[str]) -> int:
    if recipe is not None:
        raise UserError("--resume goes on with the run's own settings; leave --recipe out")
    stored = load_settings(RunFolder(folder))
    if any(value_of(f"--{name}", words) is not None for name in BUDGET):
        stored = dataclasses.replace(stored, training=dataclasses.replace(stored.training, **dict.fromkeys(BUDGET)))
    command = parse(TrainLM, words, "train lm", _command(stored))
    if command.run is not None and Path(command.run) != Path(folder):
        raise UserError(f"--resume {folder} writes to that very folder; leave --run out")
    before, now = options_of(stored), _options(command)
    for name, value in now.items():
        if value != before[name] and name not in CHANGEABLE:
            raise UserError(
                f"{folder} was trained with {name}={before[name]!r}; a resumed run cannot change it to {value!r} "
                f"(only {', '.join(CHANGEABLE)})"
            )
    report(fit(command, run=folder, resume=True))
    return 0


def _command(settings: LanguageModelSettings) -> TrainLM:
    return TrainLM(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(LanguageModelSettings)})


def _options(command: LanguageModelSettings) -> dict[str, Any]:
    groups = [getattr(command, field.name) for field in dataclasses.fields(LanguageModelSettings)]
    return {option.name: getattr(group, option.name) for group in groups for option in dataclasses.fields(group)}
