"""The jobs by name: what ``elman train JOB`` trains, and which estimator a run folder belongs to."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from ..training import RunFolder


@dataclass(frozen=True)
class Job:
    """A job: the task its runs name and the module of ``elman.tasks`` that holds its estimator, which are one word."""

    task: str
    estimator: str
    about: str

    def load(self) -> Any:
        """The estimator's class."""
        return getattr(importlib.import_module(f".{self.task}", __package__), self.estimator)


JOBS = {
    "lm": Job("language_model", "LanguageModel", "a language model of a text"),
    "classify": Job(
        "classify", "Classifier", "one label for a text, a sequence of numbers, an image, a recording or a clip"
    ),
    "tag": Job("tag", "Tagger", "a tag for every word of a sentence, or for every step of numbers"),
    "forecast": Job("forecast", "Forecaster", "the next values of a series, with intervals"),
    "caption": Job("caption", "Captioner", "a text written from a class, a vector of features or a picture"),
    "scene": Job("scene", "SceneLabeller", "a class for every pixel of a picture"),
    "seq2seq": Job("seq2seq", "Seq2Seq", "a text that answers a text: translation, dialogue"),
}


def find_job(name: str) -> Job:
    """The job of a name.

    >>> find_job("clasify")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: elman train knows no task 'clasify'; did you mean 'classify'?
    """
    if name not in JOBS:
        raise UserError(f"elman train knows no task {name!r}; {nearest(name, JOBS)}")
    return JOBS[name]


def job_of(folder: str | Path) -> str:
    """The name of the job a run folder is of, by its settings; raises ``UserError`` where it is of none."""
    run = RunFolder(folder)
    task = run.load_settings().get("task")
    names = [name for name, job in JOBS.items() if job.task == task]
    if not names:
        raise UserError(f"{run.path} is a run of the task {task!r}; this version knows {', '.join(JOBS)}")
    return names[0]
