"""How well the recipe ``dialogue`` foretells the next turn of a conversation, beside a trigram model of words.

    python benchmarks/acceptance/dialogue.py FOLDER --threads 1

FOLDER holds conversations.jsonl.gz, a conversation a line with its turns as [speaker, text] (the BYU chit-chat set). Of
the conversations a tenth is the test, of the others a tenth chooses the weights. Both models see the same words, the
rare ones as one unknown word, and foretell every turn but the first of a conversation, its end included. The trigram
model learns from all turns of the training part, first ones included. Results go to docs/results/dialogue.{json,md},
with a conversation in which the model answers ten turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elman import Seq2Seq
from elman.data import hold_out
from elman.data.pairs import Pairs, read_conversations
from elman.generation import Sampling
from elman.tasks.language_model.ngram import KneserNey
from elman.tasks.recipes import read_recipe
from elman.training.metrics import read_metrics

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SAID = (
    "hi, how are you?",
    "i am fine, thank you. what did you do today?",
    "did you watch any good movies lately?",
    "what is your favorite movie?",
    "i like to read books. do you read?",
    "what food do you like best?",
    "do you like pizza?",
    "where would you travel if you could go anywhere?",
    "that sounds fun! do you have any pets?",
    "it was nice talking to you, bye!",
)


def parts(pairs: Pairs) -> tuple[Pairs, Pairs, Pairs]:
    """The pairs to learn from, to choose by and to test on, conversations kept whole."""
    rest, test = hold_out(len(pairs), 0.1, groups=pairs.groups, seed=0)
    learn, choose = hold_out(len(rest), 0.1, groups=[pairs.groups[row] for row in rest], seed=1)
    return pairs[rest[learn]], pairs[rest[choose]], pairs[test]


def in_one_row(model: Seq2Seq, turns: list[str], end: int) -> np.ndarray:
    """Turns as ids with the end mark after each, as the model's targets are read."""
    ids = model.writer_.encoder.tokenizer.encode
    return np.concatenate([np.append(ids(turn.lower()), end) for turn in turns]).astype(np.int64)


def trigram_perplexity(model: Seq2Seq, train: Pairs, test: Pairs) -> float:
    """Of the test turns, by a trigram model of the turns of the training part."""
    end = model.writer_.encoder.tokenizer.end_id
    first = dict(zip(reversed(train.groups), reversed(train.sources), strict=True))
    trigram = KneserNey(order=3, boundary=end)
    trigram.fit(in_one_row(model, [*first.values(), *train.targets], end), vocab_size=model.writer_.encoder.vocab_size)
    return trigram.perplexity(in_one_row(model, list(test.targets), end))


def conversation(model: Seq2Seq) -> list[tuple[str, str]]:
    """What it answers to ten turns, its own answers among what it is told."""
    history: list[str] = []
    generator = torch.Generator().manual_seed(0)
    for said in SAID:
        history += [said, model.reply([*history, said], Sampling(temperature=0.6, top_p=0.9), generator)]
    return list(zip(history[::2], history[1::2], strict=True))


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    lines = [
        "# dialogue",
        "",
        f"The BYU chit-chat set. `{result['command']}`: perplexity **{result['perplexity']:.2f}** a word on the test "
        f"conversations; the trigram model has {result['trigram']:.2f}, which is wanted to be above.",
        "",
        f"- {result['pairs'][0]:,} turns to learn from, {result['pairs'][1]:,} to choose the weights by, "
        f"{result['pairs'][2]:,} to test on; {result['types']:,} types of words",
        f"- validation perplexity {result['valid_perplexity']:.2f}; {result['minutes']:.1f} minutes of training "
        f"({result['cpu_minutes']:.1f} of the processor), {result['epochs']:.1f} epochs, best at step "
        f"{result['best_step']:,} of {result['steps']:,}; {result['weights']:,} weights",
        f"- options: `{json.dumps(result['options'])}`; seed {result['seed']}; {result['machine']}",
        "",
        "| step | epoch | validation perplexity | minutes |",
        "| ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['step']} | {r['epoch']:.2f} | {r['valid_perplexity']:.2f} | {r['seconds'] / 60:.1f} |"
        for r in result["curve"]
    ]
    lines += ["", "A conversation of ten turns, the answers drawn (temperature 0.6, top-p 0.9, seed 0):", ""]
    for said, answer in result["conversation"]:
        lines += [f"- you: {said}", f"- elman: {answer}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", type=Path, default=None, help="a run folder to keep; it may hold a run to go on with")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    options = read_recipe("dialogue", "seq2seq")
    if given.minutes is not None:
        options["minutes"] = given.minutes
    pairs = read_conversations(given.folder / "conversations.jsonl.gz", options["turns"])
    train, valid, test = parts(pairs)
    model = Seq2Seq(**{**options, "seed": given.seed, "threads": given.threads, "evaluate_texts": 0})
    cpu, run = time.process_time(), given.run or Path("runs") / "acceptance-dialogue"
    resume = (run / "checkpoints").exists()
    held = (valid.sources, valid.targets)
    model.fit(train.sources, train.targets, valid=held, run=run, resume=resume, quiet=False)
    cpu = time.process_time() - cpu
    trained = model.result
    result = {
        "name": "dialogue",
        "command": f"python benchmarks/acceptance/dialogue.py FOLDER --threads {given.threads} --seed {given.seed}"
        + (f" --minutes {given.minutes:g}" if given.minutes is not None else ""),
        "perplexity": model.evaluate(test.sources, test.targets)["perplexity"],
        "trigram": trigram_perplexity(model, train, test),
        "valid_perplexity": trained.best_metrics["perplexity"],
        "pairs": [len(train), len(valid), len(test)],
        "types": model.writer_.encoder.vocab_size,
        "conversation": conversation(model),
        "minutes": trained.seconds / 60,
        "cpu_minutes": cpu / 60,
        "epochs": trained.epochs,
        "steps": trained.steps,
        "best_step": trained.best_step,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "curve": read_metrics(run / "metrics.jsonl"),
        "options": options,
        "seed": given.seed,
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "dialogue.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "dialogue.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
