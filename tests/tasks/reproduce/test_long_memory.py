"""The long-memory experiment on few steps."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from elman.data.long_memory import Adding, Copy, Order
from elman.errors import UserError
from elman.tasks.reproduce import long_memory
from elman.tasks.reproduce.long_memory import (
    CONTENDERS,
    MemorySettings,
    answers,
    bridged_at,
    build_net,
    finished_rows,
    judge,
    loss_of,
    right,
    run_experiment,
    select,
    write_results,
)
from elman.training import NotFiniteError, read_metrics

EASY = MemorySettings("lstm", time=20, hidden_size=24, learning_rate=0.02, steps=1000, evaluate_every=50)
BRIEF = MemorySettings("rnn", time=60, hidden_size=24, steps=4, evaluate_every=2, batch_size=5)


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("runs")
    return run_experiment(EASY, folder, "COMMAND"), folder


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("runs")
    return run_experiment(BRIEF, folder, "COMMAND"), folder


def test_an_lstm_adds_over_20_steps_and_ends_there(solved: tuple[dict[str, Any], Path]) -> None:
    row, _ = solved
    assert row["bridged"] and row["test_loss"] < 0.01 and row["test_right"] > 0.5
    assert row["updates"] < 1000 and row["curve"][-1][2] <= 0.001
    assert row["bridged_at"] == next(step for step, _, valid, _ in row["curve"] if valid < 0.01)
    assert row["flow"]["start"]["verdict"] == row["flow"]["trained"]["verdict"] == "carried"
    assert row["flow"]["trained"]["share"] > 0.1
    assert row["why"].startswith(f"It bridges 20 steps: MSE {row['test_loss']:.4g} after {row['updates']} updates.")


def test_where_only_the_test_is_below_the_bound_the_best_evaluation_counts() -> None:
    records = [{"step": 100 * k, "valid_loss": loss} for k, loss in enumerate((0.17, 0.011, 0.0102, 0.012), 1)]
    assert bridged_at(records, 0.01) == 300 and bridged_at(records, 0.0115) == 200


def test_a_tanh_rnn_does_not_and_the_words_are_those_of_its_gradients(brief: tuple[dict[str, Any], Path]) -> None:
    row, _ = brief
    start = row["flow"]["start"]
    assert not row["bridged"] and row["bridged_at"] is None and row["chance"] == pytest.approx(1 / 6)
    assert start["verdict"] == "vanishing" and 0.3 < start["rate"] < 0.8 and len(start["norms"]) == 60
    assert start["share"] == pytest.approx(start["norms"][29] / start["norms"][0], rel=1e-3)
    assert f"changes by a factor of {start['rate']:.3g} a step, and {start['share']:.2g} of it arrives" in row["why"]
    assert "spectral radius" in row["why"] and "That is why it fails" in row["why"]
    assert row["chance_here"] == pytest.approx(1 / 6, rel=0.2) and row["chance_here"] != row["chance"]
    assert f"where not looking at the input gives 0.1667 ({row['chance_here']:.4g} on these very" in row["why"]


def test_a_finished_run_is_not_run_again_and_a_longer_one_goes_on(brief: tuple[dict[str, Any], Path]) -> None:
    row, folder = brief
    metrics = folder / BRIEF.name / "metrics.jsonl"
    written = metrics.stat().st_mtime_ns
    assert run_experiment(BRIEF, folder, "COMMAND") == row
    assert metrics.stat().st_mtime_ns == written
    longer = run_experiment(dataclasses.replace(BRIEF, steps=7), folder, "COMMAND")
    assert [point[0] for point in longer["curve"]] == [2, 4, 6, 7] and longer["curve"][:2] == row["curve"]
    at_once = run_experiment(dataclasses.replace(BRIEF, steps=7), folder / "anew", "COMMAND")
    assert [point[1:] for point in longer["curve"]] == [point[1:] for point in at_once["curve"]]
    with pytest.raises(UserError, match="holds a run with hidden_size=24, not 8; choose another folder"):
        run_experiment(dataclasses.replace(BRIEF, hidden_size=8), folder, "COMMAND")


def test_minutes_end_a_run(tmp_path: Path) -> None:
    for _ in range(2):
        row = run_experiment(dataclasses.replace(BRIEF, minutes=1e-9), tmp_path, "COMMAND")
        assert row["updates"] == len(row["curve"]) == 1


def test_a_run_that_breaks_down_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brief: tuple[dict[str, Any], Path]
) -> None:
    def breaks(*args: Any, **kwargs: Any) -> None:
        raise NotFiniteError(3, "the loss", "nan", "; try a lower learning_rate")

    run_experiment(dataclasses.replace(BRIEF, steps=2), tmp_path, "COMMAND")
    monkeypatch.setattr(long_memory, "train", breaks)
    row = run_experiment(BRIEF, tmp_path, "COMMAND")
    assert row["updates"] == 2 and "the loss" in row["diverged"] and "learning_rate" not in row["diverged"]
    assert f"Training broke down: {row['diverged']}." in row["why"]


def test_results_are_written_as_measured(
    tmp_path: Path, solved: tuple[dict[str, Any], Path], brief: tuple[dict[str, Any], Path]
) -> None:
    rows = [brief[0], solved[0]]
    json_file, table, picture = write_results(rows, tmp_path)
    assert json.loads(json_file.read_text()) == {"runs": rows}
    lines = table.read_text().splitlines()
    assert "| cell | adding 60 | adding 20 |" in lines
    assert f"| RNN (tanh) | {rows[0]['test_loss']:.2g} |  |" in lines
    updates = f"({solved[0]['bridged_at']} updates)"
    assert f"| LSTM, chrono start |  | **{solved[0]['test_loss']:.2g}** {updates} |" in lines
    assert "- `COMMAND`" in lines and finished_rows(solved[1]) == [solved[0]]
    assert rows[0]["why"] in lines and rows[1]["why"] in lines
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_a_net_starts_the_same_for_a_seed(contender: Any) -> None:
    nets = [build_net(MemorySettings(contender.name, time=50, hidden_size=6, seed=seed)) for seed in (1, 1, 2)]
    weights = [torch.nn.utils.parameters_to_vector(net.parameters()) for net in nets]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    cell = nets[0].layer.layers[0][0]  # type: ignore[index]
    for gate, sign in contender.chrono.items():
        row = cell.gates.index(gate)
        bias, other = (each.chunk(len(cell.gates))[row] for each in (cell.bias_ih, cell.bias_hh))
        assert (sign * bias).min() >= 0 and (sign * bias).max() <= math.log(49) and not other.any()


def test_answers_stand_where_the_problem_asks() -> None:
    order = Order(10, 3)
    batch = order.batch(0)
    said = torch.randn(len(batch.x), 3, 4)
    found, y = answers(order, said, batch)
    assert torch.equal(found, torch.stack([said[length - 1, row] for row, length in enumerate(batch.lengths)]))
    perfect = torch.nn.functional.one_hot(y, 4).float()
    assert right(order, perfect, y).all() and loss_of(order, 50 * perfect, y) < 1e-6

    copy = Copy(3, 2, items=2)
    batch = copy.batch(0)
    found, y = answers(copy, torch.nn.functional.one_hot(batch.y, 9).float(), batch)
    assert right(copy, found, y).all() and y.tolist() == batch.y.flatten().tolist()

    adding = Adding(10, 4)
    y = adding.batch(0).y
    assert right(adding, y[:, None] + 0.039, y).all() and not right(adding, y[:, None] + 0.041, y).any()
    assert loss_of(adding, y[:, None] + 0.5, y).item() == pytest.approx(0.25)


def test_only_the_symbols_kept_count_as_right_in_copy() -> None:
    problem = Copy(20, 10, items=4)

    class Blank(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.full_like(x, 8), 9).float()

    assert judge(Blank(), problem, 2)["right"] == 0  # type: ignore[arg-type]


def test_mistakes() -> None:
    with pytest.raises(UserError, match="no cell 'lstn'; did you mean 'lstm'"):
        select(["lstn"])
    with pytest.raises(UserError, match="no cell 'x'"):
        MemorySettings("x")
    with pytest.raises(UserError, match="time is 3; the adding problem takes"):
        MemorySettings("lstm", time=3)
    with pytest.raises(UserError, match="hidden_size is 0"):
        MemorySettings("lstm", hidden_size=0)
    with pytest.raises(UserError, match="problem is 'add'"):
        MemorySettings("lstm", problem="add")  # type: ignore[arg-type]
    assert [contender.name for contender in select([])] == ["rnn", "irnn", "scrn", "lstm", "gru", "lem"]


def test_the_curve_is_that_of_the_run(brief: tuple[dict[str, Any], Path]) -> None:
    row, folder = brief
    records = read_metrics(folder / BRIEF.name / "metrics.jsonl")[:2]
    assert row["curve"] == [[r["step"], r["train_loss"], r["valid_loss"], r["gradient_norm"]] for r in records]
