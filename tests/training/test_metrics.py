from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from elman.errors import UserError
from elman.training import draw_curves, read_metrics
from elman.training.metrics import MetricsLog
from elman.training.progress import Display


def test_lines_after_the_checkpoint_are_dropped_and_go_on(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, step=0)
    for step in (10, 20, 30):
        log.append({"step": step, "valid_loss": step / 7})
    log.close()
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 40, "va')
    again = MetricsLog(tmp_path, step=20)
    again.append({"step": 25, "valid_loss": math.nan})
    assert read_metrics(tmp_path / "metrics.jsonl") == again.records
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["valid_loss"] for line in lines] == [10 / 7, 20 / 7, None]


def test_a_foreign_metrics_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('hello\n{"step": 1}\n')
    with pytest.raises(UserError, match="line 1 is not a metrics line"):
        MetricsLog(tmp_path, step=0)
    assert path.read_text().startswith("hello")


def test_the_picture_shows_perplexity_or_loss(tmp_path: Path) -> None:
    loss = [{"step": s, "train_loss": 2.0 / s, "valid_loss": 2.5 / s} for s in (1, 2, 3)]
    perplexity = [{**r, "train_perplexity": 7.0, "valid_perplexity": None if r["step"] == 2 else 9.0} for r in loss]
    draw_curves(loss, tmp_path / "a.png")
    draw_curves(perplexity, tmp_path / "b.png")
    draw_curves([], tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert not (tmp_path / "c.png").exists()


def test_the_picture_marks_the_step_that_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    monkeypatch.setattr("elman.training.curves.save_figure", lambda figure, path: figures.append(figure))
    records = [
        {"step": s, "train_loss": 1.0, "valid_loss": valid} for s, valid in ((10, 0.25), (100, 0.5), (110, 0.75))
    ]
    draw_curves(records, tmp_path / "a.png")
    draw_curves(records, tmp_path / "b.png", best_step=100)
    said = ["best: valid loss 0.25 at step 10", "kept: valid loss 0.5 at step 100"]
    assert [figure.axes[0].get_title(loc="left") for figure in figures] == said


RECORD = {"step": 7, "epoch": 0.5, "train_perplexity": 9.0, "valid_perplexity": 8.5, "tokens_per_second": 1234.5}


def test_no_terminal_means_a_line_for_each_evaluation() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=40)) as display:
        display.stepped(1, 0.1, 0.1, 2.0, 100.0)
        display.evaluated(RECORD)
    assert out.getvalue() == "step 7  epoch 0.50  train perplexity 9.000  valid perplexity 8.500  1,234 tokens/s\n"


def test_a_terminal_shows_a_bar_with_speed_perplexities_and_time_left() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=150, force_terminal=True)) as display:
        display.evaluated(RECORD)
        display.stepped(8, 0.6, 0.25, math.log(4.0), 4321.0)
    shown = out.getvalue()
    assert "step 8  epoch 0.60  4,321 tokens/s  train perplexity 4.000  valid perplexity 8.500" in shown
    assert "25%" in shown


def test_silence() -> None:
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True), silent=True) as display:
        display.evaluated(RECORD)
        display.say("hello")
    assert out.getvalue() == ""
