"""Where fetched and prepared data are kept between runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError


def cache_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """The folder for fetched and prepared data.

    ``cache`` if given, else ``$ELMAN_CACHE``, ``$XDG_CACHE_HOME/elman``, ``~/.cache/elman``, whichever is set first.

    >>> cache_folder("elsewhere").name
    'elsewhere'
    """
    if cache is not None:
        return Path(cache).expanduser()
    if own := os.environ.get("ELMAN_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "elman"


@contextmanager
def folder_written_whole(target: Path, replace: bool = True) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes when it does not.

    Readers see a whole folder or none, never half of one. With ``replace=False`` a folder that another process has put
    there meanwhile stays, so that whoever already reads it is not disturbed. A disk that cannot be written is a
    `UserError`.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield temporary
        for file in temporary.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if replace and target.exists():
            _swap(temporary, target)
        else:
            _move(temporary, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(new: Path, target: Path) -> None:
    try:
        new.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _swap(new: Path, target: Path) -> None:
    """Put ``new`` in the place of the full folder ``target``, which a rename alone cannot overwrite."""
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent)) / "old"
    target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise
    finally:
        shutil.rmtree(aside.parent)


def _unwritable(target: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(f"cannot write '{target}' ({reason}); free some room or set ELMAN_CACHE to a folder you can write")


def file_written_whole(target: Path, content: bytes) -> None:
    """Write ``content`` beside ``target``, sync it, and put it in its place in one step; `UserError` if that fails."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UserError(
            f"cannot write '{target}' ({error.strerror}); free some room or choose a folder you can write"
        ) from error
