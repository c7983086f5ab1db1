"""One page of what every job reaches, made from the result files: docs/results/README.md.

    python benchmarks/summary.py

Reads the .json files of docs/results, as the acceptance runs and ``elman reproduce`` wrote them, and runs nothing. A
job that has not been measured has no row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from elman.tasks.reproduce.long_memory import BRIDGED

RESULTS = Path(__file__).parents[1] / "docs" / "results"


class Row(NamedTuple):
    """A measured figure beside the one that was wanted, both as text; ``good`` says whether it reached it."""

    job: str
    data: str
    measure: str
    wanted: str
    reached: str
    good: bool | None
    runs: int = 1


def accuracies(job: str, data: str, measure: str = "accuracy") -> Callable[[dict[str, Any]], Iterator[Row]]:
    """Rows of a classifier, tagger or labeller: the mean over its runs."""

    def rows(result: dict[str, Any]) -> Iterator[Row]:
        runs = [run for run in result["runs"] if run.get("read", "clips") == "clips"]
        mean = sum(run["test"]["accuracy"] for run in runs) / len(runs)
        wanted = result["wanted"]
        shown = "" if wanted is None else f"{wanted:.1%}"
        found = [(job, mean, len(runs)), (f"{job}, {len(runs)} nets voting", result.get("together"), 1)]
        for name, reached, count in found:
            if reached is not None:
                good = None if wanted is None else reached >= wanted
                yield Row(name, data, measure, shown, f"{reached:.2%}", good, count)

    return rows


def scene(result: dict[str, Any]) -> Iterator[Row]:
    tests = [run["test"] for run in result["runs"]]
    wanted = tests[0]["majority"] + result["wanted_above_majority"]
    mean = result["mean_accuracy"]
    reached = f"{mean:.2%} (mean IoU {result['mean_iou']:.3f})"
    yield Row("scene labelling", "CamVid", "pixels", f"{wanted:.2%}", reached, mean >= wanted, len(tests))


def translation(result: dict[str, Any]) -> Iterator[Row]:
    bleu, wanted = result["test"]["bleu"], result["wanted"]
    data = "Multi30k en-de, test 2016"
    yield Row("translation", data, f"BLEU, beam {result['beam']}", f"{wanted:g}", f"{bleu:.2f}", bleu >= wanted)


def captions(result: dict[str, Any]) -> Iterator[Row]:
    bleu = result["mean_bleu"]
    good = bleu >= result["wanted"]
    yield Row("captions", "Flickr8k", "BLEU-4", f"{result['wanted']:g}", f"{bleu:.2f}", good, len(result["runs"]))


def dialogue(result: dict[str, Any]) -> Iterator[Row]:
    ours, trigram = result["perplexity"], result["trigram"]
    yield Row("dialogue", "BYU chit-chat", "perplexity", f"{trigram:.1f} (trigrams)", f"{ours:.2f}", ours < trigram)


def next_word(result: dict[str, Any]) -> Iterator[Row]:
    net, *ngrams = result["models"]
    best = max(row["top5"] for row in ngrams)
    good = net["top5"] > best
    yield Row("next word", "Penn Treebank", "among five guesses", f"{best:.2%} (n-grams)", f"{net['top5']:.2%}", good)


def forecasts(result: dict[str, Any]) -> Iterator[Row]:
    for name, runs in result["runs"].items():
        mean = sum(run["mase"] for run in runs) / len(runs)
        methods = runs[0]["methods"]
        rival = "seasonal naive" if "seasonal naive" in methods else "naive"
        bound = methods[rival]["mase"]
        good = mean < bound
        yield Row("forecasting", name, "MASE", f"{bound:.3f} ({rival})", f"{mean:.3f}", good, len(runs))


def word_models(result: dict[str, Any]) -> Iterator[Row]:
    for run in result["runs"]:
        test, published = run["test_perplexity"], run["published_test"]
        shown = f"{published:g} (published)"
        yield Row("word model", f"Penn Treebank, {run['about']}", "perplexity", shown, f"{test:.2f}", test <= published)


def memory(result: dict[str, Any]) -> Iterator[Row]:
    for run in result["runs"]:
        measure = "mean square error" if run["problem"] == "adding" else "cross-entropy"
        wanted, reached = f"{BRIDGED * run['chance']:.2g}", f"{run['test_loss']:.2g}"
        data = f"{run['problem']}, T = {run['time']:,}, {run['about']}"
        yield Row("long memory", data, measure, wanted, reached, run["bridged"])


def stories(result: dict[str, Any]) -> Iterator[Row]:
    for run in result["runs"]:
        if run["chapter_best"] is not None:
            best = run["best_valid_perplexity"]
            shown = f"{run['chapter_best']:g} (the chapter)"
            good = best < run["chapter_best"]
            yield Row("stories", run["about"], "validation perplexity", shown, f"{best:.2f}", good)


JOBS: dict[str, Callable[[dict[str, Any]], Iterator[Row]]] = {
    "sentiment": accuracies("sentiment", "SST-2 sentences"),
    "question-type": accuracies("question type", "TREC, six types"),
    "names": accuracies("names", "18 languages"),
    "spam": accuracies("spam", "SMS Spam Collection"),
    "image-rows": accuracies("images by rows", "MNIST, 20,000"),
    "image-patches": accuracies("images by patches", "MNIST, 20,000"),
    "image-pixels": accuracies("images by pixels", "MNIST, 20,000"),
    "video-class": accuracies("class of a clip", "moving MNIST digits"),
    "video-frames": accuracies("class of every frame", "moving MNIST digits", "frames"),
    "spoken-digits": accuracies("spoken digits", "FSDD, official split"),
    "spoken-digits-by-speaker": accuracies("spoken digits", "FSDD, each speaker left out"),
    "pos-tags": accuracies("parts of speech", "UD English EWT", "words"),
    "chunks": accuracies("chunks", "CoNLL 2000", "words"),
    "scene": scene,
    "translation": translation,
    "caption": captions,
    "dialogue": dialogue,
    "next-word": next_word,
    "forecast": forecasts,
    "ptb-small": word_models,
    "ptb-scrn": word_models,
    "long-memory": memory,
    "grimm": stories,
}


def page() -> str:
    """The page, as Markdown."""
    lines = [
        "# What the jobs reach",
        "",
        "Written by `python benchmarks/summary.py` from the result files beside it, each of which has its command, "
        "options and seeds. Figures are of test parts that chose nothing, unless a page says otherwise; of several "
        "runs the mean.",
        "",
        "| job | data | measure | wanted | reached | | runs | page |",
        "| --- | --- | --- | ---: | ---: | --- | ---: | --- |",
    ]
    for name, rows in JOBS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            for row in rows(json.loads(path.read_text("utf-8"))):
                verdict = {True: "yes", False: "**no**", None: ""}[row.good]
                cells = (*row[:3], row.wanted, row.reached, verdict, str(row.runs), f"[{name}]({name}.md)")
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    RESULTS.joinpath("README.md").write_text(page())
    print(page())
