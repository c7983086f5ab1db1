"""``elman reproduce``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("eager")

SMALL = ["--time", "20", "--hidden-size", "4", "--batch-size", "4", "--steps", "2", "--cells", "rnn"]


def test_it_lists_what_there_is(call: Any) -> None:
    said = call("reproduce")
    assert said.code == 0 and "grimm" in said.out and "long-memory" in said.out
    said = call("reproduce", "long-memry")
    assert said.code == 2 and "nothing to reproduce is called 'long-memry'; did you mean 'long-memory'?" in said.err


def test_long_memory_runs_every_problem_and_writes_its_command(call: Any) -> None:
    said = call("reproduce", "long-memory", *SMALL, "--problems", "adding", "order", "--results", "results")
    assert said.code == 0 and not said.err
    assert "[1/2] adding-20-rnn" in said.out and "[2/2] order-20-rnn" in said.out
    assert said.out.count("It does not bridge 20 steps") == 2
    assert said.out.splitlines()[-3:] == [str(Path("results", f"long-memory.{end}")) for end in ("json", "md", "png")]
    results = json.loads(Path("results/long-memory.json").read_text())
    assert results["runs"][0]["command"].startswith("elman reproduce long-memory --time 20 ")
    assert results["runs"][0]["command"].endswith(" --results FOLDER"), "no path of this machine"
    assert [(row["problem"], row["updates"]) for row in results["runs"]] == [("adding", 2), ("order", 2)]
    assert Path("runs/long-memory/adding-20-rnn/metrics.jsonl").exists()


def test_word_models_need_the_treebank(call: Any) -> None:
    for part in ("train", "valid", "test"):
        Path(f"ptb.{part}.txt").write_text(" the fox saw N moons \n the king lost a bell \n" * 80)
    said = call("reproduce", "ptb-small", "--data", ".", "--epochs", "0.1", "--threads", "1", "--results", "results")
    assert said.code == 0 and not said.err
    assert "[1/1] LSTM 2 x 200, no dropout" in said.out and "(published: 115.91)" in said.out
    assert said.out.splitlines()[-3:] == [str(Path("results", f"ptb-small.{end}")) for end in ("json", "md", "png")]
    said = call("reproduce", "ptb-scrn", "--data", "gone")
    assert said.code == 2 and "no ptb.train.txt or ptb.train.txt.gz in gone" in said.err


def test_mistakes_are_said_before_anything_runs(call: Any) -> None:
    for words, message in (
        (["--cells", "lstn"], "no cell 'lstn'; did you mean 'lstm'"),
        (["--time", "100", "3"], "time is 3; the adding problem takes whole numbers from 4"),
        (["--problems", "adding", "sorting"], "sorting"),
        (["--stesp", "3"], "no option '--stesp'; did you mean '--steps'"),
    ):
        said = call("reproduce", "long-memory", *words)
        assert said.code == 2 and message in said.err and not Path("runs").exists()
