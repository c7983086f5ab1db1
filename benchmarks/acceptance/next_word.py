"""How often the next word of the Penn Treebank is among five guesses: a trained word model against a trigram model.

    elman reproduce ptb-small --data FOLDER --runs runs/ptb
    python benchmarks/acceptance/next_word.py FOLDER runs/ptb/ptb-small

FOLDER holds ptb.train.txt, ptb.valid.txt and ptb.test.txt, .gz or not. Both models guess at the same positions, all
words and line ends of the test part but the first; both learnt from the training part alone, the recurrent net's
weights were chosen by the validation part, and the trigram model has nothing to choose. Results go to
docs/results/next-word.json and .md.
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

from elman import LanguageModel
from elman.data import whole_text
from elman.tasks.language_model.estimator import TOP
from elman.tasks.language_model.ngram import KneserNey
from elman.tasks.reproduce.ptb import treebank

RESULTS = Path(__file__).parents[2] / "docs" / "results"
LINE_END = "\n"
PROMPTS = (
    "the company said it expects to __",
    "she was named vice __",
    "the index fell two __",
    "shares of the two banks rose to __",
    "nobody knows what the market will __",
)


def of_trigrams(train: np.ndarray, test: np.ndarray, size: int, boundary: int, order: int) -> dict[str, Any]:
    """An interpolated Kneser-Ney model's perplexity and accuracies on the test part."""
    started = time.monotonic()
    model = KneserNey(order, boundary=boundary).fit(train, size)
    log_p = model.log_probabilities(test)[1:]
    hit = model.top(test, TOP)[1:] == test[1:, None]
    return {
        "name": f"Kneser-Ney, {order} words",
        "perplexity": float(np.exp(-log_p.mean())),
        "top1": float(hit[:, 0].mean()),
        "top5": float(hit.any(1).mean()),
        "minutes": round((time.monotonic() - started) / 60, 2),
    }


def of_net(model: LanguageModel, test: Path, run: Path) -> dict[str, Any]:
    """The recurrent net's, from ``evaluate``."""
    found = model.evaluate(test)
    net = model.settings_.net
    return {
        "name": f"{net.cell}, {net.hidden_size} units, {net.num_layers or 1} layer(s)",
        "perplexity": found["perplexity"],
        "top5": found["top5_accuracy"],
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "seed": model.settings_.training.seed,
        "minutes": round(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["seconds"] / 60, 1),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    lines = [
        "# Next word",
        "",
        f"`{result['command']}`: guesses at {result['positions']:,} positions of the test part of the Penn Treebank, "
        "all words and line ends but the first. Right is a word among the five likeliest.",
        "",
        "| model | top-5 accuracy | top-1 accuracy | perplexity | minutes of training |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in result["models"]:
        first = f"{row['top1']:.2%}" if "top1" in row else ""
        lines.append(
            f"| {row['name']} | **{row['top5']:.2%}** | {first} | {row['perplexity']:.2f} | {row['minutes']:g} |"
        )
    for prompt, answers in result["completions"].items():
        words = (f"{word.replace(LINE_END, '(line end)')} {p:.3f}" for word, p in answers)
        lines += ["", f"`{prompt}`", "", ", ".join(words)]
    return "\n".join(lines) + f"\n\nOn {result['machine']}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path, help="the run folder of a word model trained on the same text")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    files = treebank(given.folder)
    model = LanguageModel.load(given.run)
    size = model.tokenizer_.vocab_size
    train, test = (whole_text(files[part], model.tokenizer_).tokens.astype(np.int64) for part in ("train", "test"))
    boundary = int(model.tokenizer_.encode("\n")[0])
    models = [of_trigrams(train, test, size, boundary, order) for order in (3, 5)]
    models.insert(0, of_net(model, files["test"], given.run))
    result = {
        "command": "python benchmarks/acceptance/next_word.py FOLDER RUN",
        "run": given.run.name,
        "positions": len(test) - 1,
        "models": models,
        "completions": {prompt: model.complete(prompt, TOP) for prompt in PROMPTS},
        "machine": f"{given.threads} thread(s), PyTorch {torch.__version__}, Python {platform.python_version()}",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "next-word.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "next-word.md").write_text(markdown(result))
    net, trigram = models[0], models[1]
    print(f"top-5 accuracy {net['top5']:.2%}, trigrams {trigram['top5']:.2%}; perplexity {net['perplexity']:.2f}")


if __name__ == "__main__":
    main()
