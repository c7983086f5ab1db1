from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from toy_training import toy_run

from elman.errors import UserError
from elman.training import RunFolder, TrainSettings, files


def save(run: RunFolder, step: int, best: int | None = None, keep: int = 2) -> None:
    run.save(step, {"w": torch.full((2,), float(step))}, {}, {"step": step}, best=best, keep=keep)


def test_last_and_best_are_one_line_files_and_old_ones_go(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step, best in ((0, None), (10, 10), (20, 10), (30, 10), (40, 10)):
        save(run, step, best)
    assert run.steps() == [10, 30, 40]
    assert (run.checkpoints / "last").read_text() == "step-00000040\n"
    assert (run.checkpoints / "best").read_text() == "step-00000010\n"
    assert run.checkpoint("best").name == "step-00000010"
    assert run.checkpoint("30") == run.checkpoint("step-00000030")
    save(run, 50, 50, keep=1)
    assert run.steps() == [50]
    assert not list(run.checkpoints.glob(".tmp-*"))


def test_best_is_last_before_any_evaluation(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    save(run, 3)
    assert run.checkpoint("best").name == "step-00000003"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        run.checkpoint()
    with pytest.raises(UserError, match=r"holds no settings\.json"):
        run.load_settings()
    save(run, 3)
    with pytest.raises(UserError, match="no checkpoint step-00000004; it has step-00000003"):
        run.checkpoint("4")
    run.settings.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        run.load_settings()
    run.settings.write_text("[]")
    with pytest.raises(UserError, match="no JSON object"):
        run.load_settings()


def test_a_file_in_the_way_of_the_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(UserError, match="choose a folder you may write to"):
        RunFolder(tmp_path / "run").create()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        RunFolder(tmp_path).create()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_in_mid_run_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    settings = TrainSettings(steps=30, evaluate_every=10)
    whole, net = toy_run(tmp_path / "whole", settings)
    fsync, calls = os.fsync, 0

    def failing(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 25:
            raise OSError(code, os.strerror(code))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(UserError, match=os.strerror(code)) as caught:
        toy_run(tmp_path / "run", settings)
    monkeypatch.undo()
    assert "cannot write" in str(caught.value)
    result, resumed = toy_run(tmp_path / "run", settings, resume=True)
    assert result.steps == whole.steps
    for a, b in zip(net.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last"
    files.replace_file(path, b"old")

    def failing(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(UserError, match="No space left"), files.writing(path):
        files.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
