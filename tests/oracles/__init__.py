"""Every built-in cell once more, in NumPy float64, written from its paper with one loop a gate, and nothing of Elman's.

``ORACLES[name].run(weights, x, state, **options)`` takes weights by name, x (T, B, I) and a tuple of states (B, size);
it returns the outputs (T, B, ...) and the final states. ``VARIANTS`` are the options worth trying, of which the first
is the paper's. A cell with further inputs gets x as a tuple.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

ORACLES: dict[str, ModuleType] = {
    file.name.replace("_", ""): importlib.import_module(f"{__name__}.{file.name}")
    for file in pkgutil.iter_modules(__path__)
    if file.name != "common"
}
