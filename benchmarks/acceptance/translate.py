"""How well the recipe ``translation`` turns English into German on Multi30k (task 1, test 2016), in BLEU.

    python benchmarks/acceptance/translate.py FOLDER --threads 1

FOLDER holds {train,val,test2016}.{en,de}.gz, a sentence a line (Elliott et al. 2016). Training sees the training part,
the development part chooses the weights, the test part is read once, at the end. BLEU is sacrebleu's, of the text as it
is: in upper and lower case, with its punctuation. Needs sacrebleu. Results go to docs/results/translation.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

from elman import Seq2Seq
from elman.data.pairs import Pairs, aligned_pairs
from elman.tasks.recipes import read_recipe
from elman.training.metrics import read_metrics

RESULTS = Path(__file__).parents[2] / "docs" / "results"
WANTED = 33.0
SHOWN = ("perplexity", "exact", "bleu", "bleu_signature", "written")


def part(folder: Path, name: str) -> Pairs:
    """The sentences of one part."""
    return aligned_pairs(folder / f"{name}.en.gz", folder / f"{name}.de.gz")


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    test = result["test"]
    lines = [
        "# translation",
        "",
        f"Multi30k, English to German. `{result['command']}`: **{test['bleu']:.2f} BLEU** on test 2016 with a beam of "
        f"{result['beam']}; wanted {WANTED:.0f}.",
        "",
        f"- signature: `{test['bleu_signature']}`; greedy: {result['greedy']['bleu']:.2f}",
        f"- validation: {result['valid']['bleu']:.2f} BLEU, perplexity {result['valid']['perplexity']:.3f} a piece",
        f"- {result['minutes']:.1f} minutes of training ({result['cpu_minutes']:.1f} of the processor), "
        f"{result['epochs']:.1f} epochs, best at step {result['best_step']:,} of {result['steps']:,}; "
        f"{result['weights']:,} weights",
        f"- options: `{json.dumps(result['options'])}`; seed {result['seed']}; {result['machine']}",
        "",
        "| step | epoch | validation perplexity | minutes |",
        "| ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['step']} | {r['epoch']:.2f} | {r['valid_perplexity']:.3f} | {r['seconds'] / 60:.1f} |"
        for r in result["curve"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", type=Path, default=None, help="a run folder to keep; it may hold a run to go on with")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    options = read_recipe("translation", "seq2seq")
    if given.minutes is not None:
        options["minutes"] = given.minutes
    train, valid = part(given.folder, "train"), part(given.folder, "val")
    model = Seq2Seq(**{**options, "seed": given.seed, "threads": given.threads})
    cpu, run = time.process_time(), given.run or Path("runs") / "acceptance-translation"
    resume = (run / "checkpoints").exists()
    held = (valid.sources, valid.targets)
    model.fit(train.sources, train.targets, valid=held, run=run, resume=resume, quiet=False)
    cpu = time.process_time() - cpu
    trained = model.result
    judged = model.evaluate()
    print(f"validation\n{model.show(judged, None)}\n", flush=True)
    test = part(given.folder, "test2016")
    found = model.evaluate(test.sources, test.targets)
    print(f"test 2016\n{model.show(found, None)}\n", flush=True)
    greedy = model.set_search(beam=1).evaluate(test.sources, test.targets)
    result = {
        "name": "translation",
        "command": f"python benchmarks/acceptance/translate.py FOLDER --threads {given.threads} --seed {given.seed}"
        + (f" --minutes {given.minutes:g}" if given.minutes is not None else ""),
        "wanted": WANTED,
        # Without sentences: the texts are not ours to copy.
        "test": {name: each for name, each in found.items() if name != "shown"},
        "greedy": {name: greedy[name] for name in SHOWN},
        "valid": {name: judged[name] for name in SHOWN},
        "beam": found["beam"],
        "minutes": trained.seconds / 60,
        "cpu_minutes": cpu / 60,
        "epochs": trained.epochs,
        "steps": trained.steps,
        "best_step": trained.best_step,
        "stopped_by": trained.stopped_by,
        "weights": sum(parameter.numel() for parameter in model.net.parameters()),
        "curve": read_metrics(run / "metrics.jsonl"),
        "options": options,
        "seed": given.seed,
        "machine": f"{given.threads} threads, PyTorch {torch.__version__}, Python {platform.python_version()}",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "translation.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "translation.md").write_text(markdown(result))
    print(f"translation: {found['bleu']:.2f} BLEU, wanted {WANTED:.0f}")


if __name__ == "__main__":
    main()
