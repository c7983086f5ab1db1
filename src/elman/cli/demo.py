"""``elman demo``: from nothing to a story in two minutes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ..tasks.language_model.estimator import new_run_folder
from ..tasks.recipes import read_recipe
from .options import parse
from .train import fit, report

# The tales begin with their titles.
PROMPT = "The Fox and the Bell\n\nOnce upon a time"


@dataclass(frozen=True)
class Demo:
    """Train an LSTM on the embedded fairy tales for about ninety seconds of training and let it tell a story."""

    run: str | None = None
    """Where the run is written; runs/demo-N unless given."""

    minutes: float | None = None
    """Training time in place of the recipe's."""

    seed: int = 0
    """Another seed, another story."""


def run(arguments: list[str]) -> int:
    command = parse(Demo, arguments, "demo")
    options = read_recipe("demo") | {"seed": command.seed}
    if command.minutes is not None:
        options["minutes"] = command.minutes
    model = fit("lm", options, run=command.run or new_run_folder("demo"))
    print(f"\n{PROMPT}", end="")
    show = partial(print, end="", flush=True)
    model.generate(PROMPT, length=700, temperature=0.7, seed=command.seed, on_text=lambda _, text: show(text))
    print("\n")
    report("lm", model)
    return 0
