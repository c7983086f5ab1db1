"""``check_cell``: runs the checks and tells what went wrong."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import torch

from ..cell import find_cell
from ..engine import scan
from ..errors import UserError, nearest
from ..structure import State
from .registry import CHECKS
from .report import Check, Report
from .subject import DoesNotApply, Subject, Wrong, name_of

_HERE = Path(__file__).parent
_PASSED_OVER = (Path(torch.__file__).parent, _HERE, _HERE.parent / "engine", _HERE.parent / "cell.py")


def check_cell(cell: Any, *, raises: bool = True, **options: Any) -> Report:
    """Checks all that a cell promises; every failure is told in one or two sentences with its numbers.

    What is computed is not checked, only you know the formula; but that its derivatives are right, that the compiled
    loop does what the step does, and that pieces, padding, rows, resets, copies and options behave.

    Args:
        cell: an ``elman.Cell`` subclass; any function of (input_size, hidden_size) that makes a step module, such as
            ``torch.nn.LSTMCell``; a step module already built; or a cell's name, or "file.py:ClassName".
        raises: raise ``AssertionError`` where a check fails; False leaves that to the report.
        input_size: features of the input; default 3.
        hidden_size: units; default 4. What is not built yet is also tried at other sizes; those that it refuses with
            ``UserError`` are passed over.
        options: further options of the constructor, a dict.
        inputs: function of (time, batch) that makes inputs, (T, B, ...) or a tuple of such; default: the cell's
            ``example_inputs``, or normal numbers (T, B, input_size).
        state: function of the batch size that makes the first state; default: as in ``elman.scan``.
        only: names of the checks to run; default all, see ``names``.
        skip: names of checks to leave out.
        slow: also run the slow checks.
        compiled: it is a failure if the cell runs eagerly; else the report only says why it does.

    Raises ``UserError`` for an unknown check and for what is no cell.

    >>> report = check_cell(torch.nn.GRUCell, only=("rows", "pieces"))
    >>> [(check.name, check.passed) for check in report.checks]
    [('pieces', True), ('rows', True)]
    >>> from elman import Cell
    >>> class Leaky(Cell, register=False):
    ...     gates = ("n",)
    ...     def step(self, x, h):
    ...         return torch.tanh(x.n + self.recur.n(h)) + h.mean(0)
    >>> check_cell(Leaky, only=("rows",), raises=False).failures[0].message
    'row 0 changes by 0.44 when the other rows change; a step must not mix the rows of a batch (its first axis)'
    """
    report = Report(name_of(cell), tuple(run_checks(cell, **options)))
    if raises:
        report.raise_if_failed()
    return report


def names(*, slow: bool = False) -> tuple[str, ...]:
    """The names of the checks, the slow ones at the end where they are wanted.

    >>> "gradients" in names(), "learning" in names(), "learning" in names(slow=True)
    (True, False, True)
    """
    return tuple(sorted((name for name, each in CHECKS.items() if slow or not each.slow), key=lambda n: CHECKS[n].slow))


def run_checks(
    cell: Any,
    *,
    input_size: int = 3,
    hidden_size: int = 4,
    options: dict[str, Any] | None = None,
    inputs: Callable[[int, int], Any] | None = None,
    state: Callable[[int], State] | None = None,
    only: Collection[str] | None = None,
    skip: Collection[str] = (),
    slow: bool = False,
    compiled: bool = False,
) -> Iterator[Check]:
    """The checks of ``check_cell`` one by one, each as it is done; one named "build" alone where that fails.

    >>> [check.passed for check in run_checks("lstm", only=("reverse",))]
    [True]
    """
    for name in (*(only or ()), *skip):
        if name not in CHECKS:
            raise UserError(f"no check {name!r}; {nearest(name, CHECKS)}")
    if isinstance(cell, str):
        cell = find_cell(cell)
    if not callable(cell):
        raise UserError(
            f"check_cell got a {type(cell).__name__}; give a class, a function that makes cells, or a module"
        )
    subject = Subject(cell, input_size, hidden_size, options or {}, inputs, state, compiled)
    built = _run("build", _build, subject)
    if not built.passed:
        yield built
        return
    for name in names(slow=slow) if only is None else sorted(only, key=[*names(slow=True)].index):
        if name not in skip:
            yield _run(name, CHECKS[name].run, subject)


def _build(s: Subject) -> None:
    cell = s.build()
    try:
        scan(cell, s.inputs(cell, 1, 2), s.start(cell, 2), backend="eager")
    except (RuntimeError, ValueError, IndexError) as error:
        if s.make_inputs is None and len(getattr(cell, "inputs", ())) > 1:
            error.add_note("the inputs beside x were normal numbers (B, 1); override example_inputs if they are others")
        raise


def _run(name: str, check: Callable[[Subject], str | None], subject: Subject) -> Check:
    begin = time.perf_counter()
    passed, message = False, ""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        try:
            message, passed = check(subject) or "", True
        except DoesNotApply as reason:
            message, passed = f"does not apply: {reason}", True
        except Wrong as error:
            message = str(error)
        except Exception as error:
            message = _told(error)
    return Check(name, passed, time.perf_counter() - begin, message)


def _told(error: Exception) -> str:
    """An exception in one line, with the place in the cell's own file that it comes from."""
    text = " ".join("; ".join([str(error), *getattr(error, "__notes__", ())]).split()) or "no reason given"
    place = _place(error)
    return f"{type(error).__name__}: {text}" + (f" ({place})" if place else "")


def _place(error: Exception) -> str:
    """The last line that ran in neither PyTorch, nor the engine, nor here; empty where there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if not any(file.is_relative_to(place) for place in _PASSED_OVER):
            return f"{frame.filename}:{frame.lineno}"
    return ""
