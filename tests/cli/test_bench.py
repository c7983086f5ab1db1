"""``elman bench`` as it is meant to be used, at tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from elman.bench import measure, peers
from elman.bench.roster import PEERS
from elman.cli.bench import Bench

TINY = ["bench", "--shapes", "3x2x4", "--cells", "rnn", "--peers", "torch", "eager", "--pairs", 1]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_PAUSE", 0)
    monkeypatch.setattr(measure, "_TURN", 1e-3)
    monkeypatch.setattr(measure.Product, "size", 64)


def data(folder: str = "bench") -> Any:
    return json.loads(Path(folder, "bench.json").read_text())


def test_a_table_as_it_grows(call: Any) -> None:
    threads = torch.get_num_threads()
    said = call(*TINY, "--threads", 1)
    assert said.code == 0 and not said.err
    lines = said.out.splitlines()
    assert lines[0].split() == ["cell", "T", "x", "B", "x", "H", "kind", "ms", "sgemm", "torch", "eager"]
    assert [line.split()[:3] for line in lines[1:3]] == [["rnn", "3x2x4", "train"], ["rnn", "3x2x4", "forward"]]
    assert [line.split()[:3] for line in lines[3:5]] == [["rnn", "mean", "(least)"]] * 2
    assert lines[5] == "bench/bench.md and bench.json"
    assert torch.get_num_threads() == threads
    rows = data()["rows"]
    assert [row["kind"] for row in rows] == ["train", "forward"]
    for row in rows:
        assert row["ours"]["error"] < 1e-5 and row["ours"]["ms"] > 0 and set(row["peers"]) == {"torch", "eager"}
        assert all(peer["ratio"] > 0 and peer["error"] < 1e-5 for peer in row["peers"].values())
    assert "| rnn | 3 x 2 x 4 |" in Path("bench/bench.md").read_text()


def test_a_second_run_adds_to_the_first(call: Any) -> None:
    assert call(*TINY, "--kinds", "forward", "--out", "there").code == 0
    assert call(*TINY, "--kinds", "train", "--out", "there").code == 0
    assert [row["kind"] for row in data("there")["rows"]] == ["forward", "train"]
    assert call(*TINY, "--kinds", "train", "--out", "there", "--fresh").code == 0
    assert [row["kind"] for row in data("there")["rows"]] == ["train"]


def test_ragged_batches_in_place_of_the_table(call: Any) -> None:
    assert call("bench", "--ragged", "--shapes", "4x3x2", "--peers", "torch", "--pairs", 1).code == 0
    assert [(row["cell"], row["kind"]) for row in data()["rows"]] == [("lstm", "ragged")]


def test_wrong_results_are_no_timing_and_end_with_1(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = peers.TorchModule.call
    monkeypatch.setattr(peers.TorchModule, "call", lambda self, x: right(self, x) * 1.01)
    said = call(*TINY, "--kinds", "train")
    assert said.code == 1
    assert "rnn 3x2x4 train: torch differs from the eager loop in float64 by 1." in said.out
    assert "1 of 1 rows had results that differ; their times were not written" in said.out
    (row,) = data()["rows"]
    assert set(row["peers"]["torch"]) == {"differs"} and row["peers"]["eager"]["ratio"] > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--shapes 3x4", "'3x4' is no shape; write steps x batch x units as 100x64x512, or standard or quick"),
        ("--cells lsmt", "unknown cell 'lsmt'; did you mean 'lstm'?"),
        ("--peers torhc", "unknown peer 'torhc'; did you mean 'torch'?"),
        ("--kinds trian", "unknown kind 'trian'; did you mean 'train'?"),
        ("--kinds train --ragged", "--kinds picks parts of the table, which --ragged and --stream replace; give one"),
        ("--kinds codegen --dtype bf16", "codegen is measured for float32 and float64; leave it out of --kinds"),
        ("--dtype float16", "dtype is 'float16'; "),
        ("--threads 0", "--threads is 0; give a whole number of at least 1"),
        ("--pairs 0", "--pairs is 0; give a whole number of at least 1"),
        ("--out here", "is no benchmark"),
    ],
)
def test_mistakes(refused: Any, words: str, sentence: str) -> None:
    Path("here").mkdir()
    Path("here/bench.json").write_text("{}")
    assert sentence in refused("bench", *words.split())
    assert not Path("bench").exists()


def test_a_peer_asked_for_that_is_not_installed(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.bench.roster.importlib.util.find_spec", lambda package: None)
    said = refused("bench", "--peers", "jax")
    assert said == "jax is not installed, so there is no peer 'jax'; pip install 'elman[bench]', or leave it out"


def test_the_help_names_every_peer(call: Any) -> None:
    said = " ".join(call("bench", "--help").out.split())
    assert all(name in said for name in PEERS)
    assert Bench().peers == ()
