"""Runs PyTorch's own tests of the recurrent modules with Elman's drop-ins in the place of ``torch.nn``'s.

    python benchmarks/peers/pytorch_tests.py CHECKOUT [-k EXPRESSION]

CHECKOUT is a PyTorch source tree, of the installed version at best; only its ``test`` folder is read. PyTorch's tests
need the package ``expecttest``. Every test that names one of the six classes runs with ours; those that fail run once
more with PyTorch's. The exit status is 1 if a test fails with ours alone and no row of the table in
``docs/drop-ins.md`` gives the reason.
"""

from __future__ import annotations

import argparse
import fnmatch
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REASONS = ROOT / "docs" / "drop-ins.md"
CLASSES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
# TorchScript's and torch.fx's tests are left out: docs/drop-ins.md says why neither takes these classes.
FILES = (
    "test_nn.py",
    "test_modules.py",
    "nn/test_*.py",
    "test_autocast.py",
    "test_autograd.py",
    "test_expanded_weights.py",
    "test_fake_tensor.py",
    "test_mkldnn.py",
    "test_overrides.py",
)
IN_SOURCE = re.compile(r"\bnn\.(modules\.)?(RNN|LSTM|GRU)(Cell)?\b|['\"](RNN|LSTM|GRU)(Cell)?['\"]")
IN_NAME = re.compile(r"(?<![A-Za-z])(RNN|LSTM|GRU)(Cell)?(?![a-z])")


class Watcher:
    """A pytest plugin: keeps the tests that name a class, and writes down how each ended."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.built: set[str] = set()
        self.now = ""

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        kept = [item for item in items if _is_of_ours(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.now = nodeid.partition("::")[2]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        text = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr or "")
        errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")] or text.splitlines()[-1:]
        self.found[self.now] = {"outcome": report.outcome, "why": (errors or [""])[0][:200]}


def _is_of_ours(item: Any) -> bool:
    """Whether a test names one of the classes; those that run for every module have it in their own name only."""
    if "_nn_" in item.name or IN_NAME.search(item.name):
        return bool(IN_NAME.search(item.name))
    try:
        return bool(IN_SOURCE.search(inspect.getsource(inspect.unwrap(item.function))))
    except (OSError, TypeError):  # made by a program: there is no source
        return False


def substitute(watcher: Watcher) -> None:
    """Puts our six classes wherever ``torch.nn`` has its own, and notes which tests build one."""
    import torch

    import elman.nn as ours

    for name in CLASSES:
        cls = getattr(ours, name)

        def noted(self: Any, *args: Any, _init: Any = cls.__init__, **kwargs: Any) -> None:
            watcher.built.add(watcher.now)
            _init(self, *args, **kwargs)

        # The tests read the signature of the class they are given.
        noted.__signature__ = inspect.signature(cls.__init__)  # type: ignore[attr-defined]
        cls.__init__ = noted
        for place in (torch.nn, torch.nn.modules, torch.nn.modules.rnn):
            setattr(place, name, cls)


def work(file: Path, expression: str, results: Path, only: list[str] | None) -> None:
    """Runs one file in this process, with ours or the tests ``only`` as they are, and writes its results."""
    import pytest

    watcher = Watcher()
    if only is None:
        substitute(watcher)
    arguments = ["-q", "--noconftest", "-c", os.devnull, "--rootdir", str(file.parent)]
    arguments += ["-p", "no:cacheprovider", "--tb=short", "-W", "ignore", *(["-k", expression] if expression else [])]
    tests = [str(file)] if only is None else [f"{file}::{test}" for test in only]
    pytest.main([*arguments, *tests], plugins=[watcher])
    for test, each in watcher.found.items():
        each["built"] = test in watcher.built
    results.write_text(json.dumps(watcher.found), encoding="utf-8")


def run(file: Path, expression: str, folder: Path, only: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """How each test of a file ended, run in a process of its own."""
    results = folder / "results.json"
    results.unlink(missing_ok=True)
    command = [sys.executable, __file__, str(file), "-k", expression, "--worker", str(results)]
    if only is not None:
        command += ["--plain", *only]
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    surroundings = {"PYTHONPATH": os.pathsep.join(paths), "PYTORCH_TESTING_DEVICE_ONLY_FOR": "cpu"}
    # Older trees load whole modules with torch.load, which newer versions refuse unless told.
    surroundings["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    done = subprocess.run(
        command,
        env=os.environ | surroundings,
        cwd=file.parent,
        capture_output=True,
        text=True,
    )
    if not results.exists():
        raise SystemExit(f"{file}: the run itself failed\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    if "error" in done.stdout.splitlines()[-1]:
        print(f"{file.name}: not run with {'ours' if only is None else 'torch.nn'}: {_import_error(done.stdout)}")
    return json.loads(results.read_text(encoding="utf-8"))


def _import_error(output: str) -> str:
    errors = [line[1:].strip() for line in output.splitlines() if line.startswith("E ")]
    return errors[-1] if errors else output.splitlines()[-1]


def reasons() -> list[tuple[str, str]]:
    """The rows "| `pattern` | reason |" of the document's table of failures."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", REASONS.read_text(encoding="utf-8"), re.MULTILINE)
    return [(pattern, reason.strip()) for pattern, reason in rows]


def report(ours: dict[str, Any], theirs: dict[str, Any]) -> int:
    """Prints the counts and every failure; returns how many are unexplained."""
    known = reasons()
    count: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    lines = []
    for test, each in ours.items():
        if each["outcome"] == "skipped":
            count["not applicable"] += 1
            skipped[each["why"].removeprefix("Skipped: ")] += 1
        elif each["outcome"] == "passed":
            count["passed" if each["built"] else "not applicable"] += 1
            skipped["builds none of the six classes"] += not each["built"]
        elif theirs.get(test, {}).get("outcome") == "failed":
            count["failed with torch.nn too"] += 1
            lines.append(f"  with torch.nn too  {test}: {theirs[test]['why']}")
        else:
            reason = next((why for pattern, why in known if fnmatch.fnmatchcase(test, pattern)), "")
            count["failed, explained" if reason else "failed, UNEXPLAINED"] += 1
            lines.append(f"  {'explained' if reason else 'UNEXPLAINED'}  {test}: {reason or each['why']}")
    print("\n".join(sorted(lines)))
    print("not applicable:")
    for why, number in skipped.most_common():
        if number:
            print(f"  {number:4}  {why}")
    names = "passed", "failed with torch.nn too", "failed, explained", "failed, UNEXPLAINED", "not applicable"
    print(", ".join(f"{count[name]} {name}" for name in names))
    return count["failed, UNEXPLAINED"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("checkout", type=Path, help="a PyTorch source tree")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="only tests that match, as pytest's -k")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plain", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.checkout, options.k, options.worker, options.plain)
        return
    tests = options.checkout.resolve() / "test"
    files = [file for pattern in FILES for file in sorted(tests.glob(pattern))]
    files = [file for file in files if IN_SOURCE.search(file.read_text(encoding="utf-8")) or file.name == FILES[1]]
    if not files:
        raise SystemExit(f"{tests} has none of {', '.join(FILES)}; name a PyTorch source tree")
    import torch

    version = options.checkout / "version.txt"
    print(f"tests of PyTorch {version.read_text().strip() if version.exists() else '?'}, torch {torch.__version__}")
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            name = str(file.relative_to(tests))
            found = run(file, options.k, Path(folder))
            ours.update({f"{name}::{test}": each for test, each in found.items()})
            print(f"{name}: {len(found)} tests", flush=True)
            failed = [test for test, each in found.items() if each["outcome"] == "failed"]
            if failed:
                plain = run(file, "", Path(folder), failed)
                theirs.update({f"{name}::{test}": each for test, each in plain.items()})
    if not any(each["outcome"] == "passed" and each["built"] for each in ours.values()):
        raise SystemExit("no test that builds one of the six classes has passed; is the checkout of this version?")
    sys.exit(1 if report(ours, theirs) else 0)


if __name__ == "__main__":
    main()
