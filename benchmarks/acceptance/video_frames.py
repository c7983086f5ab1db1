"""How well the recipe video-frames labels every frame of clips of moving digits.

    python benchmarks/acceptance/video_frames.py FOLDER --seeds 0

FOLDER holds mnist/{train-20k,t10k}-{images-idx3,labels-idx1}-ubyte.gz. In every clip the digit becomes another once,
and a bar hides a part of it in every frame, so that one frame alone is often not enough: the same recipe is also
trained on the frames as clips of one, to show how far that gets. Clips for training, for the choice of the weights and
for the test come from different images; the test part is read once, at the end. Results go to
docs/results/video-frames.json and .md.
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
from classify import RESULTS, moving_parts

from elman import Tagger
from elman.tasks.recipes import read_recipe

WANTED = 0.95
ALONE = {"batch_size": 512, "epochs": 4}  # as many frames a step as with clips of 16, and enough to stop getting better


def trained(parts: list[tuple[Any, Any]], options: dict[str, Any]) -> dict[str, Any]:
    """Trains once and reads the test part."""
    train, valid, test = parts
    model = Tagger(**{**read_recipe("video-frames", "tag"), **options})
    started = time.monotonic()
    model.fit(*train, valid=valid, quiet=False)
    minutes = (time.monotonic() - started) / 60
    found = model.evaluate(*test)
    print(f"test\n{model.show(found, None)}\n", flush=True)
    return {
        "seed": model.settings_.training.seed,
        "test": found,
        "valid_accuracy": model.result.best_metrics["accuracy"],
        "best_step": model.result.best_step,
        "steps": model.result.steps,
        "minutes": round(minutes, 2),
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
    }


def one_by_one(part: tuple[Any, Any]) -> tuple[Any, Any]:
    """Clips (n, T, H, W) as n T clips of one frame."""
    frames, labels = part
    return frames.reshape(-1, 1, *frames.shape[2:]), labels.reshape(-1, 1)


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    lines = [
        "# video-frames",
        "",
        "Clips of 16 frames of 32 x 32 in which a digit of MNIST bounces, under noise and with a bar over three tenths "
        "of it in every frame, and becomes another digit once; which digit is there in each frame. 10,000 clips from "
        "18,000 training images, 1,000 from the 2,000 others, which choose the weights, 2,000 from the test images.",
        "",
        f"`{result['command']}`: mean test accuracy **{result['mean_accuracy']:.2%}** a frame; wanted "
        f"{result['wanted']:.1%}.",
        "",
        "| read | seed | test accuracy a frame | clips all right | validation accuracy | best at step | minutes |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in result["runs"]:
        test = run["test"]
        lines.append(
            f"| {run['read']} | {run['seed']} | {test['accuracy']:.2%} | {test['whole']:.2%} | "
            f"{run['valid_accuracy']:.2%} | {run['best_step']} | {run['minutes']:.1f} |"
        )
    lines += ["", f"Options: `{json.dumps(result['options'])}`; {result['machine']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    parts = moving_parts(given.folder, changing=True)
    alone = [one_by_one(part) for part in parts]
    runs = []
    for seed in given.seeds:
        options = {"seed": seed, "threads": given.threads}
        runs.append({"read": "clips", **trained(parts, options)})
        runs.append({"read": "frames alone", **trained(alone, options | ALONE)})
    result = {
        "name": "video-frames",
        "command": f"python benchmarks/acceptance/video_frames.py FOLDER --seeds {' '.join(map(str, given.seeds))}",
        "wanted": WANTED,
        "mean_accuracy": float(np.mean([run["test"]["accuracy"] for run in runs if run["read"] == "clips"])),
        "options": read_recipe("video-frames", "tag"),
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
        "runs": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "video-frames.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "video-frames.md").write_text(markdown(result))
    print(f"video-frames: {result['mean_accuracy']:.2%}, wanted {WANTED:.1%}")


if __name__ == "__main__":
    main()
