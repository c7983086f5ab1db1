"""``metrics.jsonl``, one JSON object a line for every evaluation, and the same for TensorBoard where installed."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path
from typing import Any

from ..errors import UserError
from .files import replace_file, writing

Record = dict[str, Any]


def read_metrics(path: Path) -> list[Record]:
    """The lines of a metrics file; a last line cut short by a kill is left out, no file is no lines.

    Raises:
        UserError: any other line is not a JSON object with a step.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
    >>> _ = path.write_text('{"step": 1}\\n{"step": 2}\\n{"st')
    >>> read_metrics(path)
    [{'step': 1}, {'step': 2}]
    """
    if not path.exists():
        return []
    with writing(path, "check its permissions"):
        lines = path.read_bytes().splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            record["step"] + 0
        except (ValueError, TypeError, KeyError, IndexError) as error:
            if number == len(lines):
                break
            raise UserError(
                f"{path} line {number} is not a metrics line ({error}); mend it or move the file away"
            ) from error
        records.append(record)
    return records


class MetricsLog:
    """The metrics of a run; opening it drops the lines after ``step``, which a resumed run makes again.

    >>> import tempfile
    >>> log = MetricsLog(Path(tempfile.mkdtemp()), step=0)
    >>> log.append({"step": 10, "valid_loss": 1.5})
    >>> log.records
    [{'step': 10, 'valid_loss': 1.5}]
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        found = read_metrics(self.path)
        self.records = [record for record in found if record["step"] <= step]
        with writing(self.path):
            replace_file(self.path, b"".join(map(_line, self.records)))
        self._board = None
        if importlib.util.find_spec("tensorboard"):
            # Imported only here: it takes seconds, and most installations have none.
            from torch.utils.tensorboard import SummaryWriter

            with writing(folder / "tensorboard"):
                self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def append(self, record: Record) -> None:
        """Add a line and wait until the disk has it; values that are not finite become null."""
        clean = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in record.items()}
        self.records.append(clean)
        with writing(self.path), open(self.path, "ab") as file:
            file.write(_line(clean))
            file.flush()
            os.fsync(file.fileno())
        if self._board:
            for name, value in clean.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name.replace("_", "/", 1), value, clean["step"])
            self._board.flush()

    def close(self) -> None:
        """Close what is open."""
        if self._board:
            self._board.close()


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"
