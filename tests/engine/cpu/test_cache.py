from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from elman.engine.cpu import cache

NAME = cache.key("ir", "cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    return tmp_path / "code"


def test_what_is_stored_is_loaded(folder: Path) -> None:
    assert cache.load(NAME) is None
    cache.store(NAME, b"code" * 1000)
    assert cache.load(NAME) == b"code" * 1000
    assert [entry.name for entry in folder.iterdir()] == [NAME]


def test_every_part_of_the_key_counts() -> None:
    parts = ["ir", "cpu", "+avx2", "0.50.0", "22.1.0"]
    keys = {cache.key(*parts)} | {cache.key(*parts[:k], "other", *parts[k + 1 :]) for k in range(len(parts))}
    assert len(keys) == len(parts) + 1


def test_the_format_number_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert cache.key("ir", "cpu") != NAME


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: content[:32],
        lambda content: content + b"x",
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"something else altogether",
    ],
)
def test_a_damaged_entry_is_no_entry(folder: Path, damage: object) -> None:
    cache.store(NAME, b"code" * 10)
    (folder / NAME).write_bytes(damage((folder / NAME).read_bytes()))  # type: ignore[operator]
    assert cache.load(NAME) is None
    cache.store(NAME, b"new")
    assert cache.load(NAME) == b"new"


def test_an_entry_under_another_name_is_no_entry(folder: Path) -> None:
    cache.store(NAME, b"code")
    other = cache.key("another")
    (folder / NAME).rename(folder / other)
    assert cache.load(other) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users here")
def test_an_entry_of_another_user_is_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(NAME, b"code")
    us = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: us + 1)
    assert cache.load(NAME) is None


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / "file"))
    cache.store(NAME, b"code")
    assert cache.load(NAME) is None

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "replace", full)
    cache.store(NAME, b"code")
    assert list(folder.iterdir()) == []


def test_the_entries_unused_for_longest_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [cache.key(str(k)) for k in range(4)]
    for k, name in enumerate(names[:3]):
        cache.store(name, bytes(100))
        os.utime(folder / name, (k, k))
    assert cache.load(names[0]) is not None  # used just now
    monkeypatch.setattr(cache, "LIMIT", 3 * 132)
    cache.store(names[3], bytes(100))
    assert {entry.name for entry in folder.iterdir()} == {names[0], names[2], names[3]}


def test_concurrent_writers_leave_one_whole_entry(folder: Path) -> None:
    codes = [bytes([k]) * 50_000 for k in range(8)]
    seen: list[bytes | None] = []

    def work(code: bytes) -> None:
        for _ in range(20):
            cache.store(NAME, code)
            seen.append(cache.load(NAME))

    workers = [threading.Thread(target=work, args=(code,)) for code in codes]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(seen) <= set(codes)
    assert [entry.name for entry in folder.iterdir()] == [NAME]


def test_the_folder_without_elman_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert cache.folder() == Path("/some/where/elman/code")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache" / "elman" / "code"
