"""What the pages show is what their code prints now."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elman.cell import _REGISTRY

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page.name for page in DOCS.glob("*.md") if "```python" in page.read_text(encoding="utf-8"))
ALONE = {"engine.md"}  # it teaches the engine an operator


def refresh(page: Path) -> None:
    """As users do it, in a process of its own."""
    command = [sys.executable, str(DOCS / "refresh.py"), str(page)]
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent / "src")}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr


@pytest.fixture
def _registry_as_it_was() -> Iterator[None]:
    before = dict(_REGISTRY)
    yield
    _REGISTRY.clear()
    _REGISTRY.update(before)


@pytest.mark.usefixtures("_registry_as_it_was")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_its_code_prints_it(name: str, tmp_path: Path) -> None:
    committed = (DOCS / name).read_text(encoding="utf-8")
    if name in ALONE:
        (page := tmp_path / name).write_text(committed, encoding="utf-8")
        refresh(page)
        made = page.read_text(encoding="utf-8")
    else:
        made = runpy.run_path(str(DOCS / "refresh.py"))["refreshed"](committed)
    assert made == committed, f"python docs/refresh.py docs/{name} brings the page up to date"


def test_output_is_written_kept_and_removed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    before = "Prose.\n\n```python\n{}\n```\n\n```text\n{}\n```\n\nMore.\n"
    for code, old, new in (
        ("print(1 + 1)", "3", "2"),
        ("print('compiled in 0.12 s')", "compiled in 0.34 s", "compiled in 0.34 s"),
        ("print('plan in 0.12 s, x')", "plan in 0.34 s, y", "plan in 0.12 s, x"),
    ):
        page.write_text(before.format(code, old))
        refresh(page)
        assert page.read_text() == before.format(code, new)
    page.write_text(before.format("x = 1", "3"))
    refresh(page)
    assert page.read_text() == "Prose.\n\n```python\nx = 1\n```\n\nMore.\n"
    page.write_text("```python\nx = 1\n```\n```python\n# own.py\nprint(x, len.__name__)\n1 / 0\n```\n")
    with pytest.raises(AssertionError, match=r'File "own\.py", line 3'):
        refresh(page)


def test_the_engine_has_its_page() -> None:
    assert "engine.md" in PAGES
