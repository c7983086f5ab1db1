"""Which run a command is about."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import UserError

RUNS = Path("runs")


def chosen_run(given: str | None) -> str:
    """The run folder given, or the one below runs/ that was saved last, which standard error then names.

    Raises ``UserError`` where there is none.

    >>> chosen_run("runs/mine")
    'runs/mine'
    """
    if given is not None:
        return given
    pointers = sorted(RUNS.rglob("checkpoints/last"), key=lambda pointer: pointer.stat().st_mtime_ns)
    if not pointers:
        raise UserError(f"no run was named and {RUNS}/ holds none; name a run folder, or train: elman train lm")
    run = str(pointers[-1].parent.parent)
    print(f"elman: the newest run, {run}", file=sys.stderr)
    return run
