"""Rooms know only the rooms below them: the direction of DESIGN section 3, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import elman
from elman.tasks.registry import JOBS

PACKAGE = Path(elman.__file__).parent
LEVELS = [
    ["errors", "structure"],
    ["activations", "initialisation", "linear_recurrence"],
    ["cell"],
    ["cells", "engine"],
    ["layers"],
    ["nn", "tbptt", "models", "bridge", "compat", "reference", "testing"],
    ["streaming"],
    ["training", "generation"],
    ["diagnostics"],
    ["tasks", "bench"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: k for k, rooms in enumerate(LEVELS) for room in rooms}
ALONE = {"data"}  # knows errors only, and every room from training up may know it
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms a file imports, wherever in the file; imports for type checking alone do not count."""
    folder = ["elman", *path.relative_to(PACKAGE).parent.parts]
    names: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            names |= {".".join([*base, alias.name]) for alias in node.names}
        pending += ast.iter_child_nodes(node)
    return {f"{name}.elman".split(".")[1] for name in names if name.split(".")[0] == "elman"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_downward_only(path: Path) -> None:
    room = room_of(path)
    assert room in LEVEL or room in ALONE, f"give the new room {room!r} its level in {Path(__file__).name}"
    for other in imported_rooms(path) - {room}:
        if room in ALONE:
            allowed = other == "errors"
        elif other in ALONE:
            allowed = LEVEL[room] >= LEVEL["training"]
        else:
            allowed = LEVEL.get(other, len(LEVELS)) < LEVEL[room]
        assert allowed, f"{room} imports {other}, which does not stand below it"


def test_the_rule_sees_what_it_should() -> None:
    layer = PACKAGE / "layers" / "recurrent.py"
    assert {"cell", "engine", "errors", "initialisation", "structure"} == imported_rooms(layer) - {"layers"}
    assert "cell" not in imported_rooms(PACKAGE / "initialisation.py")  # for type checking only
    assert imported_rooms(PACKAGE / "nn.py") >= {"cells", "layers"}


def test_importing_elman_leaves_out_what_only_jobs_need() -> None:
    seen = "import sys, elman; print({name.split('.')[0] for name in sys.modules}, 'elman.tasks' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True).stdout
    assert "False" in printed and not any(name in printed for name in ("'PIL'", "'matplotlib'", "'rich'", "'sympy'"))


def test_jobs_and_rooms_are_there_when_asked_for() -> None:
    for job in JOBS.values():
        assert getattr(elman, job.estimator) is job.load() and job.estimator in dir(elman)
    assert elman.data.__name__ == "elman.data" and "data" in dir(elman)
    with pytest.raises(AttributeError, match="module 'elman' has no attribute 'Clasifier'"):
        _ = elman.Clasifier  # type: ignore[attr-defined]
