"""The files: merging, other machines, damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from elman.bench import results as room
from elman.bench.results import Results, default_folder, merged
from elman.errors import UserError

ROW = {
    "cell": "lstm",
    "shape": "9x9x9",
    "kind": "train",
    "dtype": "float32",
    "threads": 1,
    "date": "2030-01-02",
    "backend": "cpu",
    "ours": {"ms": 3.0, "share": 0.5},
    "peers": {"torch": {"ms": 6.0, "ratio": 2.0}},
}
CODE = {"cell": "lstm", "hidden": 9, "dtype": "float32", "threads": 1, "date": "2030-01-02", "refused": "so"}


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "bench.json").read_text())["rows"]
    return found


@pytest.mark.parametrize(
    "change", [{"cell": "gru"}, {"shape": "9x9x8"}, {"kind": "forward"}, {"dtype": "float64"}, {"threads": 2}]
)
def test_a_row_of_another_key_is_added_and_the_rest_kept(tmp_path: Path, change: dict[str, Any]) -> None:
    Results(tmp_path).add("rows", ROW)
    Results(tmp_path).add("codegen", CODE)
    Results(tmp_path).add("rows", ROW | change)
    versions = {"versions": room.versions()}
    assert rows(tmp_path) == [ROW | versions, ROW | change | versions]
    assert json.loads((tmp_path / "bench.json").read_text())["codegen"] == [CODE | versions]


def test_a_row_of_the_same_key_takes_the_old_ones_place(tmp_path: Path) -> None:
    for each in (ROW, ROW | {"cell": "gru"}, ROW | {"ours": {"ms": 1.0, "share": 0.9}}):
        Results(tmp_path).add("rows", each)
    assert [(each["cell"], each["ours"]["ms"]) for each in rows(tmp_path)] == [("lstm", 1.0), ("gru", 3.0)]
    page = (tmp_path / "bench.md").read_text()
    assert "| lstm | 9 x 9 x 9 | 1.00 | 90 % | **2.00** (6.00) |" in page and "| gru | 9 x 9 x 9 | 3.00 |" in page


def test_fresh_forgets_when_something_new_is_there(tmp_path: Path) -> None:
    Results(tmp_path).add("rows", ROW)
    fresh = Results(tmp_path, fresh=True)
    assert len(rows(tmp_path)) == 1
    fresh.add("rows", ROW | {"cell": "gru"})
    assert [each["cell"] for each in rows(tmp_path)] == ["gru"]


def test_merging_keeps_the_order() -> None:
    old = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}]
    assert merged(old, {"a": 1, "b": 2, "c": 3}, ("a", "b")) == [old[0], {"a": 1, "b": 2, "c": 3}, old[2]]
    assert merged(old, {"a": 2, "b": 2}, ("a", "b")) == [*old, {"a": 2, "b": 2}]
    assert merged([], {"a": 1}, ("a",)) == [{"a": 1}]


def test_results_of_another_machine_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Results(tmp_path).add("rows", ROW)
    there = room.machine()
    monkeypatch.setattr(room, "machine", lambda: there | {"cpu": "Another", "cores": 3})
    with pytest.raises(UserError, match=r"this is Another with 3; give another --out, or --fresh"):
        Results(tmp_path)
    Results(tmp_path, fresh=True).add("rows", ROW)
    assert json.loads((tmp_path / "bench.json").read_text())["machine"]["cpu"] == "Another"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": 3}', '{"rows": [], "memory": [], "codegen": []}'])
def test_a_file_that_is_no_benchmark(tmp_path: Path, text: str) -> None:
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(UserError, match="is no benchmark"):
        Results(tmp_path)
    assert (tmp_path / "bench.json").read_text() == text


def test_nothing_tells_whose_machine_it_is(tmp_path: Path) -> None:
    Results(tmp_path).add("rows", ROW)
    text = (tmp_path / "bench.json").read_text() + (tmp_path / "bench.md").read_text()
    for secret in (str(tmp_path), str(Path.home()), str(Path(torch.__file__).parents[1])):
        assert secret not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md"]


def test_where_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folder() == Path("bench")
    for folder in ("docs/results", "src/elman"):
        Path(folder).mkdir(parents=True)
    assert default_folder() == Path("docs/results")
