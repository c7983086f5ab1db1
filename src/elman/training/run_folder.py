"""The folder of one run: settings, tokenizer, metrics, picture, and its checkpoints with ``last`` and ``best``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import UserError
from .checkpoint import TEMPORARY, checkpoint_name, checkpoint_step, write_checkpoint
from .files import replace_file, writing


class RunFolder:
    """Paths and pointers of a run; making the object touches nothing on disk.

    Layout: ``settings.json tokenizer.json metrics.jsonl curves.png checkpoints/{step-00001200/..., last, best}``.

    >>> import tempfile
    >>> run = RunFolder(Path(tempfile.mkdtemp()) / "run")
    >>> run.save_settings({"cell": "lstm"})
    >>> run.load_settings(), run.steps()
    ({'cell': 'lstm'}, [])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.settings = self.path / "settings.json"
        self.tokenizer = self.path / "tokenizer.json"
        self.metrics = self.path / "metrics.jsonl"
        self.curves = self.path / "curves.png"
        self.checkpoints = self.path / "checkpoints"

    def create(self) -> None:
        """Make the folder where it is missing.

        Raises:
            UserError: it cannot be made or written.
        """
        with writing(self.path, "choose a folder you may write to"):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".tmp-probe"
            probe.write_bytes(b"")
            probe.unlink()

    def save_settings(self, settings: dict[str, Any]) -> None:
        """Write ``settings.json`` (plain values), making the folder where needed."""
        self.create()
        with writing(self.settings):
            replace_file(self.settings, (json.dumps(settings, indent=1) + "\n").encode())

    def load_settings(self) -> dict[str, Any]:
        """Read ``settings.json``.

        Raises:
            UserError: no such run, or the file is not a JSON object.
        """
        try:
            settings = json.loads(self.settings.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{self.path} is not a run folder: it holds no settings.json; give the folder of a run"
            ) from None
        except OSError as error:
            raise UserError(f"cannot read {self.settings}: {error.strerror}; give the folder of a run") from error
        except ValueError as error:
            raise UserError(f"{self.settings} is not valid JSON ({error}); restore the file or train again") from error
        if not isinstance(settings, dict):
            raise UserError(f"{self.settings} holds no JSON object; restore the file or train again")
        return settings

    def steps(self) -> list[int]:
        """The steps of the checkpoints on disk, ascending."""
        if not self.checkpoints.is_dir():
            return []
        found = (checkpoint_step(entry.name) for entry in self.checkpoints.iterdir() if entry.is_dir())
        return sorted(step for step in found if step is not None)

    def checkpoint(self, which: str = "last") -> Path:
        """The folder of a checkpoint: ``"last"``, ``"best"`` (``"last"`` before any evaluation), a step or its name.

        Raises:
            UserError: the run has no such checkpoint.
        """
        steps = self.steps()
        if not steps:
            raise UserError(f"{self.path} holds no checkpoint yet; train first, or check the folder's name")
        if which in ("last", "best"):
            name = self._pointer(which) or self._pointer("last") or checkpoint_name(steps[-1])
        else:
            name = checkpoint_name(int(which)) if which.isdecimal() else which
        path = self.checkpoints / name
        if not path.is_dir():
            have = ", ".join(checkpoint_name(step) for step in steps)
            raise UserError(f"{self.path} has no checkpoint {name}; it has {have}")
        return path

    def save(
        self,
        step: int,
        model: dict[str, Tensor],
        train: dict[str, Tensor],
        facts: dict[str, Any],
        *,
        best: int | None,
        keep: int,
    ) -> Path:
        """Write the checkpoint of ``step``, point ``last`` to it and ``best`` to step ``best``, then prune.

        The ``keep`` newest checkpoints and the best stay.

        Raises:
            UserError: the disk is full or cannot be written; the checkpoints before it are untouched.
        """
        path = self.checkpoints / checkpoint_name(step)
        with writing(path, self._advice()):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            write_checkpoint(path, model, train, facts)
            replace_file(self.checkpoints / "last", path.name.encode() + b"\n")
            self.point_best(best)
            self._prune(step, best, keep)
        return path

    def point_best(self, step: int | None) -> None:
        """Let ``best`` name the checkpoint of ``step``; None takes the file away."""
        if step is None:
            (self.checkpoints / "best").unlink(missing_ok=True)
        elif self._pointer("best") != checkpoint_name(step):
            replace_file(self.checkpoints / "best", checkpoint_name(step).encode() + b"\n")

    def _advice(self) -> str:
        name = self._pointer("last")
        kept = f"the checkpoint {name} is intact, " if name else ""
        return f"{kept}free some space or choose another folder, then go on with --resume"

    def _pointer(self, name: str) -> str | None:
        try:
            target = (self.checkpoints / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return target if checkpoint_step(target) is not None else None

    def _prune(self, step: int, best: int | None, keep: int) -> None:
        # Steps after this one are left from before a resume from an earlier checkpoint: no longer this run.
        past = [other for other in self.steps() if other <= step]
        for other in self.steps():
            if other not in past[-keep:] and other != best:
                path = self.checkpoints / checkpoint_name(other)
                shutil.rmtree(path.rename(path.with_name(f"{TEMPORARY}old-{path.name}")), ignore_errors=True)
        for leftover in self.checkpoints.glob(f"{TEMPORARY}*"):
            shutil.rmtree(leftover, ignore_errors=True)
