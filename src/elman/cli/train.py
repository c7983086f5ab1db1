"""``elman train``: train a model."""

from __future__ import annotations

import dataclasses
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import UserError
from ..tasks.estimator import settings_from
from ..tasks.language_model.estimator import LanguageModel, encode_prompt
from ..tasks.recipes import read_recipe, recipes
from ..tasks.registry import JOBS, find_job, job_of
from ..tasks.runs import BUDGET, check_resumable
from ..tasks.seq2seq.estimator import Seq2Seq
from ..tasks.sequence_task import SequenceEstimator, default_run
from ..training import Result, RunFolder
from .options import parse, value_of

TOKENS = {
    "char": "character",
    "bigram": "pair of characters",
    "word": "word",
    "spaced": "word",
    "bpe": "byte-pair piece",
}
PROMPT = "Once upon a time"
INTERRUPTED = 130


@dataclass(frozen=True)
class RunOptions:
    """Where a run is written, and what it starts from."""

    run: str | None = None
    """Folder for everything the run writes; runs/JOB-CELL-N unless given."""

    resume: str | None = None
    """Go on with this run folder, bit for bit; a new budget (epochs, steps, minutes) may be given, and little else."""

    recipe: str | None = None
    """A recipe (elman train lists them) or a TOML file: options to start from; those given here win."""


def train_command(job: str) -> type:
    """The options of ``elman train JOB`` as a dataclass: those of the job's settings, and where the run goes.

    >>> train_command("lm")(cell=3) is None
    Traceback (most recent call last):
        ...
    TypeError: TrainLm.__init__() got an unexpected keyword argument 'cell'
    """
    estimator = find_job(job).load()
    bases = (RunOptions, estimator.settings_class)
    help_text = {"__doc__": estimator.help}
    return dataclasses.make_dataclass(f"Train{job.title()}", [], bases=bases, frozen=True, namespace=help_text)


TrainLM = train_command("lm")


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    job, words = arguments[0], arguments[1:]
    kind = find_job(job).load().settings_class
    resume, recipe = value_of("--resume", words), value_of("--recipe", words)
    if resume is not None:
        options = _resumed(job, resume, recipe, words)
        model = fit(job, options, run=resume, resume=True)
    else:
        settings = settings_from(kind, read_recipe(recipe, job) if recipe else {})
        command = _parsed(job, words, settings)
        model = fit(job, _options(command, kind), run=command.run)
    if _first_process():
        report(job, model)
    return INTERRUPTED if model.result.stopped_by == "interrupted" else 0


def fit(job: str, options: dict[str, Any], *, run: str | Path | None, resume: bool = False) -> Any:
    """Trains with these options, showing progress on the terminal; returns the estimator."""
    model = find_job(job).load()(**options)
    if run is None and isinstance(model, SequenceEstimator):
        run = default_run(job, model.settings())
    try:
        return model.fit(run=run, resume=resume, console=Console(), quiet=False)
    except KeyboardInterrupt:
        if hasattr(model, "run") and model.run.steps() and _first_process():
            print(f"\nbroken off; to go on from the last checkpoint: {_resume_command(job, model)}")
        raise


def report(job: str, model: Any) -> None:
    """What there is now and what to do next, in plain lines."""
    print(model.result.sentence)
    folder = shlex.quote(str(model.run.path))
    lines = {"run": str(model.run.path)}
    if model.run.curves.exists():
        lines["picture"] = str(model.run.curves)
    if isinstance(model, LanguageModel):
        _report_perplexity(model)
        lines["a story"] = f"elman generate {folder}"
        if _can_read(model, PROMPT):
            lines["a story"] += f" --prompt '{PROMPT}'"
    else:
        print(f"\n{model.show(model.evaluate(), model.run.path)}")
        lines["weights"] = f"those of step {model.result.best_step}, the best on the validation part"
        lines["judge"] = f"elman evaluate {folder} --data FILE"
        lines["use"] = f"elman predict {folder} FILE"
        if isinstance(model, Seq2Seq) and model.settings_.pairs.turns is not None:
            lines["talk"] = f"elman chat {folder}"
    lines["go on"] = _resume_command(job, model)
    print()
    for name, line in lines.items():
        print(f"{name:<9} {line}")


def _report_perplexity(model: LanguageModel) -> None:
    best = model.result.best_metrics
    if best:
        print(
            f"\nvalidation perplexity {best['perplexity']:.2f} a {TOKENS[model.tokenizer_.kind]}, "
            f"the best, at step {model.result.best_step}\n"
            f"{best['bits_per_character']:.3f} bits per character; "
            f"guessing by frequency alone takes {model.unigram_bits_per_character:.3f}"
        )


def _usage() -> str:
    known = {name: recipes(name) for name in JOBS if recipes(name)}
    width = max(len(recipe) for each in known.values() for recipe in each)
    listed = "\n".join(f" {name}\n{_table(each, width)}" for name, each in known.items())
    return (
        f"usage: elman train JOB [options]\n\njobs:\n{_table({name: job.about for name, job in JOBS.items()})}\n\n"
        f"recipes, for elman train JOB --recipe NAME:\n{listed}\n\nAll options of a job: elman train JOB --help"
    )


def _table(lines: dict[str, str], width: int = 0) -> str:
    width = max(width, *map(len, lines))
    return "\n".join(f"  {name:<{width}}  {about}" for name, about in lines.items())


def _first_process() -> bool:
    """Whether this is the process that talks, of those ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def _can_read(model: LanguageModel, prompt: str) -> bool:
    try:
        encode_prompt(model.tokenizer_, prompt)
    except UserError:
        return False
    return True


def _resume_command(job: str, model: Any) -> str:
    """How to go on with a run, with twice the budget where that was used up."""
    command = f"elman train {job} --resume {shlex.quote(str(model.run.path))}"
    result: Result | None = getattr(model, "result", None)
    if result is None or result.stopped_by == "interrupted":
        return command
    return f"{command} --{result.stopped_by} {2 * getattr(model.settings_.training, result.stopped_by):g}"


def _parsed(job: str, words: list[str], settings: Any) -> Any:
    """The command filled from the words, starting from ``settings``, without their budget where the words give one."""
    if any(value_of(f"--{name}", words) is not None for name in BUDGET):
        training = dataclasses.replace(settings.training, epochs=None, steps=None, minutes=None)
        settings = dataclasses.replace(settings, training=training)
    command = train_command(job)
    start = command(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)})
    return parse(command, words, f"train {job}", start)


def _resumed(job: str, folder: str, recipe: str | None, words: list[str]) -> dict[str, Any]:
    if recipe is not None:
        raise UserError("--resume goes on with the run's own settings; leave --recipe out")
    RunFolder(folder).load_settings()
    if job_of(folder) != job:
        raise UserError(f"{folder} is a run of {job_of(folder)}; go on with elman train {job_of(folder)} --resume")
    estimator = find_job(job).load()
    stored = estimator.load_settings(RunFolder(folder))
    command = _parsed(job, words, stored)
    if command.run is not None and Path(command.run) != Path(folder):
        raise UserError(f"--resume {folder} writes to that very folder; leave --run out")
    now = _options(command, type(stored))
    check_resumable(RunFolder(folder), stored, settings_from(type(stored), now))
    return now


def _options(command: Any, kind: type) -> dict[str, Any]:
    groups = [getattr(command, field.name) for field in dataclasses.fields(kind)]
    return {option.name: getattr(group, option.name) for group in groups for option in dataclasses.fields(group)}
