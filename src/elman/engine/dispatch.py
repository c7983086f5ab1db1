"""Which backend runs a scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UserError, nearest
from . import eager

_BACKENDS: dict[str, Callable[..., Any]] = {"eager": eager.run}


def runner_for(backend: str) -> Callable[..., Any]:
    """The function that runs the loop for a backend name; "auto" takes the fastest there is, today the eager loop.

    Raises ``UserError`` for an unknown name.

    >>> runner_for("auto").__module__
    'elman.engine.eager'
    """
    name = "eager" if backend == "auto" else backend
    if name not in _BACKENDS:
        raise UserError(f"unknown backend {backend!r}; {nearest(backend, ('auto', *_BACKENDS))}")
    return _BACKENDS[name]
