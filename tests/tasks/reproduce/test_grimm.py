"""The story experiment on a tiny collection."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from elman.errors import UserError
from elman.tasks.recipes import read_recipe
from elman.tasks.reproduce.grimm import EXPERIMENTS, Experiment, run_experiment, select, write_results

pytestmark = pytest.mark.usefixtures("eager")

WORDS = ["the", "king", "had", "a", "daughter", "and", "she", "went", "into", "forest", "where", "an", "old", "fox"]


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    tales = tmp_path / "tales"
    tales.mkdir()
    chance = random.Random(0)
    for number in range(20):
        text = "once upon a time " + " ".join(chance.choice(WORDS) for _ in range(150 + number))
        (tales / f"{number:02}.txt").write_text(text)
    return {"data": str(tales), "steps": 4, "evaluate_every": 2, "batch_size": 4, "unroll": 10}


def test_every_experiment_has_its_recipe_with_the_chapters_settings() -> None:
    for experiment in EXPERIMENTS:
        options = read_recipe(f"grimm-{experiment.name}")
        assert options["batch_size"] == 64 and options["tokenizer"] == "bigram" and options["min_count"] == 10
        assert options["unroll"] == (1 if experiment.name.endswith("unroll-1") else 50)
        assert options["first"] == (20 if "-20" in experiment.name else 100)
        assert options["steps"] == (13_000 if "-20" in experiment.name else 26_000)
        assert (options["valid_documents"], options["valid_characters"]) == (10, 200)


def test_a_run_is_measured_and_a_finished_one_not_run_again(tmp_path: Path, overrides: dict[str, Any]) -> None:
    experiment = EXPERIMENTS[0]
    row = run_experiment(experiment, tmp_path / "runs", overrides)
    assert row["updates"] == 4 and row["chapter_best"] == 32.86
    assert [point[0] for point in row["curve"]] == [2, 4]
    assert row["best_valid_perplexity"] == min(point[2] for point in row["curve"])
    assert row["last_valid_perplexity"] == row["curve"][-1][2]
    assert len(row["greedy"]) == 200  # a hundred pairs
    written = (tmp_path / "runs" / "rnn-20" / "metrics.jsonl").stat().st_mtime_ns
    assert run_experiment(experiment, tmp_path / "runs", overrides) == row
    assert (tmp_path / "runs" / "rnn-20" / "metrics.jsonl").stat().st_mtime_ns == written


def test_results_are_written_as_measured(tmp_path: Path, overrides: dict[str, Any]) -> None:
    row = run_experiment(Experiment("rnn-20", "a small net"), tmp_path / "runs", overrides)
    json_file, table, picture = write_results([row], tmp_path / "results")
    assert json.loads(json_file.read_text())["runs"] == [row]
    assert f"| a small net | {row['weights']:,} |" in table.read_text()
    assert f"| {row['best_valid_perplexity']:.2f} |" in table.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_run_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no run 'rnn-2'; did you mean 'rnn-20'"):
        select(["rnn-2"])
