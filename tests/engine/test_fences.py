"""Nothing is read or written outside of the kernel's buffers, nor read before it is written; see ``fences.py``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.engine.cpu import amx, ways
from elman.engine.cpu.jit import host

FENCES = Path(__file__).with_name("fences.py")
CELLS = ["rnn", "rnn relu", "lstm", "lstm softsign", "gru", "gru without bias", "gru reset before", "peephole"]
CELLS += ["coupled", "scrn", "own"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pages are protected by mprotect")


def between_fences(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FENCES), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize("where", ["read behind", "read before"])
def test_a_forbidden_read_ends_the_process(where: str) -> None:
    assert between_fences(where).returncode < 0


def test_a_write_beside_an_output_is_found() -> None:
    spec = importlib.util.spec_from_file_location("fences", FENCES)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    fences = module.Fences(at_end=True)
    wide = torch.zeros(2, 3, 8)

    def kernel(plan: Any, time: int, whole: Any, stepped: Any, stacks: Any, outputs: list[Tensor], **_: Any) -> None:
        outputs[0].fill_(time)
        if plan == "beside":
            outputs[0].as_strided((1,), (1,), 4).fill_(1)

    run = module.between(fences, kernel)
    run("inside", 7, {}, {0: wide}, [], [wide[..., :4]], resets=None, reset_states=None)
    assert (wide[..., :4] == 7).all() and not wide[..., 4:].any()
    with pytest.raises(AssertionError, match="beside"):
        run("beside", 7, {}, {0: wide}, [], [wide[..., :4]], resets=None, reset_states=None)
    assert fences.empty((3,), torch.float64).isnan().all()


def check(*arguments: str) -> None:
    done = between_fences(*arguments)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert len(done.stdout.splitlines()) >= 5


@pytest.mark.slow
def test_some_cells() -> None:
    check("cells", "2", "7", "--", "gru reset before")


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_at_odd_sizes(name: str, threads: str) -> None:
    check("cells", threads, "1", "7", "63", "65", "--", name)


@pytest.mark.slow
@pytest.mark.parametrize("way", ways.WAYS)
def test_bfloat16(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "amx" and host().vector_bytes != amx.ROW_BYTES:
        pytest.skip("vectors are narrower than a tile's rows")
    monkeypatch.setenv("ELMAN_BF16", way)
    check("bf16", "2", "7", "65", "--", "lstm", "own")


@pytest.mark.slow
def test_random_cells() -> None:
    check("random", "100")
