"""``elman generate``: let a trained model write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from ..tasks.language_model.estimator import LanguageModel
from .options import parse
from .runs import chosen_run


@dataclass(frozen=True)
class Generate:
    """Let a trained language model go on from a prompt; the text is printed as it is written.

    Examples:
      elman generate --prompt 'Once upon a time'
      elman generate runs/lm-lstm-1 --prompt 'Once upon a time' --temperature 0.7 --seed 1
      elman generate runs/lm-lstm-1 --samples 3 --top-p 0.9 --length 300
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run folder of a trained model; the newest below runs/ unless given."""

    prompt: str = ""
    """How the text begins; empty starts a new story."""

    length: int = 600
    """Most tokens to write; a story may end sooner."""

    temperature: float = 0.8
    """Below 1 safer, above 1 wilder, 0 always the likeliest."""

    top_k: int | None = None
    """Choose among the k likeliest tokens only."""

    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability."""

    greedy: bool = False
    """Always the likeliest token."""

    beam: int | None = None
    """Width of a beam search for the likeliest text, in place of chance."""

    length_penalty: float = 0.0
    """Of the beam search: larger favours longer texts, 0.6 to 1 is usual."""

    stop: str | None = None
    """A text at which to stop."""

    samples: int = 1
    """How many texts to write, side by side in one batch."""

    noise: float | None = None
    """Sigma of a random start state (the textbook takes 0.01)."""

    seed: int | None = None
    """Makes the same choices again."""

    checkpoint: str = "best"
    """Which checkpoint writes: best, last, or a step."""


def run(arguments: list[str]) -> int:
    command = parse(Generate, arguments, "generate")
    model = LanguageModel.load(chosen_run(command.run), command.checkpoint)
    # One text is shown as it grows; several grow side by side and are shown one after the other.
    alone = command.samples == 1
    begun = False

    def show(sample: int, text: str) -> None:
        # The prompt with the first of it: one that cannot be read is refused before.
        nonlocal begun
        if alone:
            print(text if begun else command.prompt + text, end="", flush=True)
            begun = True

    texts = model.generate(
        command.prompt,
        length=command.length,
        temperature=command.temperature,
        top_k=command.top_k,
        top_p=command.top_p,
        greedy=command.greedy,
        beam=command.beam,
        length_penalty=command.length_penalty,
        stop=command.stop,
        samples=command.samples,
        noise=command.noise,
        seed=command.seed,
        on_text=show,
    )
    if alone:
        print("" if begun else command.prompt)
    for number, text in enumerate([] if alone else texts, 1):
        print(f"--- {number}\n{command.prompt}{text}\n")
    return 0
