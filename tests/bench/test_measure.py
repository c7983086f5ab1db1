"""Statistics and turns on made-up peers with made-up times."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from elman.bench import measure as room
from elman.bench.cases import FORWARD, Case, Problem, Shape, make_problem, truth
from elman.bench.measure import Product, Turn, interleave, measure, ratio, summary
from elman.bench.peers import Peer

CASE = Case("gru", Shape(3, 2, 4), FORWARD)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PAUSE", 0)


class Made(Peer):
    """Right results, and calls that seem to take the next of ``times``."""

    times: tuple[float, ...] = (1.0,)
    wrong = 0.0

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.left = list(self.times)
        self.asked: list[int] = []
        self.closed = False
        MADE.append(self)

    def results(self) -> dict[str, Tensor]:
        return {"y": truth(self.problem)["y"] * (1 + self.wrong)}

    def seconds(self, calls: int) -> float:
        self.asked.append(calls)
        return (self.left.pop(0) if len(self.left) > 1 else self.left[0]) * calls

    def close(self) -> None:
        self.closed = True


MADE: list[Made] = []


class Slow(Made):
    times = (9.0, 2.0, 4.0, 3.0)  # the first one to learn how long a call takes


class Wrong(Made):
    wrong = 2e-4


class AlmostRight(Made):
    wrong = 5e-5


class Broken(Made):
    def __init__(self, problem: Problem) -> None:
        raise RuntimeError("no such\n   operator")


def row(ours: type[Peer] = Made, pairs: int = 3, **peers: type[Peer]) -> dict[str, Any]:
    MADE.clear()
    problem = make_problem(CASE)
    return measure(problem, truth(problem), ours, peers, pairs, lambda: 2e-6)


def test_a_row() -> None:
    found = row(slow=Slow)
    assert {name: found[name] for name in ("cell", "shape", "kind", "dtype", "threads")} == {
        "cell": "gru",
        "shape": "3x2x4",
        "kind": "forward",
        "dtype": "float32",
        "threads": 1,
    }
    assert found["operations"] == 6 * 2 * 4 * 8 * 3 and found["sgemm"] == 2e-6 and found["backend"] == "cpu"
    assert found["ours"] == {"error": 0, "ms": 1000, "min_ms": 1000, "share": pytest.approx(1152 / 2000)}
    assert found["peers"] == {"slow": {"error": 0, "ms": 3000, "min_ms": 2000, "ratio": 3}}
    assert all(peer.closed for peer in MADE)


def test_who_differs_or_fails_has_no_time_and_the_others_do() -> None:
    found = row(wrong=Wrong, broken=Broken, right=AlmostRight)
    assert found["peers"]["wrong"] == {"differs": pytest.approx(2e-4)}
    assert found["peers"]["broken"] == {"failed": "RuntimeError: no such operator"}
    assert found["peers"]["right"]["ratio"] == 1 and found["peers"]["right"]["error"] == pytest.approx(5e-5)
    assert [peer.asked for peer in MADE if isinstance(peer, Wrong)] == [[]]
    assert all(peer.closed for peer in MADE)


def test_where_we_differ_nobody_is_timed() -> None:
    found = row(ours=Wrong, right=Made)
    assert found["ours"] == {"differs": pytest.approx(2e-4)} and found["peers"] == {} and "sgemm" not in found
    assert [peer.asked for peer in MADE] == [[]]


def test_rounds_go_to_and_fro() -> None:
    order: list[str] = []

    def turn(name: str) -> Any:
        return lambda: order.append(name) or float(len(order))

    results, yards = interleave({name: turn(name) for name in "abc"}, 3, lambda: order.append("|") or 5.0)
    assert "".join(order) == "|abccbaabc"
    assert results == {"a": [2, 7, 8], "b": [3, 6, 9], "c": [4, 5, 10]} and yards == [5.0]


def test_the_ratio_is_of_the_rounds_not_of_the_medians() -> None:
    ours, theirs = [1.0, 10.0, 3.0], [2.0, 10.0, 30.0]
    assert ratio(ours, theirs) == 2
    assert summary(theirs)["ms"] / summary(ours)["ms"] == pytest.approx(10 / 3)


def test_short_calls_are_timed_together_after_one_that_wakes_the_threads() -> None:
    class Short(Made):
        times = (0.01,)

    turn = Turn(Short(make_problem(CASE)))
    assert turn() == pytest.approx(0.01)
    assert MADE[-1].asked == [1, 1, 5]


def test_long_calls_are_timed_one_by_one() -> None:
    turn = Turn(Slow(make_problem(CASE)))
    assert [turn(), turn()] == [2.0, 4.0]
    assert MADE[-1].asked == [1, 1, 1]


def test_the_yardstick_counts_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Product, "size", 64)
    ticks = iter([0.0, 1.0, 1.0, 1.5])
    monkeypatch.setattr(room.time, "perf_counter", lambda: next(ticks))
    assert Product("bf16").rate() == pytest.approx(2e-9 * 64**3 / 0.5)
