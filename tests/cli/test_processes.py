"""Commands as processes of their own: signals, kills, pipes, and several of them under ``torchrun``."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman import LanguageModel
from elman.training import RunFolder, read_metrics

SMALL = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "2", "--unroll", "10", "--threads", "1"]


def command(*words: object) -> tuple[list[str], dict[str, Any]]:
    """A command line, and how to start it: with this package, one thread, and its output as text."""
    ours = {"PYTHONPATH": str(Path(elman.__file__).parents[1]), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    options = {"env": os.environ | ours, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return [sys.executable, "-m", "elman", *map(str, words)], options


def finished(*words: object) -> subprocess.CompletedProcess[str]:
    arguments, options = command(*words)
    return subprocess.run(arguments, **options, timeout=120)


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the run has a checkpoint of ``step`` or a later one."""
    while max(RunFolder(run).steps(), default=-1) < step:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return LanguageModel.load(run, "last").net.state_dict()


def assert_equal(ours: Path, theirs: Path) -> None:
    one, other = weights(ours), weights(theirs)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_saves_and_says_the_command_to_go_on(call: Any, number: signal.Signals) -> None:
    words, options = command("train", "lm", "--data", "text.txt", "--steps", 1_000_000, "--evaluate-every", 5, *SMALL)
    process = subprocess.Popen(words, **options)
    wait_for_step(Path("runs/lm-lstm-1"), 5, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not err
    last = RunFolder("runs/lm-lstm-1").steps()[-1]
    assert f"interrupted after {last} steps" in out
    assert out.endswith("go on     elman train lm --resume runs/lm-lstm-1\n")
    resumed = call("train", "lm", "--resume", "runs/lm-lstm-1", "--steps", last + 3)
    assert resumed.code == 0 and f"stopped after {last + 3} steps" in resumed.out


def killed(run: Path, steps: int, kills: int, seed: int) -> list[object]:
    """Trains in ``run``, killed by SIGKILL at ``kills`` random moments; returns the command to go on after the last."""
    draw = random.Random(seed)
    words: list[object] = training(run, steps)
    for kill in range(kills):
        arguments, options = command(*words)
        process = subprocess.Popen(arguments, **options)
        wait_for_step(run, max(RunFolder(run).steps(), default=0) + 1, process)
        time.sleep(draw.uniform(0, 0.15))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"over before kill {kill + 1}: train longer"
        words = ["train", "lm", "--resume", run]
    return words


def training(run: Path, steps: int) -> list[object]:
    words = ["--cell", "lstm", "--dropout", "0.2", "--initial-state", "0.1", "--backprop", "20", "--schedule", "cosine"]
    often = ["--steps", steps, "--evaluate-every", 20, "--checkpoint-every", 10]
    return ["train", "lm", "--data", "text.txt", "--run", run, *words, *often, *SMALL]


def assert_same_run(whole: Path, broken: Path) -> None:
    assert_equal(whole, broken)
    timeless = [
        [
            {k: v for k, v in record.items() if k not in ("seconds", "tokens_per_second")}
            for record in read_metrics(path)
        ]
        for path in (whole / "metrics.jsonl", broken / "metrics.jsonl")
    ]
    assert timeless[0] == timeless[1]


def test_a_run_killed_once_and_resumed_has_the_same_weights(call: Any) -> None:
    whole, broken = Path("whole"), Path("broken")
    assert call(*training(whole, 90)).code == 0
    resumed = call(*killed(broken, 90, kills=1, seed=1))
    assert resumed.code == 0, resumed.err
    assert_same_run(whole, broken)


@pytest.mark.slow
def test_a_run_killed_ten_times_and_resumed_has_the_same_weights() -> None:
    whole, broken = Path("whole"), Path("broken")
    assert finished(*training(whole, 700)).returncode == 0
    done = finished(*killed(broken, 700, kills=10, seed=10))
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, broken)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["zeros", "trained"])
def test_two_processes_equal_one(start: str) -> None:
    words = ["train", "lm", "--data", "text.txt", "--dtype", "float64", "--steps", "20", "--evaluate-every", "10"]
    words += ["--initial-state", start, *SMALL, "--batch-size", "4"]
    alone = finished(*words, "--run", "alone")
    assert alone.returncode == 0, alone.stderr
    arguments, options = command(*words)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments[1:]]
    both = subprocess.run(torchrun, **options, timeout=180)
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("go on  ") == 1, "one process talks"
    assert [path.name for path in Path("runs").iterdir()] == ["lm-lstm-1"], "all share one folder"
    ours, theirs = weights(Path("alone")), weights(Path("runs/lm-lstm-1"))
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).norm() <= 1e-9 * tensor.norm(), name
    one, other = (read_metrics(path / "metrics.jsonl")[-1] for path in (Path("alone"), Path("runs/lm-lstm-1")))
    assert one["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-9)
    assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-9)


def test_text_from_standard_input(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("text.txt", encoding="utf-8") as text:
        monkeypatch.setattr("sys.stdin", text)
        said = call("train", "lm", "--data", "-", "--steps", 2, *SMALL)
    assert said.code == 0, said.err
    assert set(LanguageModel.load("runs/lm-lstm-1").tokenizer_.types) == set(Path("text.txt").read_text())


def test_output_into_a_closed_pipe(run: Path) -> None:
    arguments, options = command("generate", run, "--length", 50)
    with subprocess.Popen(arguments, **options) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_mistake_as_a_process() -> None:
    done = finished("train", "lm", "--data", "nothing.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("elman: no such file or folder: 'nothing.txt'; ")
    assert done.stderr.count("\n") == 1
