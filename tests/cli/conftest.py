"""Commands called in this process, in a folder of the test's own with a text in it, and a run to speak of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from elman import LanguageModel
from elman.cli import main

TEXT = "the fox saw the moon, and the moon saw the goose.\nthe goose lost a bell; the king found it.\n" * 12


class Said(NamedTuple):
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture(scope="session")
def code() -> Path:
    """The folder of machine code that all tests share."""
    shared = Path(os.environ["ELMAN_CACHE"], "code")
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    return shared


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: Path) -> Path:
    """An empty folder to work in, with a text; prepared data are its own, machine code is shared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (cache := tmp_path / "cache").mkdir()
    (cache / "code").symlink_to(code, target_is_directory=True)
    monkeypatch.setenv("ELMAN_CACHE", str(cache))
    monkeypatch.delenv("RANK", raising=False)
    Path("text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """``call("train", "lm", ...)`` in this process."""

    def run(*words: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:  # --help
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """Calls a command that must fail by one sentence on standard error and exit code 2; returns the sentence."""

    def run(*words: object) -> str:
        said = call(*words)
        assert said.code == 2, said
        assert said.err.startswith("elman: "), said
        assert said.err.count("\n") == 1 and said.err.endswith("\n"), said
        assert "Traceback" not in said.out + said.err
        return said.err.removeprefix("elman: ").rstrip("\n")

    return run


@pytest.fixture(scope="session")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four steps; tests copy it."""
    place = tmp_path_factory.mktemp("shared")
    (place / "text.txt").write_text(TEXT)
    model = LanguageModel(
        hidden_size=8, embedding_size=4, batch_size=2, unroll=10, threads=1, steps=4, evaluate_every=2
    )
    return model.fit(place / "text.txt", run=place / "run", quiet=True).run.path


@pytest.fixture
def run(a_run: Path, folder: Path) -> Path:
    """A copy of that run at ``run``."""
    shutil.copytree(a_run, folder / "run")
    return Path("run")
