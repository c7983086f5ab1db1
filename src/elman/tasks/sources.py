"""What a user gave: a file, examples, a pair of examples and answers, or a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError


def is_path(X: Any) -> bool:
    """Whether X names a file."""
    return isinstance(X, str | Path)


def is_file(source: str, endings: Sequence[str]) -> bool:
    """Whether a source of ``elman predict`` is a file: by its ending, so that a misspelt name is not read as a text.

    >>> is_file("gone.csv", (".csv",)), is_file("I read a.csv", (".csv",)), is_file("-", ())
    (True, False, True)
    """
    named = source.lower().removesuffix(".gz").endswith(tuple(endings))
    return source == "-" or (named and (Path(source).exists() or " " not in source.strip()))


def pair(valid: Any) -> tuple[Any, Any]:
    """X and y of the validation part, or a file and None."""
    if is_path(valid):
        return valid, None
    if not isinstance(valid, tuple | list) or len(valid) != 2:
        raise UserError("valid is neither a file nor a pair; give (X, y)")
    return valid[0], valid[1]
