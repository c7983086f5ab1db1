"""No framework is imported for a bridge to it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import elman.bridge

FOLDER = Path(elman.bridge.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_bridge_imports_only_numpy_and_torch(path: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    assert not names & {"keras", "flax", "jax", "tensorflow", "haste_pytorch", "ml_dtypes"}
