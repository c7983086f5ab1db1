"""Files written whole or not at all, and a full or read-only disk said in one sentence."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def writing(path: Path, advice: str = "free some space or choose another folder") -> Iterator[None]:
    """Turn what the system says when ``path`` cannot be written into a UserError.

    >>> with writing(Path("run/last"), "free some space"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: cannot write run/last: No space left on device; free some space
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; {advice}") from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder; where folders cannot be opened (Windows), nothing."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file at once: whenever the run is killed, the file has the old or the new content, never a mixture.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "last"
    >>> replace_file(path, b"step-00000100")
    >>> path.read_text()
    'step-00000100'
    """
    fresh = path.with_name(f".tmp-{path.name}")
    write_synced(fresh, data)
    os.replace(fresh, path)
    sync_folder(path.parent)


def save_figure(figure: Figure, path: Path) -> None:
    """Draws a figure to a PNG file, whole or not at all, in a folder that is made where it is missing.

    Raises ``UserError`` where it cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        replace_file(path, picture.getvalue())
