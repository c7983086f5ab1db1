"""Recipes: named sets of options in TOML files, the package's own or a user's."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from .estimator import settings_from
from .registry import find_job

FOLDER = Path(__file__).with_name("recipes")


def recipes(job: str = "lm") -> dict[str, str]:
    """The package's recipes of a job by name, and what each is: the comment it opens with.

    >>> recipes()["grimm-gru-100"]
    'A GRU of 64 units on 100 tales.'
    """
    texts = {file.stem: file.read_text("utf-8") for file in sorted(FOLDER.glob("*.toml"))}
    mine = {name: text for name, text in texts.items() if tomllib.loads(text).get("job", "lm") == job}
    return {name: text.partition("\n")[0].removeprefix("# ") for name, text in mine.items()}


def read_recipe(recipe: str, job: str = "lm") -> dict[str, Any]:
    """The options of a recipe of a job by its name, or of a TOML file by its path; lists become tuples.

    ``job = "classify"`` says which job it is for; without it a recipe is for the language model.
    ``extends = "other"`` takes the options of another recipe first: one by name, or a file beside this one.

    Raises ``UserError`` for no such recipe, one of another job, a file that is no TOML, recipes that extend each other
    in a circle, and an unknown option, with the nearest valid one.

    >>> read_recipe("demo")["data"]
    'tales'
    """
    return _read(_file(recipe, Path(), job), job, ())


def _read(path: Path, job: str, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in extended_by:
        raise UserError(f"recipe {path} extends itself, by way of others or not; take one extends out")
    try:
        options = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} is no valid TOML: {error}") from error
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    meant = options.pop("job", "lm")
    if meant != job:
        raise UserError(f"recipe {path.name} is for the job {meant!r}; use it with elman train {meant}")
    base = options.pop("extends", None)
    if base is not None:
        options = _read(_file(str(base), path.parent, job), job, (*extended_by, path.resolve())) | options
    settings_from(find_job(job).load().settings_class, options, f"recipe {path.name}")
    return options


def _file(recipe: str, beside: Path, job: str) -> Path:
    own = recipe.endswith(".toml")
    path = beside / Path(recipe).expanduser() if own else FOLDER / f"{recipe}.toml"
    if not path.is_file():
        what = "no such file" if own else "no such recipe"
        names = nearest(recipe, recipes(job)) if not own else "give a TOML file, or a recipe by name"
        raise UserError(f"{what}: {str(path) if own else recipe!r}; {names}")
    return path
