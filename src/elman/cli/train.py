"""``elman train``: train a model."""

from __future__ import annotations

import dataclasses
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import UserError, nearest
from ..tasks.estimator import options_of, settings_from
from ..tasks.language_model import LanguageModel, encode_prompt, load_settings
from ..tasks.recipes import read_recipe, recipes
from ..tasks.settings import LanguageModelSettings
from ..training import Result, RunFolder
from .options import parse, value_of

BUDGET = ("epochs", "steps", "minutes")
# What may differ when a run goes on; everything else decides what its weights mean, or what bit for bit means.
CHANGEABLE = (*BUDGET, "evaluate_every", "patience", "checkpoint_every", "keep", "device", "threads")


TOKENS = {"char": "character", "bigram": "pair of characters", "word": "word", "bpe": "byte-pair piece"}
PROMPT = "Once upon a time"
INTERRUPTED = 130


@dataclass(frozen=True)
class TrainLM(LanguageModelSettings):
    """Train a recurrent language model on a text; it is judged on a part of the text it does not learn from.

    Examples:
      elman train lm --data my.txt --cell gru --minutes 5
      elman train lm --data stories/ --cell lstm --hidden-size 256 256 --dropout 0.2 --schedule cosine
      elman train lm --recipe demo --cell scrn --cell-args context_size=64 alpha=0.9
      elman train lm --resume runs/lm-gru-1 --minutes 10
    """

    run: str | None = None
    """Folder for everything the run writes; runs/lm-CELL-N unless given."""

    resume: str | None = None
    """Go on with this run folder, bit for bit; a new budget (epochs, steps, minutes) may be given, and little else."""

    recipe: str | None = None
    """A recipe (elman train lists them) or a TOML file: options to start from; those given here win."""


def run(arguments: list[str]) -> int:
    tasks = ("lm",)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if arguments[0] not in tasks:
        raise UserError(f"elman train knows no task {arguments[0]!r}; {nearest(arguments[0], tasks)}")
    words = arguments[1:]
    resume, recipe = value_of("--resume", words), value_of("--recipe", words)
    if resume is not None:
        command = _resumed(resume, recipe, words)
        model = fit(command, run=resume, resume=True)
    else:
        settings = settings_from(LanguageModelSettings, read_recipe(recipe) if recipe else {})
        command = parse(TrainLM, words, "train lm", _command(_without_budget(settings, words)))
        model = fit(command, run=command.run)
    if _first_process():
        report(model)
    return INTERRUPTED if model.result.stopped_by == "interrupted" else 0


def fit(settings: LanguageModelSettings, *, run: str | Path | None, resume: bool = False) -> LanguageModel:
    """Trains with these settings, showing progress on the terminal."""
    model = LanguageModel(**_options(settings))
    try:
        return model.fit(run=run, resume=resume, console=Console())
    except KeyboardInterrupt:
        if hasattr(model, "run") and model.run.steps() and _first_process():
            print(f"\nbroken off; to go on from the last checkpoint: {_resume_command(model)}")
        raise


def report(model: LanguageModel) -> None:
    """What there is now and what to do next, in plain lines."""
    result, best = model.result, model.result.best_metrics
    print(result.sentence)
    if best:
        print(
            f"\nvalidation perplexity {best['perplexity']:.2f} a {TOKENS[model.tokenizer_.kind]}, "
            f"the best, at step {result.best_step}\n"
            f"{best['bits_per_character']:.3f} bits per character; "
            f"guessing by frequency alone takes {model.unigram_bits_per_character:.3f}"
        )
    folder = shlex.quote(str(model.run.path))
    lines = {"run": str(model.run.path), "picture": str(model.run.curves), "a story": f"elman generate {folder}"}
    if not model.run.curves.exists():
        del lines["picture"]
    if _can_read(model, PROMPT):
        lines["a story"] += f" --prompt '{PROMPT}'"
    lines["go on"] = _resume_command(model)
    print()
    for name, line in lines.items():
        print(f"{name:<9} {line}")


def _usage() -> str:
    width = max(map(len, recipes()))
    known = "\n".join(f"  {name:<{width}}  {about}" for name, about in recipes().items())
    return (
        f"usage: elman train lm [options]\n\nrecipes, for --recipe NAME:\n{known}\n\nAll options: elman train lm --help"
    )


def _first_process() -> bool:
    """Whether this is the process that talks, of those ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def _can_read(model: LanguageModel, prompt: str) -> bool:
    try:
        encode_prompt(model.tokenizer_, prompt)
    except UserError:
        return False
    return True


def _resume_command(model: LanguageModel) -> str:
    """How to go on with a run, with twice the budget where that was used up."""
    command = f"elman train lm --resume {shlex.quote(str(model.run.path))}"
    result: Result | None = getattr(model, "result", None)
    if result is None or result.stopped_by == "interrupted":
        return command
    return f"{command} --{result.stopped_by} {2 * getattr(model.settings_.training, result.stopped_by):g}"


def _without_budget(settings: LanguageModelSettings, words: list[str]) -> LanguageModelSettings:
    """The settings without their budget where the command line gives one, which then is the whole budget."""
    if all(value_of(f"--{name}", words) is None for name in BUDGET):
        return settings
    training = dataclasses.replace(settings.training, epochs=None, steps=None, minutes=None)
    return dataclasses.replace(settings, training=training)


def _resumed(folder: str, recipe: str | None, words: list[str]) -> TrainLM:
    if recipe is not None:
        raise UserError("--resume goes on with the run's own settings; leave --recipe out")
    stored = load_settings(RunFolder(folder))
    command = parse(TrainLM, words, "train lm", _command(_without_budget(stored, words)))
    if command.run is not None and Path(command.run) != Path(folder):
        raise UserError(f"--resume {folder} writes to that very folder; leave --run out")
    before, now = options_of(stored), _options(command)
    for name, value in now.items():
        if value != before[name] and name not in CHANGEABLE:
            raise UserError(
                f"{folder} was trained with {name}={before[name]!r}; a resumed run cannot change it to {value!r} "
                f"(only {', '.join(CHANGEABLE)})"
            )
    return command


def _command(settings: LanguageModelSettings) -> TrainLM:
    return TrainLM(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(LanguageModelSettings)})


def _options(command: LanguageModelSettings) -> dict[str, Any]:
    groups = [getattr(command, field.name) for field in dataclasses.fields(LanguageModelSettings)]
    return {option.name: getattr(group, option.name) for group in groups for option in dataclasses.fields(group)}
