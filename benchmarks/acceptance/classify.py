"""How good the recipes for classification are on public test sets.

    python benchmarks/acceptance/classify.py question-type FOLDER --seeds 0 1 2

FOLDER holds the sets: trec/TREC.{train,test}.txt (``label:fine question``), sst/stsa.binary.{train,dev,test}.txt.gz
(``label sentence``), sms-spam/SMSSpamCollection.tsv (``label<TAB>text``), names/names/LANGUAGE.txt (a name a line),
mnist/{train-20k,t10k}-{images-idx3,labels-idx1}-ubyte.gz, fsdd/fsdd-logmel20.npz (frames, lengths, digit, speaker,
take). Training sees the training part alone, of which a part (or the official development set) chooses the weights; the
test part is read once, at the end. Results go to docs/results/NAME.json and .md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from elman import Classifier
from elman.data import hold_out
from elman.data.images import read_idx
from elman.data.moving import moving_digits
from elman.tasks.recipes import read_recipe

RESULTS = Path(__file__).parents[2] / "docs" / "results"


class Parts(NamedTuple):
    """Examples with labels: to learn from, to judge by while learning (None: a part of those), and the test."""

    train: tuple[Any, Any]
    valid: tuple[Any, Any] | None
    test: tuple[Any, Any]
    groups: list[str] | None = None
    name: str = ""
    """What is held out, where a set is cut in several ways."""


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
    """The first 20,000 training images of MNIST and its 10,000 test images, LeCun et al. 1998."""
    return Parts(_digits(folder, "train-20k"), None, _digits(folder, "t10k"))


def spoken(folder: Path) -> Parts:
    """The Free Spoken Digit Dataset in its official split: takes 5 to 49 of six speakers, and takes 0 to 4 as test."""
    sounds, digits, _, takes = _fsdd(folder)
    return Parts(_rows(sounds, digits, takes >= 5), None, _rows(sounds, digits, takes < 5))


def spoken_by_others(folder: Path) -> list[Parts]:
    """The Free Spoken Digit Dataset by speaker: each of the six in turn is the test, another chooses the weights."""
    sounds, digits, speakers, _ = _fsdd(folder)
    return [
        Parts(
            _rows(sounds, digits, speakers != speaker),
            None,
            _rows(sounds, digits, speakers == speaker),
            speakers[speakers != speaker].tolist(),
            f"speaker {speaker}",
        )
        for speaker in np.unique(speakers)
    ]


def moving(folder: Path) -> Parts:
    """Clips of 16 frames of 32 x 32 in which a digit of MNIST bounces, under noise and with a bar over three tenths of
    it in every frame: 10,000 from 18,000 training images, 1,000 from the 2,000 others, which choose the weights, and
    2,000 from the test images."""
    return Parts(*moving_parts(folder, changing=False))


def moving_parts(folder: Path, *, changing: bool) -> list[tuple[Any, Any]]:
    """Clips to learn from, to choose the weights by, and to test on, of different images each."""
    images, labels = _digits(folder, "train-20k")
    of = ((images[:18000], labels[:18000]), (images[18000:], labels[18000:]), _digits(folder, "t10k"))
    counts = (10_000, 1_000, 2_000)
    return [
        tuple(moving_digits(*part, count, changing=changing, seed=seed))
        for seed, (part, count) in enumerate(zip(of, counts, strict=True))
    ]


SETS: dict[str, tuple[str, Callable[[Path], Parts | list[Parts]], float | None]] = {
    "question-type": ("question-type", trec, 0.90),
    "sentiment": ("sentiment", sst2, 0.79),
    "spam": ("spam", spam, 0.98),
    "names": ("names", names, 0.80),
    "image-rows": ("image-rows", mnist, 0.985),
    "image-pixels": ("image-pixels", mnist, 0.97),
    "image-patches": ("image-patches", mnist, 0.97),
    "spoken-digits": ("spoken-digits", spoken, 0.97),
    "spoken-digits-by-speaker": ("spoken-digits", spoken_by_others, None),
    "video-class": ("video-class", moving, 0.95),
}
"""A recipe's name, what it is tried on, and the test accuracy wanted, None where it is only reported."""


def _digits(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (read_idx(folder / "mnist" / f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return images, labels.astype(np.int64)


def _fsdd(folder: Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Log-mel features of 20 bands of every recording, its digit, speaker and take."""
    with np.load(folder / "fsdd" / "fsdd-logmel20.npz") as file:
        frames = file["frames"] * np.float32(25 / 255) - np.float32(18.5)
        ends = np.cumsum(file["lengths"].astype(int))[:-1]
        return np.split(frames, ends), file["digit"].astype(int), file["speaker"], file["take"]


def _rows(items: list[np.ndarray], labels: np.ndarray, chosen: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    return [items[row] for row in np.flatnonzero(chosen)], labels[chosen]


def _cut(texts: tuple[str, ...], labels: tuple[str, ...], groups: list[str] | None) -> Parts:
    train, test = hold_out(len(texts), 0.2, labels=None if groups else labels, groups=groups, seed=0)
    parts = [([texts[row] for row in rows], [labels[row] for row in rows]) for rows in (train, test)]
    return Parts(parts[0], None, parts[1], groups and [groups[row] for row in train])


def one_seed(recipe: str, parts: Parts, seed: int, options: dict[str, Any]) -> tuple[dict[str, Any], Classifier]:
    """Trains once and reads the test part; the row and the model."""
    model = Classifier(**{**read_recipe(recipe, "classify"), **options, "seed": seed})
    started = time.monotonic()
    model.fit(*parts.train, groups=parts.groups, valid=parts.valid, quiet=False)
    minutes = (time.monotonic() - started) / 60
    test = model.evaluate(*parts.test)
    print(f"{parts.name} seed {seed}: test\n{model.show(test, None)}\n", flush=True)
    best = model.result.best_metrics
    row = {
        "held_out": parts.name,
        "seed": seed,
        "test": test,
        "valid_accuracy": best["accuracy"],
        "best_step": model.result.best_step,
        "steps": model.result.steps,
        "stopped_by": model.result.stopped_by,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "minutes": round(minutes, 2),
    }
    return row, model


def together(models: Sequence[Classifier], test: tuple[Any, Any]) -> float:
    """The accuracy of several models whose probabilities are averaged, as ``VotingClassifier(voting="soft")`` does."""
    likeliest = sum(model.predict_proba(test[0]) for model in models).argmax(1)
    return float(np.mean(models[0].classes_[likeliest] == np.asarray(test[1])))


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    runs = result["runs"]
    lines = [
        f"# {result['name']}",
        "",
        result["about"],
        "",
        f"`{result['command']}`: mean test accuracy **{result['mean_accuracy']:.2%}** over {len(runs)} run(s); "
        + (f"wanted {result['wanted']:.1%}." if result["wanted"] else "for the record."),
        "",
        "| seed | test accuracy | test macro F1 | test loss | validation accuracy | best at step | minutes |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in runs:
        test = run["test"]
        of = f", {run['held_out']}" if run["held_out"] else ""
        lines.append(
            f"| {run['seed']}{of} | {test['accuracy']:.2%} | {test['f1']:.4f} | {test['loss']:.4f} | "
            f"{run['valid_accuracy']:.2%} | {run['best_step']} | {run['minutes']:.1f} |"
        )
    if result["together"] is not None:
        lines += ["", f"The {len(runs)} nets' probabilities averaged: **{result['together']:.2%}**."]
    first = runs[0]["test"]
    lines += [
        "",
        "Each label, the run of the first line:",
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
    parser.add_argument("--minutes", type=float, help="end every training after so many minutes")
    given = parser.parse_args()
    recipe, load, wanted = SETS[given.name]
    parts = load(given.folder)
    folds = parts if isinstance(parts, list) else [parts]
    options = {"threads": given.threads, "minutes": given.minutes}
    runs, models = zip(*(one_seed(recipe, fold, seed, options) for seed in given.seeds for fold in folds), strict=True)
    result = {
        "name": given.name,
        "about": " ".join((load.__doc__ or "").split()),
        "command": f"python benchmarks/acceptance/classify.py {given.name} FOLDER --seeds "
        + " ".join(map(str, given.seeds))
        + (f" --minutes {given.minutes:g}" if given.minutes else ""),
        "wanted": wanted,
        "mean_accuracy": float(np.mean([run["test"]["accuracy"] for run in runs])),
        "together": together(models, folds[0].test) if len(folds) == 1 < len(runs) else None,
        "options": read_recipe(recipe, "classify"),
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
        "runs": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{given.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / f"{given.name}.md").write_text(markdown(result))
    print(f"{given.name}: {result['mean_accuracy']:.2%}" + (f", wanted {wanted:.1%}" if wanted else ""))


if __name__ == "__main__":
    main()
