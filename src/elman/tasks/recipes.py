"""Recipes: named sets of options in TOML files, the package's own or a user's."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from .estimator import settings_from
from .settings import LanguageModelSettings

FOLDER = Path(__file__).with_name("recipes")


def recipe_names() -> list[str]:
    """The names of the package's recipes.

    >>> "demo" in recipe_names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(recipe: str) -> dict[str, Any]:
    """The options of a recipe by its name, or of a TOML file by its path; lists become tuples.

    A recipe with ``extends = "other"`` takes the options of that one first.

    Raises ``UserError`` for no such recipe, a file that is no TOML, and an unknown option, with the nearest valid one.

    >>> read_recipe("demo")["data"]
    'tales'
    """
    path = Path(recipe) if recipe.endswith(".toml") else FOLDER / f"{recipe}.toml"
    if not path.is_file():
        hint = "give a file, or a name: " if recipe.endswith(".toml") else ""
        raise UserError(f"no such recipe: {recipe!r}; {hint}{nearest(recipe, recipe_names())}")
    try:
        options = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} is no valid TOML: {error}") from error
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    if "extends" in options:
        options = read_recipe(options.pop("extends")) | options
    settings_from(LanguageModelSettings, options, f" in recipe {path.name}")
    return options
