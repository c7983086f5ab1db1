"""All checks by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import backends, copies, gradients, sequences, shapes_and_places, slow
from .subject import Subject

_THEMES = (shapes_and_places, gradients, backends, sequences, copies, slow)


@dataclass(frozen=True)
class Entry:
    """A check, which raises where it fails and otherwise returns what there is to know; its docstring is ``about``."""

    run: Callable[[Subject], str | None]
    slow: bool

    @property
    def about(self) -> str:
        return (self.run.__doc__ or "").strip()


CHECKS: dict[str, Entry] = {
    run.__name__.strip("_").replace("_", "-"): Entry(run, slow=theme is slow)
    for theme in _THEMES
    for run in theme.CHECKS
}
