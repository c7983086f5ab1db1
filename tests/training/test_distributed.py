from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_training import SCRIPT, environment, toy_run, wait_for_checkpoint

from elman.errors import UserError
from elman.training import RunFolder, TrainSettings, Workers, read_checkpoint, read_metrics

SETTINGS = {"steps": 20, "evaluate_every": 8, "learning_rate": 0.02, "clip": 0.1}


def torchrun(folder: Path, *pairs: str) -> subprocess.Popen[str]:
    options = [f"{key}={value}" for key, value in SETTINGS.items()]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*launch, str(SCRIPT), str(folder), "dtype=float64", *options, *pairs],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def double() -> object:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def close(one: Path, two: Path) -> None:
    a, b = (read_checkpoint(RunFolder(folder).checkpoint("last")) for folder in (one, two))
    assert a.model.keys() == b.model.keys()
    for name in a.model:
        torch.testing.assert_close(a.model[name], b.model[name], rtol=1e-9, atol=1e-12)
    state = "carried.carry.state.0"
    torch.testing.assert_close(a.train[state], b.train[state], rtol=1e-9, atol=1e-12)
    assert torch.equal(a.train["carried.carry.history.x"], b.train["carried.carry.history.x"])
    for mine, other in zip(*(read_metrics(folder / "metrics.jsonl") for folder in (one, two)), strict=True):
        assert mine["train_loss"] == pytest.approx(other["train_loss"], rel=1e-9)
        assert mine["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-9)
        assert mine["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-9)


@pytest.mark.usefixtures("double")
def test_two_processes_equal_one_and_either_resumes_the_other(tmp_path: Path) -> None:
    toy_run(tmp_path / "one", TrainSettings(**SETTINGS), drop=0.0)
    finish(torchrun(tmp_path / "two", "drop=0.0"))
    close(tmp_path / "one", tmp_path / "two")
    assert read_checkpoint(RunFolder(tmp_path / "two").checkpoint("last")).train["random.cpu"].shape[0] == 2

    longer = TrainSettings(**{**SETTINGS, "steps": 30})
    for folder in ("one", "two"):
        toy_run(tmp_path / folder, longer, drop=0.0, resume=True)
    close(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit_after_ctrl_c(tmp_path: Path) -> None:
    finish(torchrun(tmp_path / "one", "checkpoint_every=2"))
    process = torchrun(tmp_path / "two", "checkpoint_every=2", "pause=0.1")
    wait_for_checkpoint(tmp_path / "two", 4, process)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    steps = read_checkpoint(RunFolder(tmp_path / "two").checkpoint("last")).facts["step"]
    assert 4 <= steps < 20
    finish(torchrun(tmp_path / "two", "checkpoint_every=2", "resume=True"))
    one, two = (read_checkpoint(RunFolder(tmp_path / name).checkpoint("last")) for name in ("one", "two"))
    for mine, other in ((one.model, two.model), (one.train, two.train)):
        assert all(torch.equal(mine[name], other[name]) for name in mine | other)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_two_processes_take_over_from_one(tmp_path: Path) -> None:
    settings = TrainSettings(**{**SETTINGS, "steps": 8})
    toy_run(tmp_path / "one", TrainSettings(**SETTINGS), drop=0.0)
    toy_run(tmp_path / "two", settings, drop=0.0)
    finish(torchrun(tmp_path / "two", "drop=0.0", "resume=True"))
    close(tmp_path / "one", tmp_path / "two")


def test_rows_are_shared_equally_or_refused() -> None:
    rows = torch.arange(6).reshape(1, 6)
    parts = [Workers(rank=rank, world=3).share(rows, 1) for rank in range(3)]
    assert [part.tolist() for part in parts] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    with pytest.raises(UserError, match="a batch of 6 rows cannot be shared by 4 processes"):
        Workers(world=4).share(rows, 1)
