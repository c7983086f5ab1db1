"""Text from made-up rows."""

from __future__ import annotations

from typing import Any

import pytest

from elman.bench.report import geometric_means, is_wrong, line, markdown, mean_lines, mistakes

VERSIONS = {"torch": "2.13.0", "jax": "0.10.2"}


def row(cell: str = "lstm", shape: str = "100x64x256", kind: str = "train", **changes: Any) -> dict[str, Any]:
    return {
        "cell": cell,
        "shape": shape,
        "kind": kind,
        "dtype": "float32",
        "threads": 2,
        "date": "2030-01-02",
        "backend": "cpu",
        "sgemm": 250.0,
        "ours": {"error": 1e-7, "ms": 80.0, "min_ms": 79.0, "share": 0.9},
        "peers": {"torch": {"error": 1e-7, "ms": 120.0, "min_ms": 119.0, "ratio": 1.5}},
        "versions": VERSIONS,
    } | changes


def data(*rows: dict[str, Any], **sections: Any) -> dict[str, Any]:
    machine = {"cpu": "A CPU", "architecture": "znver5", "vector bits": 512, "cores": 2, "system": "Linux"}
    return {"machine": machine | {"python": "3.11"}, "rows": list(rows), "memory": [], "codegen": []} | sections


WRONG = {"differs": 0.02}


def test_lines_say_who_differs_fails_and_why_it_is_the_loop() -> None:
    peers = ["torch", "eager", "jax"]
    assert line(row(peers={"torch": WRONG, "eager": {"failed": "no"}}), peers).split()[-3:] == [
        "DIFFERS",
        "failed",
        "-",
    ]
    assert line(row(backend="eager (autocast is on)"), peers).endswith("eager (autocast is on)")
    assert line(row(kind="stream", ours={"ms": 3.0, "share": 0.1}), peers).endswith("  30.0 us a step")
    assert line(row(ours=WRONG, peers={}), peers).endswith("DIFFERS by 2.0e-02: not timed")


def test_mistakes_in_words() -> None:
    made = row(peers={"torch": WRONG, "jax": {"failed": "XlaError: out"}, "eager": {"ratio": 2.0}})
    assert mistakes(made) == [
        "lstm 100x64x256 train: torch differs from the eager loop in float64 by 2.0e-02 of the norm; not a timing",
        "lstm 100x64x256 train: jax failed: XlaError: out",
    ]
    assert is_wrong(made) and is_wrong(row(ours=WRONG, peers={}))
    assert not is_wrong(row(peers={"jax": {"failed": "XlaError: out"}})) and mistakes(row()) == []


def test_means_are_geometric_and_by_cell_kind_and_peer() -> None:
    rows = [
        row(peers={"torch": {"ratio": 1.0}, "eager": {"ratio": 8.0}}),
        row(shape="50x64x64", peers={"torch": {"ratio": 4.0}, "eager": WRONG}),
        row(kind="forward", peers={"torch": {"ratio": 3.0}}),
        row(cell="gru", peers={"jax": {"failed": "no"}}),
    ]
    means = geometric_means(rows)
    assert means == {
        ("lstm", "train"): {"torch": (pytest.approx(2.0), 1.0, 2), "eager": (pytest.approx(8.0), 8.0, 1)},
        ("lstm", "forward"): {"torch": (pytest.approx(3.0), 3.0, 1)},
    }
    assert [each.split() for each in mean_lines(rows, ["torch", "jax", "eager"])] == [
        ["lstm", "mean", "(least)", "train", "2.00", "(1.00)", "-", "8.00", "(8.00)"],
        ["lstm", "mean", "(least)", "forward", "3.00", "(3.00)", "-", "-"],
    ]


def test_the_page() -> None:
    slow = row(shape="9x9x9", date="2030-01-04", peers={"torch": {"ms": 40.0, "ratio": 0.5}, "jax": WRONG})
    stream = row(
        kind="stream", shape="100x1x256", ours={"ms": 3.0, "share": 0.1}, peers={"torch": {"ms": 6.0, "ratio": 2}}
    )
    page = markdown(data(stream, slow, row(cell="mgu", ours=WRONG, peers={}), row()))
    assert "A CPU (znver5, 512-bit vectors), 2 cores, Linux; Python 3.11, torch 2.13.0, jax 0.10.2" in page
    assert "2030-01-02 to 2030-01-04." in page
    tables = [each.splitlines() for each in page.split("\n\n") if each.startswith("|")]
    assert tables[0] == [
        "| cell | T x B x H | ms | share of sgemm | torch | jax |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| lstm | 100 x 64 x 256 | 80.0 | 90 % | **1.50** (120) |  |",
        "| lstm | 9 x 9 x 9 | 80.0 | 90 % | **0.50** (40.0) | differs |",
        "| mgu | 100 x 64 x 256 | differs by 2e-02 |  |  |  |",
    ]
    assert tables[1][2] == "| lstm | 0.87 (0.50) |  |"
    assert tables[2] == [
        "| cell | T x B x H | us a step | share of sgemm | torch |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| lstm | 100 x 1 x 256 | 30.0 | 10 % | **2.00** (60.0) |",
    ]
    assert page.index("## Training step: forward, and") < page.index("## A sequence that comes one step at a time")


def test_memory_and_code_on_the_page() -> None:
    key = {"cell": "lstm", "dtype": "float32", "threads": 2, "date": "2030-01-02", "versions": VERSIONS}
    memory = key | {"shape": "9x9x9", "peer": "torch"}
    memory |= {"ours": {"step": 12.0, "first": 99.0, "kept": 1.0}, "theirs": {"step": 16.0, "first": 30.0, "kept": 1.0}}
    code = key | {"hidden": 64, "trace": 0.5, "generate": 0.25, "llvm": 0.2, "from_cache": 0.012, "load": 0.01}
    refused = key | {"cell": "gru", "hidden": 64, "refused": "aten.sort"}
    page = markdown(data(memory=[memory], codegen=[refused, code]))
    assert "| lstm | 9 x 9 x 9 | float32 | 12.0 | torch | 16.0 | 0.75 | 99.0 | 30.0 |" in page
    assert page.endswith(
        "| lstm | 64 | float32 | 0.50 | 0.25 | 0.20 | 12 |\n| gru | 64 | float32 | not compiled: aten.sort |  |  |  |\n"
    )
