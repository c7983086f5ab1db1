"""The one exception for mistakes of the caller."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the caller, said in one sentence: what came, what was expected, what to do.

    The command line prints it without a traceback and exits with status 2.

    >>> raise UserError("no such file: 'tails.txt'")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: no such file: 'tails.txt'
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint naming the valid name closest to ``name``, or all of them when none is close.

    >>> nearest("lstn", ["gru", "lstm"])
    "did you mean 'lstm'?"
    >>> nearest("qqq", ["gru", "lstm"])
    'valid: gru, lstm'
    """
    choices = sorted(valid)
    close = difflib.get_close_matches(name.lower(), [c.lower() for c in choices], n=1)
    if close:
        match = next(c for c in choices if c.lower() == close[0])
        return f"did you mean '{match}'?"
    return f"valid: {', '.join(choices)}"
