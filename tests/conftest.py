"""What all tests share: a fixed seed, tolerances by dtype, and the data folder beside the checkout, if there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor

import elman
from elman.structure import State, leaves
from elman.training.files import save_figure

# For ``import oracles`` and ``import some_cells``: pytest's importlib mode adds no path itself.
sys.path.append(str(Path(__file__).parent))
collect_ignore = ["oracles", "some_cells.py"]

settings.register_profile("elman", deadline=None, max_examples=30, derandomize=True, database=None)
settings.load_profile("elman")

# Relative to the largest value for outputs and states, to the norm for gradients.
OUTPUT_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
GRADIENT_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}

Compare = Callable[[State, State], None]
"""``compare(actual, expected)`` over all tensors of two states; the expected ones may be NumPy arrays."""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A fresh cache of machine code for this run of the tests, one for all processes that share it."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELMAN_CACHE", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "elman-cache"))
        yield


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """``os.fsync`` takes only what it would take; no test cuts the power, and thousands of waits take a minute."""

    def fsync(handle: int) -> None:
        os.fstat(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.fixture(scope="session", autouse=True)
def _blank_curves() -> Iterator[None]:
    """Runs write an empty picture of their curves: drawing each takes longer than most of the training here.

    A test of the picture draws it itself, or puts ``draw_curves`` back.
    """

    class Blank:
        def savefig(self, file: IO[bytes], format: str) -> None:
            file.write(b"blank")

    def blank(records: Sequence[Any], path: Path, best_step: int | None = None) -> None:
        if records:
            save_figure(Blank(), path)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elman.training.loop.draw_curves", blank)
        yield


@pytest.fixture(scope="module")
def eager() -> Iterator[None]:
    """Layers run the eager loop: for tests of what stands around the recurrence, as compiling takes a second each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elman.layers.recurrent.scan", partial(elman.scan, backend="eager"))
        yield


@pytest.fixture
def close() -> Compare:
    """Equal within the tolerance of outputs and states."""

    def compare(actual: State, expected: State) -> None:
        for a, b in _pairs(actual, expected):
            error = (a - b).abs().max().item() if a.numel() else 0.0
            scale = b.abs().max().item() if b.numel() else 0.0
            assert error <= OUTPUT_TOLERANCE[a.dtype] * max(scale, 1e-3), f"error {error:.3g} at scale {scale:.3g}"

    return compare


@pytest.fixture
def close_gradients() -> Compare:
    """Equal within the tolerance of gradients."""

    def compare(actual: State, expected: State) -> None:
        for a, b in _pairs(actual, expected):
            error, scale = (a - b).norm().item(), b.norm().item()
            assert error <= GRADIENT_TOLERANCE[a.dtype] * max(scale, 1e-3), f"error {error:.3g} at norm {scale:.3g}"

    return compare


def _pairs(actual: State, expected: State) -> Iterable[tuple[Tensor, Tensor]]:
    ours = leaves(actual)
    theirs = [torch.as_tensor(each) for each in _flat(expected)]
    assert [tuple(a.shape) for a in ours] == [tuple(b.shape) for b in theirs]
    return [(a.detach(), b.detach().to(a.dtype)) for a, b in zip(ours, theirs, strict=True)]


def _flat(expected: State) -> list[Tensor | np.ndarray]:
    if isinstance(expected, Tensor | np.ndarray):
        return [expected]
    members = expected.values() if isinstance(expected, dict) else expected
    return [leaf for member in members for leaf in _flat(member)]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}")
    return folder
