"""How good the recipes for tagging are on public test sets.

    python benchmarks/acceptance/tag.py pos-tags FOLDER --seeds 0
    python benchmarks/acceptance/tag.py chunks FOLDER --softmax

FOLDER holds the sets: ud-ewt/en_ewt-{train,dev,test}.tsv.gz (``form<TAB>UPOS<TAB>XPOS``), conll2000/{train,test}.txt.gz
(``word tag chunk``). Training sees the training part alone, of which the official development set, or a tenth, chooses
the weights; the test part is read once, at the end. Results go to docs/results/NAME.json and .md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from elman import Tagger
from elman.tasks.recipes import read_recipe

RESULTS = Path(__file__).parents[2] / "docs" / "results"


class Set(NamedTuple):
    """Files below FOLDER to learn from, to judge by while learning (None: a part of those) and to test on."""

    about: str
    train: str
    valid: str | None
    test: str
    options: dict[str, Any]
    measure: str
    wanted: float | None


SETS = {
    "pos-tags": Set(
        "The 17 universal parts of speech of the English Web Treebank (Silveira et al. 2014), gold words.",
        "ud-ewt/en_ewt-train.tsv.gz", "ud-ewt/en_ewt-dev.tsv.gz", "ud-ewt/en_ewt-test.tsv.gz",
        {"column": "2"}, "accuracy", 0.935,
    ),
    "chunks": Set(
        "The phrases of CoNLL-2000 (Tjong Kim Sang and Buchholz 2000), from words alone: its tags are not read.",
        "conll2000/train.txt.gz", None, "conll2000/test.txt.gz",
        {"column": "3"}, "spans_f1", None,
    ),
}  # fmt: skip
"""What each recipe is tried on."""


def one_seed(recipe: str, on: Set, folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Trains once and reads the test part."""
    model = Tagger(**{**read_recipe(recipe, "tag"), **on.options, **options, "seed": seed})
    started = time.monotonic()
    model.fit(folder / on.train, valid=on.valid and folder / on.valid, quiet=False)
    minutes = (time.monotonic() - started) / 60
    test = model.evaluate(folder / on.test)
    print(f"seed {seed}: test\n{model.show(test, None)}\n", flush=True)
    best = model.result.best_metrics
    return {
        "seed": seed,
        "head": "CRF" if model.settings_.net.crf else "softmax",
        "test": test,
        "valid": best,
        "best_step": model.result.best_step,
        "steps": model.result.steps,
        "stopped_by": model.result.stopped_by,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "minutes": round(minutes, 2),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    runs, measure = result["runs"], result["measure"]
    wanted = "" if result["wanted"] is None else f"; wanted {result['wanted']:.1%}"
    lines = [f"# {result['name']}", "", result["about"], "", f"`{result['command']}`{wanted}.", ""]
    for head in dict.fromkeys(run["head"] for run in runs):
        found = [run["test"][measure] for run in runs if run["head"] == head]
        lines.append(f"- {head}: test {measure.replace('_', ' ')} **{np.mean(found):.2%}**, {len(found)} seed(s)")
    measures = list(dict.fromkeys([measure, "accuracy"]))
    names = [f"{part} {each.replace('_', ' ')}" for part in ("test", "validation") for each in measures]
    heads = ["head", "seed", *names, "words outside the vocabulary", "sentences right", "best at step", "minutes"]
    lines += ["", f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for run in runs:
        test, unknown = run["test"], run["test"]["unknown"]
        row = [run["head"], run["seed"]]
        row += [f"{run[part][each]:.2%}" for part in ("test", "valid") for each in measures]
        row += [f"{unknown['accuracy']:.2%} of {unknown['steps']:,}", f"{test['whole']:.2%}", run["best_step"]]
        row.append(f"{run['minutes']:.1f}")
        lines.append(f"| {' | '.join(map(str, row))} |")
    last = runs[-1]["test"]
    lines += ["", f"Each, {runs[-1]['head']}, seed {runs[-1]['seed']}:", ""]
    lines += ["| | there | precision | recall | F1 |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, *each in _each(last):
        lines.append(f"| {name} | {each[0]:,} | {' | '.join(f'{number:.4f}' for number in each[1:])} |")
    lines += ["", f"Options: `{json.dumps(result['options'])}`; {result['machine']}."]
    return "\n".join(lines) + "\n"


def _each(test: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Name, count, precision, recall and F1 of every kind of span, or of every tag."""
    if "spans" in test:
        return [(name, *each.values()) for name, each in test["spans"]["kinds"].items()]
    numbers = test["per_label"]
    counts = [sum(row) for row in test["confusion"]]
    return list(zip(test["labels"], counts, numbers["precision"], numbers["recall"], numbers["f1"], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--softmax", action="store_true", help="also train without the CRF, to compare")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="end every training after so many minutes")
    given = parser.parse_args()
    on, machine = SETS[given.name], {"threads": given.threads, "minutes": given.minutes}
    kinds: list[dict[str, Any]] = [{**machine, "crf": False}] if given.softmax else []
    runs = [
        one_seed(given.name, on, given.folder, seed, options) for options in [*kinds, machine] for seed in given.seeds
    ]
    words = [given.name, "FOLDER", "--seeds", *map(str, given.seeds), *(["--softmax"] if given.softmax else [])]
    words += [] if given.minutes is None else ["--minutes", f"{given.minutes:g}"]
    result = {
        "name": given.name,
        "about": on.about,
        "command": f"python benchmarks/acceptance/tag.py {' '.join(words)}",
        "measure": on.measure,
        "wanted": on.wanted,
        "options": read_recipe(given.name, "tag"),
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
        "runs": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{given.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / f"{given.name}.md").write_text(markdown(result))
    for run in runs:
        print(f"{given.name}, {run['head']}, seed {run['seed']}: {run['test'][on.measure]:.2%}")


if __name__ == "__main__":
    main()
