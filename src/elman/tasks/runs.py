"""What the run folders of all jobs share: their names, their settings, the job they are of, and where they compute."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..errors import UserError
from ..training import RunFolder, Workers
from .estimator import options_of, settings_from

T = TypeVar("T")


def new_run_folder(name: str, workers: Workers | None = None) -> Path:
    """The first folder runs/NAME-N that does not exist, the same for all ``workers``."""
    number = next(n for n in itertools.count(1) if not Path("runs", f"{name}-{n}").exists())
    return Path("runs", f"{name}-{int((workers or Workers()).from_first([number])[0])}")


def write_settings(folder: RunFolder, task: str, settings: Any, cells: Sequence[str]) -> None:
    """Opens a run: its task, its options and a digest of every file a cell comes from, in ``settings.json``.

    Raises ``UserError`` where the folder holds a run already.
    """
    if folder.steps():
        raise UserError(
            f"{folder.path} holds a run already; go on with --resume {folder.path}, or choose another folder with --run"
        )
    files = [cell.rpartition(":")[0] for cell in cells if ".py:" in cell]
    stored = {"task": task, **options_of(settings)}
    folder.save_settings(stored | {"cell_files": {f: _sha256(Path(f)) for f in files}} if files else stored)


def read_settings(run: RunFolder, task: str, kind: type[T], wanted: str) -> T:
    """The settings a run was trained with; warns where a cell's own file has changed since.

    Raises ``UserError`` where there is no run of this ``task`` (``wanted`` says in words what was expected), or the
    file of its cell is gone.
    """
    stored = run.load_settings()
    found = stored.pop("task", None)
    if found != task:
        raise UserError(f"{run.path} is a run of the task {found!r}; expected {wanted}")
    for path, digest in stored.pop("cell_files", {}).items():
        if not Path(path).is_file():
            raise UserError(f"{run.path} was trained with a cell of {path}, which is not here; put that file back")
        if _sha256(Path(path)) != digest:
            warnings.warn(f"{path} has changed since {run.path} was trained", stacklevel=2)
    return settings_from(kind, as_tuples(stored), str(run.settings))


def device_named(name: str) -> str:
    """The device an option names: cpu, cuda, or for auto cuda where there is one; raises ``UserError`` for others.

    >>> device_named("cpu")
    'cpu'
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device={name!r}, but PyTorch finds no GPU here; use device='cpu'")
    if name != "cpu" and not name.startswith("cuda"):
        raise UserError(f"device={name!r}; expected 'auto', 'cpu' or 'cuda'")
    return name


def cell_names(cells: Sequence[str], between: str) -> str:
    """The names of a net's cells without their files.

    >>> cell_names(("gru", "own.py:MyCell"), " + ")
    'gru + MyCell'
    """
    return between.join(cell.rpartition(":")[2] for cell in cells)


def as_tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's and TOML's lists as the tuples they stand for."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
