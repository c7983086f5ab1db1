"""The cells, one file each: every file of this folder is imported, and each cell is a name of this package."""

from __future__ import annotations

import importlib
import pkgutil

from ..cell import Cell, cells

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")


def __getattr__(name: str) -> type[Cell]:
    cell = cells().get(name.lower())
    if cell is None or cell.__name__ != name or not cell.__module__.startswith(__name__):
        raise AttributeError(f"module {__name__!r} has no cell {name!r}; it has {', '.join(__dir__())}")
    return cell


def __dir__() -> list[str]:
    return [cell.__name__ for cell in cells().values() if cell.__module__.startswith(__name__)]
