"""What counts as the best, and what a run shows beside the loss."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from elman.training import TrainSettings, draw_curves, read_metrics, train

ACCURACIES = [0.5, 0.8, 0.7, 0.8, 0.6, 0.6]
LOSSES = [0.9, 0.8, 0.1, 0.7, 0.2, 0.2]


class Ones(itertools.repeat):  # type: ignore[type-arg]
    epoch, windows_per_epoch = 0.0, 10

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def trained(folder: Path, **options: Any) -> tuple[Any, str]:
    model = nn.Linear(1, 1)
    numbers = iter(zip(LOSSES, ACCURACIES, strict=True))

    def backward(batch: int) -> torch.Tensor:
        loss = model(torch.ones(1)).square().sum()
        loss.backward()
        return loss

    said = io.StringIO()
    settings = TrainSettings(steps=6, evaluate_every=1, patience=options.pop("patience", None))

    def evaluate() -> dict[str, float]:
        return dict(zip(("loss", "accuracy"), next(numbers), strict=True))

    console = Console(file=said, width=200)
    result = train(
        model, Ones(1), backward, evaluate, settings, folder, tokens=lambda batch: 3, console=console, **options
    )
    return result, said.getvalue()


def test_the_loss_decides_unless_told_otherwise(tmp_path: Path) -> None:
    assert trained(tmp_path)[0].best_step == 3


def test_the_judge_decides_and_ends_the_run(tmp_path: Path) -> None:
    def judge(numbers: Any) -> Any:
        return -numbers["accuracy"], numbers["loss"]

    result, _ = trained(tmp_path / "a", judge=judge)
    assert (result.best_step, result.best_metrics) == (4, {"loss": 0.7, "accuracy": 0.8})
    result, _ = trained(tmp_path / "b", judge=judge, patience=1)
    assert (result.stopped_by, result.steps, result.best_step) == ("patience", 3, 2)
    assert "nothing better in as many evaluations as patience allows" in result.sentence


def test_what_is_infinite_for_a_while_ends_nothing(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    losses = iter([math.inf, 5.0, *[2.0] * 20])

    def backward(batch: int) -> torch.Tensor:
        loss = model(torch.ones(1)).square().sum()
        loss.backward()
        return loss

    settings = TrainSettings(steps=100)
    result = train(
        model,
        Ones(1),
        backward,
        lambda: {"loss": next(losses)},
        settings,
        tmp_path,
        tokens=lambda batch: 1,
        silent=True,
    )
    assert (result.stopped_by, result.best_metrics) == ("steps", {"loss": 2.0})
    assert [r["valid_loss"] for r in read_metrics(tmp_path / "metrics.jsonl")][:3] == [None, 5.0, 2.0]


def test_what_is_counted_and_measured_is_shown(tmp_path: Path) -> None:
    _, said = trained(tmp_path, counted="windows")
    assert "  valid loss 0.900  accuracy 0.500  " in said and "windows/s" in said
    assert "windows_per_second" in read_metrics(tmp_path / "metrics.jsonl")[0]


@pytest.mark.parametrize(("more", "height"), [({}, 600), ({"valid_accuracy": 0.5, "valid_f1": None}, 960)])
def test_other_numbers_have_a_panel_of_their_own(more: dict[str, Any], height: int, tmp_path: Path) -> None:
    draw_curves([{"step": 1, "train_loss": 1.0, "valid_loss": 1.0} | more], tmp_path / "curves.png")
    header = (tmp_path / "curves.png").read_bytes()[16:24]
    assert int.from_bytes(header[4:], "big") == height
