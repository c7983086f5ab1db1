"""The peers by name: which there are, what they need, and which of them are here."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError, nearest
from .cases import Case
from .compile_peer import CompiledLoop
from .peers import Ours, OurStream, Peer


@dataclass(frozen=True)
class Entry:
    """Where a peer's classes are, one a group of kinds, and the optional packages they need."""

    module: str
    classes: tuple[str, ...]
    packages: tuple[str, ...] = ()


PEERS = {
    "torch": Entry("peers", ("TorchModule", "TorchModuleSteps")),
    "torch-float32": Entry("peers", ("TorchModuleFloat32",)),
    "torch-cell": Entry("peers", ("TorchCell",)),
    "eager": Entry("peers", ("Eager",)),
    "compile": Entry("compile_peer", ("CompiledLoop",)),
    "jax": Entry("jax_peer", ("JaxScan",), ("jax",)),
    "torchrecurrent": Entry("peers", ("TorchRecurrent",), ("torchrecurrent",)),
    "onnxruntime": Entry("onnx_peer", ("OnnxRuntime",), ("onnx", "onnxruntime")),
}
OURS: list[type[Peer]] = [Ours, OurStream]

Roster = dict[str, list[type[Peer]]]
"""Classes by the peer's name; those of one name share the kinds of cases among them."""


def chosen(
    names: tuple[str, ...], cases: Sequence[Case], *, compile_limit: float | None = None
) -> tuple[Roster, list[str]]:
    """The peers of these names, or all, that have something for a case; and a line about each that is not installed.

    ``torch.compile`` is there if it is named or has a limit, in seconds. Imports the optional packages, JAX with as
    many threads as the cases. Raises ``UserError`` for an unknown name and for one asked for that is not installed.
    """
    for name in names:
        if name not in PEERS:
            raise UserError(f"unknown peer {name!r}; {nearest(name, PEERS)}")
    wanted = dict.fromkeys(names or [name for name in PEERS if name != "compile"])
    if compile_limit is not None:
        wanted["compile"] = None
    roster: Roster = {}
    notes = []
    for name in wanted:
        lacking = [package for package in PEERS[name].packages if importlib.util.find_spec(package) is None]
        if lacking:
            what = f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not installed"
            if name in names:
                raise UserError(f"{what}, so there is no peer {name!r}; pip install 'elman[bench]', or leave it out")
            notes.append(f"{name} left out: {what} (pip install 'elman[bench]')")
            continue
        classes = _classes(PEERS[name], max(case.threads for case in cases))
        if any(of_case(classes, case) for case in cases):
            roster[name] = classes
    if compile_limit is not None:
        CompiledLoop.limit = compile_limit
    return roster, notes


def of_case(classes: list[type[Peer]], case: Case) -> type[Peer] | None:
    """The class that has something for this case, if there is one."""
    return next((each for each in classes if not each.refuses(case)), None)


def _classes(entry: Entry, threads: int) -> list[type[Peer]]:
    if "jax" in entry.packages:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        os.environ["NPROC"] = str(threads)  # read once, when JAX starts; it has no other way to be told
    module = importlib.import_module(f".{entry.module}", __package__)
    return [getattr(module, name) for name in entry.classes]
