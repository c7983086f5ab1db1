from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import SCRIPT, environment, toy_run, wait_for_checkpoint

from elman.errors import UserError
from elman.training import RunFolder, TrainSettings, draw_curves, read_checkpoint, read_metrics, train
from elman.training.interrupt import Interrupt

SETTINGS: dict[str, Any] = {
    "steps": 60,
    "evaluate_every": 7,
    "checkpoint_every": 3,
    "learning_rate": 0.02,
    "schedule": "plateau",
    "decay_patience": 1,
}
TIMES = {"seconds", "tokens_per_second"}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def end(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Weights, other tensors, and the metrics but for times."""
    checkpoint = read_checkpoint(RunFolder(folder).checkpoint("last"))
    records = [{k: v for k, v in r.items() if k not in TIMES} for r in read_metrics(folder / "metrics.jsonl")]
    return checkpoint.model, checkpoint.train, records


def assert_same_end(one: Path, two: Path) -> None:
    for a, b in zip(end(one)[:2], end(two)[:2], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), name
    assert end(one)[2] == end(two)[2]


def start(folder: Path, *pairs: str) -> subprocess.Popen[str]:
    options = [f"{key}={value}" for key, value in SETTINGS.items()]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), *options, *pairs],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_record_and_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.training.loop.draw_curves", draw_curves)
    settings = TrainSettings(steps=25, evaluate_every=10, learning_rate=0.02)
    result, net = toy_run(tmp_path, settings)
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [r["step"] for r in records] == [10, 20, 25]
    assert [r["epoch"] for r in records] == [1.0, 2.0, 2.5]
    assert result.metrics == records[-1]
    for record in records:
        assert record["train_perplexity"] == pytest.approx(torch.tensor(record["train_loss"]).exp().item(), rel=1e-5)
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    best = min(records, key=lambda r: r["valid_loss"])
    assert result.best_step == best["step"]
    assert result.best_metrics["loss"] == best["valid_loss"]
    assert result.best == RunFolder(tmp_path).checkpoint("best")
    assert (result.stopped_by, result.steps, result.epochs) == ("steps", 25, 2.5)
    assert torch.equal(read_checkpoint(result.last).model["recur.weight"], net.recur.weight)
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert "after 25 steps (2.50 epochs" in result.sentence


def test_the_loss_of_the_record_is_the_mean_over_tokens(tmp_path: Path) -> None:
    _, net = toy_run(tmp_path, TrainSettings(steps=1, learning_rate=1e-30), drop=0.0)
    from toy_training import BATCH, HIDDEN, ToyBatches, Workers, cross_entropy

    x, y = next(ToyBatches(Workers()))
    logits, _ = net.eval()(x, torch.zeros(BATCH, HIDDEN))
    expected = cross_entropy(logits.flatten(0, 1), y.flatten()).item()
    assert read_metrics(tmp_path / "metrics.jsonl")[0]["train_loss"] == pytest.approx(expected, rel=1e-6)


def test_a_batch_has_its_share_of_the_learning_rate(tmp_path: Path) -> None:
    """Past clipping, which would undo a share of the gradient: each update is as long as rate, clip and share say."""
    model = torch.nn.Linear(1, 1, bias=False)
    shares = [1.0, 0.5, 2.0]
    places = []

    class Shares:
        epoch, windows_per_epoch = 0.0, 10
        step = 0

        def __next__(self) -> float:
            self.step += 1
            return shares[self.step - 1]

        def state_dict(self) -> dict[str, int]:
            return {"step": self.step}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.step = state["step"]

    def backward(share: float) -> torch.Tensor:
        places.append(model.weight.item())
        loss = (100 * model(torch.ones(1))).sum()
        loss.backward()
        return loss

    settings = TrainSettings(steps=3, optimizer="sgd", momentum=0.0, learning_rate=0.1, clip=0.25)
    result = train(
        model, Shares(), backward, lambda: {"loss": 0.0}, settings, tmp_path, tokens=lambda share: 1,
        share=lambda share: share, silent=True,
    )  # fmt: skip
    places.append(model.weight.item())
    steps = [before - after for before, after in itertools.pairwise(places)]
    assert steps == pytest.approx([0.1 * 0.25 * share for share in shares], rel=1e-5)
    assert result.metrics["learning_rate"] == 0.1


def test_evaluation_disturbs_nothing(tmp_path: Path) -> None:
    _, often = toy_run(tmp_path / "often", TrainSettings(steps=20, evaluate_every=1))
    _, never = toy_run(tmp_path / "never", TrainSettings(steps=20, evaluate_every=100))
    assert torch.equal(often.recur.weight, never.recur.weight)


def test_short_epochs_are_looked_at_more_often_which_changes_nothing(tmp_path: Path) -> None:
    options = {"steps": 130, "learning_rate": 0.02, "schedule": "plateau", "decay_patience": 1}
    looked, _ = toy_run(tmp_path / "looked", TrainSettings(**options))
    plain, _ = toy_run(tmp_path / "plain", TrainSettings(**options, evaluate_every=100))
    (weights, tensors, records), (expected, others, few) = end(tmp_path / "looked"), end(tmp_path / "plain")
    assert [r["step"] for r in records] == [*range(10, 101, 10), 120, 130]
    assert [r["step"] for r in few] == [100, 130]
    assert [{**r, "train_loss": 0, "train_perplexity": 0, "gradient_norm": 0} for r in records if r["step"] == 100] == [
        {**few[0], "train_loss": 0, "train_perplexity": 0, "gradient_norm": 0}
    ]
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert all(torch.equal(tensors[name], value) for name, value in others.items())
    assert (looked.best_step, looked.best_metrics) == (plain.best_step, plain.best_metrics)
    assert RunFolder(tmp_path / "looked").steps() == RunFolder(tmp_path / "plain").steps()


def test_patience_does_not_count_looks(tmp_path: Path) -> None:
    settings = TrainSettings(steps=400, patience=1, learning_rate=1e-30, clip=1e-30)
    result, _ = toy_run(tmp_path, settings)
    assert (result.stopped_by, result.steps, result.best_step) == ("patience", 200, 100)


def test_a_run_that_is_looked_at_resumes_the_same(tmp_path: Path) -> None:
    settings = TrainSettings(steps=47, checkpoint_every=5, keep=99)
    toy_run(tmp_path / "one", settings)
    assert len(RunFolder(tmp_path / "one").steps()) == 11, "a look is no reason to leave a checkpoint out"
    toy_run(tmp_path / "two", settings)
    for step in ("00000030", "00000015"):
        toy_run(tmp_path / "two", settings, resume=f"step-{step}")
        assert_same_end(tmp_path / "one", tmp_path / "two")


def test_the_seed_decides(tmp_path: Path) -> None:
    nets = [
        toy_run(tmp_path / str(number), TrainSettings(steps=5, seed=seed))[1] for number, seed in enumerate((0, 0, 1))
    ]
    assert torch.equal(nets[0].recur.weight, nets[1].recur.weight)
    assert not torch.equal(nets[0].recur.weight, nets[2].recur.weight)


@pytest.mark.parametrize(
    ("budget", "stopped_by", "steps"),
    [
        ({"epochs": 1.5}, "epochs", 15),
        ({"epochs": 1.5, "steps": 7}, "steps", 7),
        ({"steps": 100, "patience": 2, "evaluate_every": 5, "learning_rate": 1e-30, "clip": 1e-30}, "patience", 15),
    ],
)
def test_budgets(tmp_path: Path, budget: dict[str, Any], stopped_by: str, steps: int) -> None:
    result, _ = toy_run(tmp_path, TrainSettings(**budget))
    assert (result.stopped_by, result.steps) == (stopped_by, steps)


def test_minutes_count_over_resumes(tmp_path: Path) -> None:
    result, _ = toy_run(tmp_path, TrainSettings(minutes=0.5 / 60), pause=0.05)
    assert result.stopped_by == "minutes"
    assert 0.5 <= result.seconds < 2
    again, _ = toy_run(tmp_path, TrainSettings(minutes=0.5 / 60), pause=0.05, resume=True)
    assert again.steps == result.steps
    more, _ = toy_run(tmp_path, TrainSettings(minutes=1 / 60), pause=0.05, resume=True)
    assert 1 <= more.seconds < 2.5
    assert more.steps < 2.5 * result.steps


def test_a_run_longer_by_resume_equals_one_in_one_piece(tmp_path: Path) -> None:
    toy_run(tmp_path / "one", TrainSettings(steps=40, evaluate_every=10))
    toy_run(tmp_path / "two", TrainSettings(steps=20, evaluate_every=10))
    toy_run(tmp_path / "two", TrainSettings(steps=40, evaluate_every=10), resume=True)
    assert_same_end(tmp_path / "one", tmp_path / "two")


def test_going_back_to_an_earlier_checkpoint(tmp_path: Path) -> None:
    settings = TrainSettings(steps=40, evaluate_every=10, keep=9)
    toy_run(tmp_path / "one", settings)
    toy_run(tmp_path / "two", settings)
    last = RunFolder(tmp_path / "two").checkpoint("last")
    (last / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="use the one before it, step-00000030"):
        toy_run(tmp_path / "two", settings, resume=True)
    toy_run(tmp_path / "two", settings, resume="step-00000030")
    assert_same_end(tmp_path / "one", tmp_path / "two")


def test_mistakes_about_folders_and_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        toy_run(tmp_path, TrainSettings(steps=5), resume=True)
    toy_run(tmp_path, TrainSettings(steps=5))
    with pytest.raises(UserError, match="already holds a run of 5 steps; resume it or choose another folder"):
        toy_run(tmp_path, TrainSettings(steps=5))
    with pytest.raises(UserError, match="trained with optimizer='adam', not 'sgd'"):
        toy_run(tmp_path, TrainSettings(steps=9, optimizer="sgd"), resume=True)


@pytest.mark.parametrize("at", [0, 6, 16, 59])
def test_ctrl_c_finishes_the_step_saves_and_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    settings = TrainSettings(**{**SETTINGS, "checkpoint_every": None})
    toy_run(tmp_path / "one", settings)
    asked = 0

    def requested(self: Interrupt) -> bool:
        nonlocal asked
        asked += 1
        return asked > at

    monkeypatch.setattr(Interrupt, "requested", property(requested, lambda self, value: None), raising=False)
    result, _ = toy_run(tmp_path / "two", settings)
    monkeypatch.undo()
    if at == 59:
        assert result.stopped_by == "steps"
    else:
        assert result.stopped_by == "interrupted"
        assert result.steps == at + 1
        assert "go on with --resume" in result.sentence
    toy_run(tmp_path / "two", settings, resume=True)
    assert_same_end(tmp_path / "one", tmp_path / "two")


def kill_and_resume(tmp_path: Path, kills: int, seed: int) -> None:
    toy_run(tmp_path / "one", TrainSettings(**SETTINGS))
    folder = tmp_path / "two"
    randomness = random.Random(seed)
    done = 0
    for kill in range(kills):
        process = start(folder, "pause=0.01", *(["resume=True"] if kill else []))
        done = max(RunFolder(folder).steps(), default=0)
        wait_for_checkpoint(folder, min(done + randomness.randint(0, 6), 50), process)
        time.sleep(randomness.random() * 0.03)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    toy_run(folder, TrainSettings(**SETTINGS), resume=True)
    assert_same_end(tmp_path / "one", folder)
    assert not [path for path in folder.rglob(".tmp-*") if path.parent.name == "checkpoints"]


@pytest.mark.slow
def test_killed_once_and_resumed_equals_an_uninterrupted_run(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=1, seed=1)


@pytest.mark.slow
def test_killed_ten_times_and_resumed_equals_an_uninterrupted_run(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=10, seed=2)


def test_a_real_sigterm(tmp_path: Path) -> None:
    process = start(tmp_path, "pause=0.05")
    wait_for_checkpoint(tmp_path, 3, process)
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "interrupted after" in out
    assert json.loads((RunFolder(tmp_path).checkpoint("last") / "train.json").read_text())["step"] < 60
