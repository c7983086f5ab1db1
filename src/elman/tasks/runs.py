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

DIGEST = "data_digest"  # of what a run was trained on, in settings.json or learned.json
BUDGET = ("epochs", "steps", "minutes")
# What may differ when a run goes on; everything else decides what its weights mean, or what bit for bit means.
CHANGEABLE = (*BUDGET, "evaluate_every", "patience", "checkpoint_every", "keep", "device", "threads")


def new_run_folder(name: str, workers: Workers | None = None) -> Path:
    """The first folder runs/NAME-N that does not exist, the same for all ``workers``."""
    number = next(n for n in itertools.count(1) if not Path("runs", f"{name}-{n}").exists())
    return Path("runs", f"{name}-{int((workers or Workers()).from_first([number])[0])}")


def write_settings(folder: RunFolder, task: str, settings: Any, cells: Sequence[str], **facts: Any) -> None:
    """Opens a run: its task, options, ``facts`` and a digest of every file a cell comes from, in ``settings.json``.

    Raises ``UserError`` where the folder holds a run already.
    """
    if folder.steps():
        raise UserError(
            f"{folder.path} holds a run already; go on with --resume {folder.path}, or choose another folder with --run"
        )
    files = [cell.rpartition(":")[0] for cell in cells if ".py:" in cell]
    stored = {"task": task, **facts, **options_of(settings)}
    folder.save_settings(stored | {"cell_files": {f: _sha256(Path(f)) for f in files}} if files else stored)


def read_settings(run: RunFolder, task: str, kind: type[T], wanted: str) -> T:
    """The settings a run was trained with; warns where a cell's own file has changed since.

    Raises ``UserError`` where there is no run of this ``task`` (``wanted`` says in words what was expected), or the
    file of its cell is gone.
    """
    stored = run.load_settings()
    found = stored.pop("task", None)
    stored.pop(DIGEST, None)
    if found != task:
        raise UserError(f"{run.path} is a run of the task {found!r}; expected {wanted}")
    for path, digest in stored.pop("cell_files", {}).items():
        if not Path(path).is_file():
            raise UserError(f"{run.path} was trained with a cell of {path}, which is not here; put that file back")
        if _sha256(Path(path)) != digest:
            warnings.warn(f"{path} has changed since {run.path} was trained", stacklevel=2)
    return settings_from(kind, as_tuples(stored), str(run.settings))


def check_resumable(folder: RunFolder, stored: Any, now: Any) -> None:
    """Raises ``UserError`` where the settings ``now`` are not those the folder's run was trained with.

    What is in ``CHANGEABLE`` may differ.
    """
    before = options_of(stored)
    for name, value in options_of(now).items():
        if value != before[name] and name not in CHANGEABLE:
            raise UserError(
                f"{folder.path} was trained with {name}={before[name]!r}; a resumed run cannot change it to {value!r} "
                f"(only {', '.join(CHANGEABLE)})"
            )


def digest_of(paths: Sequence[str]) -> str:
    """SHA-256 of what files and folders hold, names of a folder's files included; what is not there is left out.

    Of a folder its files count and those of the folders in it, hidden ones aside: run folders lie deeper.
    """
    digest = hashlib.sha256()
    for path in map(Path, paths):
        within = sorted([*path.glob("[!.]*"), *path.glob("[!.]*/[!.]*")]) if path.is_dir() else [path]
        for file in filter(Path.is_file, within):
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as opened:
                while piece := opened.read(1 << 20):
                    digest.update(piece)
    return digest.hexdigest()


def device_at_hand(name: str) -> str:
    """``device_named``, but the CPU for a GPU that is not here: what was trained on one can be used without."""
    return "cpu" if name.startswith("cuda") and not torch.cuda.is_available() else device_named(name)


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
