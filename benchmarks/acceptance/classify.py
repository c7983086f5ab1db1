"""How good the recipes for classification are on public test sets.

    python benchmarks/acceptance/classify.py question-type FOLDER --seeds 0 1 2

FOLDER holds the sets: trec/TREC.{train,test}.txt (``label:fine question``), sst/stsa.binary.{train,dev,test}.txt.gz
(``label sentence``), sms-spam/SMSSpamCollection.tsv (``label<TAB>text``), names/names/LANGUAGE.txt (a name a line),
mnist/{train-20k,t10k}-{images-idx3,labels-idx1}-ubyte.gz. Training sees the training part alone, of which a part (or
the official development set) chooses the weights; the test part is read once, at the end. Results go to
docs/results/NAME.json and .md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from elman import Classifier
from elman.data import hold_out
from elman.tasks.recipes import read_recipe

RESULTS = Path(__file__).parents[2] / "docs" / "results"


class Parts(NamedTuple):
    """Examples with labels: to learn from, to judge by while learning (None: a part of those), and the test."""

    train: tuple[Any, Any]
    valid: tuple[Any, Any] | None
    test: tuple[Any, Any]
    groups: list[str] | None = None


def trec(folder: Path) -> Parts:
    """5,452 and 500 questions of six coarse types, Li and Roth 2002."""

    def part(name: str) -> tuple[list[str], list[str]]:
        lines = (folder / "trec" / f"TREC.{name}.txt").read_text("utf-8").splitlines()
        labels, questions = zip(*(line.strip().split(" ", 1) for line in lines), strict=True)
        return list(questions), [label.partition(":")[0] for label in labels]

    return Parts(part("train"), None, part("test"))


def sst2(folder: Path) -> Parts:
    """The sentences of SST-2 (6,920, 872 and 1,821; no phrases), Socher et al. 2013."""

    def part(name: str) -> tuple[list[str], list[str]]:
        lines = gzip.decompress((folder / "sst" / f"stsa.binary.{name}.txt.gz").read_bytes()).decode().splitlines()
        return [line[2:].strip() for line in lines], ["praise" if line[0] == "1" else "blame" for line in lines]

    return Parts(part("train"), part("dev"), part("test"))


def spam(folder: Path) -> Parts:
    """The SMS Spam Collection (Almeida et al. 2011), each message once; a fifth of each kind is the test."""
    lines = dict.fromkeys((folder / "sms-spam" / "SMSSpamCollection.tsv").read_text("utf-8").splitlines())
    labels, texts = zip(*(line.split("\t", 1) for line in lines if line), strict=True)
    return _cut(texts, labels, None)


def names(folder: Path) -> Parts:
    """Surnames of 18 languages, each once a language; a fifth of the names is the test, none of them in training."""
    pairs = [
        (name.strip(), path.stem)
        for path in sorted((folder / "names" / "names").glob("*.txt"))
        for name in dict.fromkeys(path.read_text("utf-8").splitlines())
        if name.strip()
    ]
    texts, labels = zip(*dict.fromkeys(pairs), strict=True)
    return _cut(texts, labels, [text.lower() for text in texts])


def mnist(folder: Path) -> Parts:
    """The first 20,000 training images of MNIST and its 10,000 test images (LeCun et al. 1998), 28 rows of 28."""

    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = (
            np.frombuffer(gzip.decompress((folder / "mnist" / f"{name}-{kind}-ubyte.gz").read_bytes()), np.uint8)
            for kind in ("images-idx3", "labels-idx1")
        )
        return images[16:].reshape(-1, 28, 28), labels[8:].astype(np.int64)

    return Parts(part("train-20k"), None, part("t10k"))


SETS: dict[str, tuple[Callable[[Path], Parts], float]] = {
    "question-type": (trec, 0.90),
    "sentiment": (sst2, 0.79),
    "spam": (spam, 0.98),
    "names": (names, 0.80),
    "image-rows": (mnist, 0.985),
}
"""The recipe's name, what it is tried on, and the test accuracy wanted."""


def _cut(texts: tuple[str, ...], labels: tuple[str, ...], groups: list[str] | None) -> Parts:
    train, test = hold_out(len(texts), 0.2, labels=None if groups else labels, groups=groups, seed=0)
    parts = [([texts[row] for row in rows], [labels[row] for row in rows]) for rows in (train, test)]
    return Parts(parts[0], None, parts[1], groups and [groups[row] for row in train])


def one_seed(recipe: str, parts: Parts, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Trains once and reads the test part."""
    model = Classifier(**{**read_recipe(recipe, "classify"), **options, "seed": seed})
    started = time.monotonic()
    model.fit(*parts.train, groups=parts.groups, valid=parts.valid, quiet=False)
    minutes = (time.monotonic() - started) / 60
    test = model.evaluate(*parts.test)
    print(f"seed {seed}: test\n{model.show(test, None)}\n", flush=True)
    best = model.result.best_metrics
    return {
        "seed": seed,
        "test": test,
        "valid_accuracy": best["accuracy"],
        "best_step": model.result.best_step,
        "steps": model.result.steps,
        "stopped_by": model.result.stopped_by,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "minutes": round(minutes, 2),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    runs = result["runs"]
    lines = [
        f"# {result['name']}",
        "",
        result["about"],
        "",
        f"`{result['command']}`: mean test accuracy **{result['mean_accuracy']:.2%}** over {len(runs)} seed(s); wanted "
        f"{result['wanted']:.1%}.",
        "",
        "| seed | test accuracy | test macro F1 | test loss | validation accuracy | best at step | minutes |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in runs:
        test = run["test"]
        lines.append(
            f"| {run['seed']} | {test['accuracy']:.2%} | {test['f1']:.4f} | {test['loss']:.4f} | "
            f"{run['valid_accuracy']:.2%} | {run['best_step']} | {run['minutes']:.1f} |"
        )
    first = runs[0]["test"]
    lines += [
        "",
        f"Each label, seed {runs[0]['seed']}:",
        "",
        "| label | precision | recall | F1 |",
        "| --- | ---: | ---: | ---: |",
    ]
    each = first["per_label"]
    for label, *numbers in zip(first["labels"], each["precision"], each["recall"], each["f1"], strict=True):
        lines.append(f"| {label} | {' | '.join(f'{number:.4f}' for number in numbers)} |")
    lines += ["", f"Options: `{json.dumps(result['options'])}`; {result['machine']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    load, wanted = SETS[given.name]
    parts = load(given.folder)
    runs = [one_seed(given.name, parts, seed, {"threads": given.threads}) for seed in given.seeds]
    result = {
        "name": given.name,
        "about": " ".join((load.__doc__ or "").split()),
        "command": f"python benchmarks/acceptance/classify.py {given.name} FOLDER --seeds "
        + " ".join(map(str, given.seeds)),
        "wanted": wanted,
        "mean_accuracy": float(np.mean([run["test"]["accuracy"] for run in runs])),
        "options": read_recipe(given.name, "classify"),
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
        "runs": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{given.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / f"{given.name}.md").write_text(markdown(result))
    print(f"{given.name}: {result['mean_accuracy']:.2%}, wanted {wanted:.1%}")


if __name__ == "__main__":
    main()
