"""Recipes: named sets of options in TOML files, the package's own or a user's."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from .estimator import settings_from
from .settings import LanguageModelSettings

FOLDER = Path(__file__).with_name("recipes")


def recipes() -> dict[str, str]:
    """The package's recipes by name, and what each is: the comment it opens with.

    >>> recipes()["grimm-gru-100"]
    'A GRU of 64 units on 100 tales.'
    """
    files = sorted(FOLDER.glob("*.toml"))
    return {file.stem: file.read_text("utf-8").partition("\n")[0].removeprefix("# ") for file in files}


def read_recipe(recipe: str) -> dict[str, Any]:
    """The options of a recipe by its name, or of a TOML file by its path; lists become tuples.

    ``extends = "other"`` takes the options of another recipe first: one by name, or a file beside this one.

    Raises ``UserError`` for no such recipe, a file that is no TOML, recipes that extend each other in a circle, and an
    unknown option, with the nearest valid one.

    >>> read_recipe("demo")["data"]
    'tales'
    """
    return _read(_file(recipe, Path()), ())


def _read(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in extended_by:
        raise UserError(f"recipe {path} extends itself, by way of others or not; take one extends out")
    try:
        options = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} is no valid TOML: {error}") from error
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    base = options.pop("extends", None)
    if base is not None:
        options = _read(_file(str(base), path.parent), (*extended_by, path.resolve())) | options
    settings_from(LanguageModelSettings, options, f"recipe {path.name}")
    return options


def _file(recipe: str, beside: Path) -> Path:
    own = recipe.endswith(".toml")
    path = beside / Path(recipe).expanduser() if own else FOLDER / f"{recipe}.toml"
    if not path.is_file():
        what = "no such file" if own else "no such recipe"
        names = nearest(recipe, recipes()) if not own else "give a TOML file, or a recipe by name"
        raise UserError(f"{what}: {str(path) if own else recipe!r}; {names}")
    return path
