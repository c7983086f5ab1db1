"""How good the recipe for captions is on Flickr8k.

    python benchmarks/acceptance/caption.py FOLDER --seeds 0

FOLDER holds flickr8k/features-effnetlite0-pca256.npz (features (8000, 256) of the pictures, their names, and split,
0 to 2 for the official parts of 6,000, 1,000 and 1,000) and flickr8k/captions.tsv.gz (picture<TAB>caption, five each;
Hodosh et al. 2013). Captions are in lower case and without punctuation, as in the literature. Training sees the
training part, the validation part chooses the weights, the test part is read once, at the end. Results go to
docs/results/caption.json and .md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elman import Captioner
from elman.tasks.recipes import read_recipe
from elman.tasks.writing.bleu import bleu

RESULTS = Path(__file__).parents[2] / "docs" / "results"
WANTED = 18.0
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
PARTS = ("train", "valid", "test")


def plain(caption: str) -> str:
    """A caption in lower case without punctuation.

    >>> plain("A tri-colored dog 's ball .")
    'a tri-colored dog s ball'
    """
    return " ".join(WORD.findall(caption.lower()))


def read(folder: Path) -> dict[str, tuple[np.ndarray, list[list[str]], list[str]]]:
    """Features, captions and names of every part."""
    with np.load(folder / "features-effnetlite0-pca256.npz") as file:
        features, names, split = file["features"].astype(np.float32), file["names"].tolist(), file["split"]
    captions = defaultdict(list)
    for line in gzip.decompress((folder / "captions.tsv.gz").read_bytes()).decode().splitlines():
        name, caption = line.split("\t")
        captions[name].append(plain(caption))
    rows = {part: np.flatnonzero(split == k) for k, part in enumerate(PARTS)}
    return {
        part: (features[each], [captions[names[row]] for row in each], [names[row] for row in each])
        for part, each in rows.items()
    }


def shares(answers: list[str], references: list[list[str]]) -> list[float]:
    """BLEU-1 to BLEU-4 as the literature on captions has them: geometric means of the first n precisions.

    Counted by sacrebleu on words between blanks, all references together.
    """
    from sacrebleu.metrics import BLEU

    streams = [[each[k] for each in references] for k in range(5)]
    return [float(BLEU(max_ngram_order=n, tokenize="none").corpus_score(answers, streams).score) for n in range(1, 5)]


def one_seed(parts: dict[str, Any], seed: int, options: dict[str, Any], test: str) -> dict[str, Any]:
    """Trains once and reads the test part."""
    model = Captioner(**{**read_recipe("captions", "caption"), **options, "seed": seed})
    started = time.monotonic()
    model.fit(*parts["train"][:2], valid=parts["valid"][:2], quiet=False)
    minutes = (time.monotonic() - started) / 60
    valid = model.evaluate(*parts["valid"][:2])
    print(f"seed {seed}: validation\n{model.show(valid, None)}\n", flush=True)
    pictures, references, names = parts[test]
    found = model.evaluate(pictures, references)
    answers = model.predict(pictures)
    greedy = model.set_search(beam=1).predict(pictures)
    print(f"seed {seed}: {test}\n{model.show(found, None)}\n", flush=True)
    chosen = np.linspace(0, len(names) - 1, 8).round().astype(int)
    return {
        "seed": seed,
        "perplexity": found["perplexity"],
        "bleu_1_to_4": [round(each, 2) for each in shares(answers, references)],
        "greedy_bleu_4": bleu(greedy, references)[0],
        "bleu": found["bleu"],
        "signature": found["bleu_signature"],
        "exact": found["exact"],
        "distinct": found["distinct"],
        "words_an_answer": float(np.mean([len(answer.split()) for answer in answers])),
        "shown": [{"picture": names[i], "answer": answers[i]} for i in chosen],
        "valid_bleu_4": valid["bleu"],
        "valid_perplexity": model.result.best_metrics["perplexity"],
        "best_step": model.result.best_step,
        "epochs": round(model.result.epochs, 2),
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "minutes": round(minutes, 2),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    runs = result["runs"]
    lines = [
        "# captions",
        "",
        "Flickr8k, official split (6,000, 1,000 and 1,000 pictures, five captions each), from one vector of 256",
        "features a picture (EfficientNet-Lite0, pooled, principal components). Lower case, no punctuation, words",
        "between blanks; BLEU by sacrebleu with all five references.",
        "",
        f"`{result['command']}`: mean test BLEU-4 **{result['mean_bleu']:.2f}** over {len(runs)} seed(s), beam "
        f"{result['options']['beam']}; wanted {result['wanted']:.0f}.",
        "",
        "| seed | BLEU-1 | 2 | 3 | BLEU-4 | greedy | validation | perplexity | distinct | words | epochs | minutes |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in runs:
        lines.append(
            f"| {run['seed']} | {' | '.join(f'{each:.2f}' for each in run['bleu_1_to_4'])} | "
            f"{run['greedy_bleu_4']:.2f} | {run['valid_bleu_4']:.2f} | {run['perplexity']:.2f} | "
            f"{run['distinct']:.3f} | {run['words_an_answer']:.1f} | {run['epochs']} | {run['minutes']:.1f} |"
        )
    lines += ["", "| test picture | written |", "| --- | --- |"]
    lines += [f"| {each['picture']} | {each['answer']} |" for each in runs[0]["shown"]]
    lines += ["", f"{runs[0]['weights']:,} weights. Options: `{json.dumps(result['options'])}`; {result['machine']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tune", nargs="*", metavar="NAME=VALUE", help="other options, judged on the validation part")
    given = parser.parse_args()
    parts = read(given.folder / "flickr8k")
    options: dict[str, Any] = {"threads": given.threads}
    if given.tune is not None:
        options |= {name: json.loads(value) for name, value in (each.split("=", 1) for each in given.tune)}
        print(json.dumps(one_seed(parts, given.seeds[0], options, "valid"), indent=1))
        return
    runs = [one_seed(parts, seed, options, "test") for seed in given.seeds]
    result = {
        "name": "caption",
        "command": f"python benchmarks/acceptance/caption.py FOLDER --seeds {' '.join(map(str, given.seeds))}",
        "wanted": WANTED,
        "mean_bleu": float(np.mean([run["bleu_1_to_4"][3] for run in runs])),
        "options": read_recipe("captions", "caption"),
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
        "runs": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "caption.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "caption.md").write_text(markdown(result))
    print(f"caption: BLEU-4 {result['mean_bleu']:.2f}, wanted {WANTED:.0f}")


if __name__ == "__main__":
    main()
