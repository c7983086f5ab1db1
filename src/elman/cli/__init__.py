"""The command line: ``elman VERB ...``, one file per verb."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from ..errors import UserError, nearest

VERBS = {
    "demo": "train on the embedded tales for a minute and a half, then tell a story",
    "train": "train a model: elman train lm, elman train classify, ...",
    "predict": "what a trained model says of new examples",
    "generate": "let a trained model write",
    "chat": "talk to a model trained on conversations",
    "evaluate": "how good a trained model is, on data kept back or other data",
    "cells": "the cells there are, with their papers and sizes",
    "data": "the texts there are by name; fetch one",
    "bench": "how fast scan is, beside its peers",
    "reproduce": "run a published experiment: elman reproduce grimm, elman reproduce long-memory",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 2 for a user's mistake (said in one sentence), 130 after Ctrl-C.

    >>> main(["cels"])
    2
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("--version", "version"):
        from importlib.metadata import version

        print(f"elman {version('elman')}")
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _plain_warning
            return _run(words[0], words[1:])
    except UserError as mistake:
        print(f"elman: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nelman: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; keep Python from complaining once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def usage() -> str:
    """What ``elman --help`` prints."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {about}" for verb, about in VERBS.items())
    return (
        "usage: elman COMMAND [options]\n\n"
        "Recurrent networks: train any cell on your text, look into it, let it write.\n\n"
        f"commands:\n{verbs}\n\n"
        "Each command explains itself: elman COMMAND --help"
    )


def _run(verb: str, words: list[str]) -> int:
    if verb not in VERBS:
        raise UserError(f"unknown command {verb!r}; {nearest(verb, VERBS)}")
    try:
        code: int = importlib.import_module(f".{verb}", __name__).run(words)
        return code
    except Exception as error:
        if isinstance(error, UserError | BrokenPipeError) or not (place := _in_own_cell(error)):
            raise
        what = " ".join(str(error).split()) or "no reason given"
        raise UserError(f"{place}: {type(error).__name__}: {what}; mend the cell and try again") from error


def _in_own_cell(error: Exception) -> str:
    """Where in a cell's file of the user's own (see ``elman.cell.find_cell``) the error arose; empty if elsewhere."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").startswith("elman_user_"):
            return f"{frame.f_code.co_filename} line {line}, in {frame.f_code.co_qualname}"
    return ""


def _plain_warning(message: Warning | str, *where: object, **more: object) -> None:
    print(f"elman: warning: {message}", file=sys.stderr)
