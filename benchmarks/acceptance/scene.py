"""How good the recipe for scene labelling is on street scenes.

    python benchmarks/acceptance/scene.py FOLDER --seeds 0

FOLDER holds camvid-small/camvid-40x30.npz: CamVid (Brostow et al. 2009) reduced to 40 x 30 pixels, with x_PART
(n, 30, 40, 3) and y_PART (n, 30, 40) for the official parts train, val and test (367, 101 and 233 pictures) and label
11 for pixels that stand for no class. Training sees the training part, the validation part chooses the
weights, the test part is read once, at the end. Results go to docs/results/scene.json and .md.
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

from elman import SceneLabeller
from elman.tasks.recipes import read_recipe

RESULTS = Path(__file__).parents[2] / "docs" / "results"
NAMES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist")
VOID = 11
WANTED = 0.10  # above the majority class


def one_seed(parts: dict[str, tuple[np.ndarray, np.ndarray]], seed: int, threads: int) -> dict[str, Any]:
    """Trains once and reads the test part."""
    options = {**read_recipe("scene", "scene"), "seed": seed, "threads": threads, "ignore": VOID, "class_names": NAMES}
    model = SceneLabeller(**options)
    started = time.monotonic()
    model.fit(*parts["train"], valid=parts["val"], quiet=False)
    minutes = (time.monotonic() - started) / 60
    valid, test = model.evaluate(*parts["val"]), model.evaluate(*parts["test"])
    print(f"seed {seed}: test\n{model.show(test, None)}\n", flush=True)
    return {
        "seed": seed,
        "test": test,
        "valid": {name: valid[name] for name in ("accuracy", "class_accuracy", "iou", "loss", "majority")},
        "best_step": model.result.best_step,
        "steps": model.result.steps,
        "epochs": round(model.result.epochs, 1),
        "stopped_by": model.result.stopped_by,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "minutes": round(minutes, 2),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    runs = result["runs"]
    first = runs[0]["test"]
    lines = [
        "# scene labelling",
        "",
        "CamVid reduced to 40 x 30 pixels, official split (367, 101 and 233 pictures), eleven classes; unlabelled",
        "pixels are neither learned from nor counted. The pictures are far coarser than those of published figures,",
        "with which these cannot be compared.",
        "",
        f"`{result['command']}`: mean test accuracy a pixel **{result['mean_accuracy']:.2%}**, mean IoU "
        f"**{result['mean_iou']:.2%}** over {len(runs)} seed(s); always the commonest class of the training part: "
        f"{first['majority']:.2%}; wanted {WANTED:.0%} above that.",
        "",
        "| seed | pixels right | classes' mean | mean IoU | validation: pixels, IoU | best step | epochs | minutes |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in runs:
        test, valid = run["test"], run["valid"]
        lines.append(
            f"| {run['seed']} | {test['accuracy']:.2%} | {test['class_accuracy']:.2%} | {test['iou']:.2%} | "
            f"{valid['accuracy']:.2%}, {valid['iou']:.2%} | {run['best_step']} | {run['epochs']} | "
            f"{run['minutes']:.1f} |"
        )
    lines += ["", f"Each class, seed {runs[0]['seed']}:", "", "| class | pixels | recall | IoU |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    counts = np.array(first["confusion"]).sum(1)
    each = first["per_label"]
    for label, count, recall, iou in zip(first["labels"], counts, each["recall"], each["iou"], strict=True):
        lines.append(f"| {NAMES[label]} | {count:,} | {recall:.2%} | {iou:.2%} |")
    lines += ["", f"{runs[0]['weights']:,} weights. Options: `{json.dumps(result['options'])}`; {result['machine']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    with np.load(given.folder / "camvid-small" / "camvid-40x30.npz") as file:
        parts = {part: (file[f"x_{part}"], file[f"y_{part}"]) for part in ("train", "val", "test")}
    RESULTS.mkdir(parents=True, exist_ok=True)
    runs = [one_seed(parts, seed, given.threads) for seed in given.seeds]
    result = {
        "name": "scene",
        "command": f"python benchmarks/acceptance/scene.py FOLDER --seeds {' '.join(map(str, given.seeds))}",
        "wanted_above_majority": WANTED,
        "mean_accuracy": float(np.mean([run["test"]["accuracy"] for run in runs])),
        "mean_iou": float(np.mean([run["test"]["iou"] for run in runs])),
        "options": read_recipe("scene", "scene"),
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
        "runs": runs,
    }
    (RESULTS / "scene.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "scene.md").write_text(markdown(result))
    above = result["mean_accuracy"] - runs[0]["test"]["majority"]
    print(
        f"scene: {result['mean_accuracy']:.2%} of the pixels, {above:.1%} above the majority class, wanted {WANTED:.0%}"
    )


if __name__ == "__main__":
    main()
