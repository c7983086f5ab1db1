"""What bfloat16 products cost: the demo's language model trained on the tales with and without, several seeds each.

Writes ``docs/results/bf16-tales.json`` and ``.md``: validation perplexity of the best checkpoint of each run, and the
ratio of the means. Where the processor has no bfloat16 products they are emulated: the same numbers, only slower.

    python benchmarks/bf16_tales.py --steps 1200 --seeds 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import elman
from elman.tasks.recipes import read_recipe

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def train_once(precision: str, seed: int, steps: int, folder: Path) -> dict[str, Any]:
    options = read_recipe("demo") | {"minutes": None, "steps": steps, "precision": precision, "seed": seed}
    begin = time.perf_counter()
    model = elman.LanguageModel(**options).fit(run=folder / f"{precision}-{seed}", quiet=True)
    seconds = time.perf_counter() - begin
    return {"precision": precision, "seed": seed, "perplexity": model.evaluate()["perplexity"], "seconds": seconds}


def markdown(runs: list[dict[str, Any]], steps: int) -> str:
    lines = [
        "# bfloat16 products in training",
        "",
        f"Written by `benchmarks/bf16_tales.py` together with `bf16-tales.json`: the recipe `demo`, {steps:,} steps.",
        "",
        "| products | validation perplexity, a run a seed | mean |",
        "| --- | --- | ---: |",
    ]
    means = {}
    for precision in ("full", "bf16"):
        found = [run["perplexity"] for run in runs if run["precision"] == precision]
        means[precision] = mean(found)
        lines.append(f"| {precision} | {', '.join(f'{each:.4f}' for each in found)} | {means[precision]:.4f} |")
    lines += ["", f"Ratio of the means, bf16 to full: {means['bf16'] / means['full']:.4f}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1200, help="updates a run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each precision")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the table goes")
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for precision in ("full", "bf16"):
                runs.append(train_once(precision, seed, arguments.steps, Path(folder)))
                print(runs[-1], flush=True)
    table = {"recipe": "demo", "steps": arguments.steps, "runs": runs}
    (arguments.out / "bf16-tales.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "bf16-tales.md").write_text(markdown(runs, arguments.steps), encoding="utf-8")


if __name__ == "__main__":
    main()
