"""Drawings: well-formed, complete, nothing on top of each other, every wire ends at a box; the same every time."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from diagnostics.test_equations import BUILT_IN, Brackets, Branches
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.cell import Cell
from elman.diagnostics import layers, svg, unrolled, wiring
from elman.errors import UserError

_SVG = "{http://www.w3.org/2000/svg}"
Area = tuple[float, float, float, float]


def drawn(cell: Cell, folder: Path) -> ElementTree.Element:
    path = folder / "cell.svg"
    wiring(cell, path)
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def words(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{_SVG}text")]


def areas(root: ElementTree.Element) -> list[Area]:
    """Left, top, right, bottom of boxes and circles."""
    found = []
    for each in root.iter(f"{_SVG}rect"):
        if each.get("class"):
            x, y, width, height = (float(each.get(name, "")) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    for each in root.iter(f"{_SVG}circle"):
        if each.get("class") == "pointwise":
            x, y, r = (float(each.get(name, "")) for name in ("cx", "cy", "r"))
            found.append((x - r, y - r, x + r, y + r))
    return found


def heads(root: ElementTree.Element) -> list[tuple[float, float]]:
    paths = [each for each in root.iter(f"{_SVG}path") if (each.get("class") or "").startswith("head")]
    return [tuple(map(float, re.findall(r"[\d.]+", each.get("d", ""))[:2])) for each in paths]  # type: ignore[misc]


def check_places(root: ElementTree.Element) -> None:
    boxes = areas(root)
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(boxes, 2):
        assert c <= e or g <= a or d <= f or h <= b, "two boxes overlap"
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    assert all(a >= 0 and b >= 0 and c <= width and d <= height for a, b, c, d in boxes)
    for x, y in heads(root):
        # A circle's edge is behind that of its square, off the middle.
        assert any(a - 0.1 <= x <= a + 6 and b - 0.1 <= y <= d + 0.1 for a, b, c, d in boxes), f"no box at {x}, {y}"


def check_words(root: ElementTree.Element, cell: Cell) -> None:
    said = words(root)
    assert {*cell.states, *(f"{state}'" for state in cell.states)} <= {*said}
    for gate in cell.gates if len(cell.gates) > 1 else ():
        assert any(re.search(rf"(\b|_){gate}\b", each) for each in said), f"no gate {gate}"


def test_the_lstm_is_drawn_as_in_a_textbook(tmp_path: Path) -> None:
    root = drawn(BUILT_IN["lstm"](3, 4), tmp_path)
    said = words(root)
    assert sorted(said) == sorted(
        ["c", "h", "x", "h'", "c'", "i", "f", "g", "o"]  # ends, and names at wires
        + [f"W_{gate} x + U_{gate} h + b_{gate}" for gate in "ifgo"]
        + ["sigmoid"] * 3
        + ["tanh"] * 2
        + ["\u00d7"] * 3
        + ["+"]
    )
    # x and h into four products, these into functions, those, c and each other into four circles, tanh, and two ends.
    assert len(heads(root)) == 8 + 4 + 8 + 1 + 2
    check_places(root)
    ends = {each.text: float(each.get("x", "")) for each in root.iter(f"{_SVG}text") if each.get("class") == "end"}
    assert max(ends[name] for name in "xhc") < min(ends["h'"], ends["c'"])


@pytest.mark.parametrize("name", ["gru", "slstm", "nascell", "phasedlstm"])
def test_states_and_gates_are_named_and_nothing_overlaps(name: str, tmp_path: Path) -> None:
    cell = BUILT_IN[name](3, 4)
    root = drawn(cell, tmp_path)
    check_places(root)
    check_words(root, cell)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_so_for_every_cell(name: str, tmp_path: Path) -> None:
    test_states_and_gates_are_named_and_nothing_overlaps(name, tmp_path)


def test_any_step_can_be_drawn(tmp_path: Path) -> None:
    cell = Brackets(3, 4)
    root = drawn(cell, tmp_path)
    check_places(root)
    check_words(root, cell)
    assert {"where", "if", "then", "else", "÷", "clamp(·, -1.5, 2.0)", "[1:5]", "- 1"} <= {*words(root)}


def test_a_drawing_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        wiring(BUILT_IN["mgu"](3, 4), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_what_cannot_be_drawn_or_written_is_said(tmp_path: Path) -> None:
    cell = BUILT_IN["rnn"](3, 4)
    with pytest.raises(UserError, match=r"Branches cannot be drawn: .*depends on the value"):
        wiring(Branches(3, 3), tmp_path / "cell.svg")
    with pytest.raises(UserError, match=r"ends in \.svg"):
        wiring(cell, tmp_path / "cell.png")
    with pytest.raises(UserError, match="cannot be written"):
        wiring(cell, tmp_path / "nowhere" / "cell.svg")
    with pytest.raises(UserError, match="layers=0"):
        unrolled(cell, tmp_path / "net.svg", layers=0)


@pytest.mark.parametrize(("stacked", "both_ways"), [(1, False), (3, False), (1, True), (2, True)])
def test_an_unrolled_network_has_a_cell_a_step_and_row(stacked: int, both_ways: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.svg"
    unrolled(BUILT_IN["lstm"](3, 4), path, steps=4, layers=stacked, bidirectional=both_ways)
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    rows = stacked * (1 + both_ways)
    said = words(root)
    assert said.count("LSTM") == 4 * rows
    assert [each for each in said if each.startswith("x_")] == ["x_t", "x_{t+1}", "x_{t+2}", "x_{t+3}"]
    assert {"h_t", "h_{t+3}"} <= {*said}
    # Into each cell from below and from the side; out of each row, and out of the last layer at each step.
    assert len(heads(root)) == 8 * rows + rows + 4
    boxes = areas(root)
    assert not any(
        a < g and e < c and b < h and f < d for (a, b, c, d), (e, f, g, h) in itertools.combinations(boxes, 2)
    )


def test_a_state_has_the_name_of_the_step_it_comes_from(tmp_path: Path) -> None:
    unrolled(BUILT_IN["rnn"](3, 4), tmp_path / "net.svg")
    root = ElementTree.fromstring((tmp_path / "net.svg").read_text(encoding="utf-8"))
    at = sorted(
        (float(each.get("x", "")), each.text or "") for each in root.iter(f"{_SVG}text") if not each.get("class")
    )
    states = [name for _, name in at if name.startswith("h_")]
    assert states == ["h_{t-1}", "h_t", "h_{t+1}", "h_{t+2}"]


@st.composite
def _nets(draw: st.DrawFn) -> list[layers.Box]:
    boxes = [layers.Box(f"in{k}", "end") for k in range(draw(st.integers(1, 3)))]
    for k in range(draw(st.integers(1, 14))):
        sources = draw(st.lists(st.sampled_from(boxes), min_size=1, max_size=3, unique=True))
        kind = draw(st.sampled_from(["pointwise", "function", "product"]))
        boxes.append(layers.Box(f"{k}" * draw(st.integers(1, 9)), kind, [(each, "") for each in sources]))
    ends = draw(st.lists(st.sampled_from(boxes), min_size=1, max_size=3, unique=True))
    return [*boxes, *(layers.Box(f"out{k}", "end", [(each, "")]) for k, each in enumerate(ends))]


@settings(max_examples=15)
@given(_nets())
def test_any_net_has_its_boxes_apart_and_its_wires_in_order(boxes: list[layers.Box]) -> None:
    root = ElementTree.fromstring(layers.draw(boxes, "net"))
    check_places(root)
    assert len(areas(root)) == len(boxes)
    assert len(heads(root)) == sum(len(box.inputs) for box in boxes)


def test_words_are_escaped() -> None:
    root = ElementTree.fromstring(svg.drawing(9, 9, "a < b", [svg.text(1, 1, 'c\' < d & "e"')]))
    assert words(root) == ['c\' < d & "e"'] and root.find(f"{_SVG}title").text == "a < b"  # type: ignore[union-attr]
