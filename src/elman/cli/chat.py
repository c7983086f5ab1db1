"""``elman chat``: a conversation with a trained model."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro

from ..errors import UserError
from ..generation import Sampling
from ..tasks.registry import find_job, job_of
from ..tasks.seq2seq.estimator import Seq2Seq
from .options import parse
from .runs import chosen_run

RESET = "/reset"


@dataclass(frozen=True)
class Chat:
    """Talk to a model trained on conversations: a line is a turn, /reset forgets what was said, Ctrl-D ends it.

    Examples:
      elman train seq2seq --recipe dialogue --data conversations.jsonl
      elman chat runs/seq2seq-gru-1
      elman chat runs/seq2seq-gru-1 --temperature 0 < lines.txt
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run folder of a trained model; the newest below runs/ unless given."""

    temperature: float = 0.7
    """Below 1 safer, above 1 wilder, 0 always the likeliest word."""

    top_p: float | None = 0.9
    """Choose among the likeliest tokens that together have this probability."""

    beam: int | None = None
    """Width of a beam search for the likeliest answer, in place of chance."""

    seed: int | None = None
    """Makes the same choices again."""

    checkpoint: str = "best"
    """Which checkpoint answers: best, last, or a step."""


def run(arguments: list[str]) -> int:
    command = parse(Chat, arguments, "chat")
    folder = chosen_run(command.run)
    if find_job(job_of(folder)).load() is not Seq2Seq:
        raise UserError(f"{folder} is a run of {job_of(folder)}; chat needs one of seq2seq, trained on conversations")
    model = Seq2Seq.load(folder, command.checkpoint)
    if model.settings_.pairs.turns is None:
        raise UserError(f"{folder} was not trained on conversations; train with --turns, or use elman predict {folder}")
    sampling = None
    if command.beam is not None:
        model.set_search(beam=command.beam)
    else:
        sampling = Sampling(temperature=command.temperature, top_p=command.top_p)
    generator = torch.Generator()
    if command.seed is None:
        generator.seed()
    else:
        generator.manual_seed(command.seed)
    history: list[str] = []
    prompt = "you> " if sys.stdin.isatty() else ""
    while True:
        try:
            said = input(prompt).strip()
            said.encode()  # in some locales bytes that are no text come as signs that are none
        except EOFError:
            print(end="\n" if prompt else "")
            return 0
        except UnicodeError as error:
            raise UserError(f"standard input is not {sys.stdin.encoding} text; convert it to that") from error
        if said == RESET:
            history.clear()
        elif said:
            answer = model.reply([*history, said], sampling, generator)
            history += [said, answer]
            print(f"elman> {answer}" if prompt else answer, flush=True)
