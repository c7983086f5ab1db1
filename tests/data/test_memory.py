"""A text of 300 MB is read within 100 MB of the memory that 3 MB take."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import resource, sys
from itertools import islice
from elman.data import Streams, load_corpus
corpus = load_corpus(sys.argv[2], tokenizer=sys.argv[1], cache=sys.argv[3])
streams = Streams(corpus.train, batch_size=64, window=50)
for _ in islice(streams, min(streams.windows_per_epoch, 20_000)):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_megabytes(kind: str, text: Path, cache: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, kind, text, cache], capture_output=True, text=True, check=True, timeout=500
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
@pytest.mark.parametrize("kind", ["char", "word"])
def test_peak_memory(kind: str, tmp_path: Path) -> None:
    words = "".join(random.Random(0).choices("abcdefghijklmnop    ,.\n", k=1_000_000))
    for name, times in (("small.txt", 3), ("large.txt", 300)):
        with open(tmp_path / name, "w") as file:
            for _ in range(times):
                file.write(words)
    small, large = (peak_megabytes(kind, tmp_path / name, tmp_path / "cache") for name in ("small.txt", "large.txt"))
    assert large < small + 100
