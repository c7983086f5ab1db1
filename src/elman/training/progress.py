"""What the user sees while a run trains: a bar on a terminal, one plain line per evaluation elsewhere."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

REFRESH_SECONDS = 0.2


class Display:
    """Step, epoch, train and valid perplexity (or loss and other numbers), speed and the time left; silent where asked.

    >>> import io
    >>> with Display(Console(file=io.StringIO(), width=120)) as display:
    ...     display.evaluated({"step": 5, "epoch": 1.0, "train_loss": 2.0, "valid_loss": 2.5, "tokens_per_second": 9.0})
    ...     print(display.console.file.getvalue().strip())
    step 5  epoch 1.00  train loss 2.000  valid loss 2.500  9 tokens/s
    """

    def __init__(self, console: Console | None = None, silent: bool = False, counted: str = "tokens") -> None:
        self.console = console or Console(quiet=silent)
        self._silent = silent
        self._counted = counted
        self._bar: Progress | None = None
        self._valid = ""
        self._unit = "loss"
        self._shown = -math.inf

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self._silent:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TaskProgressColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self.console, expand=True)
            self._task = self._bar.add_task("training", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def stepped(self, step: int, epoch: float, progress: float, train_loss: float, rate: float) -> None:
        """Show where training is: ``progress`` in [0, 1] of the budget, ``train_loss`` since the last evaluation."""
        if not self._bar or (progress < 1 and time.monotonic() - self._shown < REFRESH_SECONDS):
            return
        self._shown = time.monotonic()
        train = f"train {_number(train_loss, self._unit)}"
        words = f"step {step}  epoch {epoch:.2f}  {rate:,.0f} {self._counted}/s  {train}{self._valid}"
        self._bar.update(self._task, completed=min(progress, 1.0), description=words)

    def evaluated(self, record: dict[str, Any]) -> None:
        """Show the record of an evaluation."""
        self._unit = "perplexity" if "valid_perplexity" in record else "loss"
        train, valid = record[f"train_{self._unit}"], record[f"valid_{self._unit}"]
        self._valid = f"  valid {self._unit} {valid:.3f}"
        if self._unit == "loss":
            others = (name for name in record if name.startswith("valid_") and name != "valid_loss")
            self._valid += "".join(f"  {name.removeprefix('valid_')} {record[name]:.3f}" for name in others)
        if not self._bar and not self._silent:
            words = f"step {record['step']}  epoch {record['epoch']:.2f}  train {self._unit} {train:.3f}{self._valid}"
            self.say(f"{words}  {record[f'{self._counted}_per_second']:,.0f} {self._counted}/s")

    def say(self, sentence: str) -> None:
        """Print a sentence, above the bar where there is one."""
        if not self._silent:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _number(loss: float, unit: str) -> str:
    return f"{unit} {perplexity(loss) if unit == 'perplexity' else loss:.3f}"


def perplexity(loss: float) -> float:
    """``exp(loss)`` for a mean cross entropy in nats; infinite instead of an error where that overflows.

    >>> round(perplexity(2.0), 3), perplexity(1e6)
    (7.389, inf)
    """
    return math.exp(loss) if loss < 700 else math.inf
