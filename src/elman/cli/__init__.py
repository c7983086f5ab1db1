"""The command line: ``elman VERB ...``, one file per verb."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from ..errors import UserError, nearest

VERBS = {
    "demo": "train on the embedded tales for a minute and a half, then tell a story",
    "train": "train a model: elman train lm",
    "generate": "let a trained model write",
    "evaluate": "perplexity of a trained model on a text",
    "cells": "the cells there are, with their papers and sizes",
    "data": "the texts there are by name; fetch one",
    "reproduce": "run a published experiment: elman reproduce grimm",
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
    warnings.showwarning = _plain_warning
    try:
        if words[0] not in VERBS:
            raise UserError(f"unknown command {words[0]!r}; {nearest(words[0], VERBS)}")
        verb = importlib.import_module(f".{words[0]}", __name__)
        code: int = verb.run(words[1:])
        return code
    except UserError as mistake:
        print(f"elman: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("elman: interrupted", file=sys.stderr)
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


def _plain_warning(message: Warning | str, *where: object, **more: object) -> None:
    print(f"elman: warning: {message}", file=sys.stderr)
