"""Results on disk: ``bench.json``, into which new rows are merged, and ``bench.md`` made from it."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..engine.cpu.jit import host
from ..errors import UserError
from .report import markdown

KEYS = {
    "rows": ("cell", "shape", "kind", "dtype", "threads"),
    "memory": ("cell", "shape", "dtype", "threads"),
    "codegen": ("cell", "hidden", "dtype", "threads"),
}
"""The sections of the file, and what tells two records of a section apart."""

_PACKAGES = ("torch", "llvmlite", "numpy", "jax", "onnxruntime", "torchrecurrent")


class Results:
    """The results in a folder, written anew with every record so that an interrupted run loses nothing.

    Args:
        folder: where ``bench.json`` and ``bench.md`` are or will be; made where it is not there.
        fresh: forget what is there.

    Raises ``UserError`` for a file that is no benchmark, or that of another processor: times of two are not comparable.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self.json, self.markdown = folder / "bench.json", folder / "bench.md"
        self.data: dict[str, Any] = {"machine": machine(), **{section: [] for section in KEYS}}
        if not fresh and self.json.exists():
            self._read()

    def _read(self) -> None:
        try:
            known = json.loads(self.json.read_text(encoding="utf-8"))
            records = {section: list(known[section]) for section in KEYS}
            cpu, cores = known["machine"]["cpu"], known["machine"]["cores"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise UserError(f"{self.json} is no benchmark ({error}); give another --out, or --fresh") from error
        here = self.data["machine"]
        if (cpu, cores) != (here["cpu"], here["cores"]):
            raise UserError(
                f"{self.json} was measured on {cpu} with {cores} cores, this is {here['cpu']} with {here['cores']}; "
                "give another --out, or --fresh"
            )
        self.data |= records

    def add(self, section: str, record: dict[str, Any]) -> None:
        """Puts a record into its section, in place of the one with the same key, and writes both files."""
        record = record | {"versions": versions()}
        self.data[section] = merged(self.data[section], record, KEYS[section])
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.json, json.dumps(self.data, indent=1) + "\n")
        _replace(self.markdown, markdown(self.data))


def merged(records: Any, record: dict[str, Any], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """The records with this one, which replaces the one of the same keys.

    >>> merged([{"k": 1, "v": 1}, {"k": 2, "v": 2}], {"k": 1, "v": 3}, ("k",))
    [{'k': 1, 'v': 3}, {'k': 2, 'v': 2}]
    """

    def key(each: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(each[name] for name in keys)

    if all(key(each) != key(record) for each in records):
        return [*records, record]
    return [record if key(each) == key(record) else each for each in records]


def default_folder() -> Path:
    """``docs/results`` in the package's repository, elsewhere ``bench``."""
    is_repository = Path("src/elman").is_dir() and Path("docs/results").is_dir()
    return Path("docs/results") if is_repository else Path("bench")


def machine() -> dict[str, Any]:
    """What a reader must know of the machine; nothing that tells whose it is."""
    return {
        "cpu": _processor(),
        "architecture": host().cpu,
        "cores": os.cpu_count(),
        "vector bits": host().vector_bytes * 8,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The version of each package that takes part and is installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = torch.__version__ if package == "torch" else metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
