"""Shared by the tests of the data room: small folders of stories, and Grimm's tales beside the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GRIMM = Path(__file__).parents[2] / ".." / "shared" / "data" / "grimm" / "stories"

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Makes a folder of stories from texts: 000.txt, 001.txt, ..."""

    def make(*texts: str) -> Path:
        place = tmp_path / "stories"
        place.mkdir()
        for number, text in enumerate(texts):
            (place / f"{number:03d}.txt").write_text(text, "utf-8")
        return place

    return make


@pytest.fixture(scope="session")
def grimm() -> Path:
    """The folder of Grimm's tales, one a file."""
    if not GRIMM.is_dir():
        pytest.skip("Grimm's tales are not beside the repository (../shared/data/grimm)")
    return GRIMM


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache of its own."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("ELMAN_CACHE", str(cache))
    return cache
