"""Every example runs as the README says, offline and in a folder of its own, and reaches what it is meant to show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
# What must be printed, and the least (most, where the first of the two is None) that the number in it may be.
SHOWN: dict[str, list[tuple[str, float | None, float | None]]] = {
    "caption_shapes": [(r"exact +([\d.]+) of", 0.75, None)],
    "classify_images": [(rf"{way} +([\d.]+)% of new images right", 90, None) for way in ("rows", "patches")],
    "classify_reviews": [(r"accuracy +([\d.]+)", 0.9, None), (r"counting words: ([\d.]+)", None, 0.85)],
    "classify_sounds": [(r"accuracy +([\d.]+)", 0.9, None)],
    "classify_waves": [(r"accuracy +([\d.]+)", 0.8, None)],
    "complete_tales": [(r"GRU +([\d.]+)%", 30, None)],
    "forecast_tides": [(r"beats seasonal naive \(-([\d.]+) %\)", 5, None)],
    "label_frames": [(r"with memory .* ([\d.]+)% of all frames right", 75, None)],
    "number_words": [(r"exact +([\d.]+) of", 0.85, None)],
    "scene_fences": [(r"pixel accuracy +([\d.]+)", 0.93, None), (r"by colour alone +([\d.]+)", None, 0.93)],
    "tag_sentences": [(r"accuracy +([\d.]+)", 0.95, None), (r"the commonest tag of each word: ([\d.]+)", None, 0.95)],
}
WITHOUT = {"glyphs", "reference_char_rnn"}  # pictures for others; tests/reference


def test_every_example_is_known() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SHOWN.keys() | WITHOUT


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_an_example_shows_what_it_is_meant_to(name: str, tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0 and not ran.stderr, ran.stderr
    for pattern, least, most in SHOWN[name]:
        found = re.search(pattern, ran.stdout)
        assert found, f"{pattern!r} is not in\n{ran.stdout}"
        assert least is None or float(found[1]) >= least, ran.stdout
        assert most is None or float(found[1]) <= most, ran.stdout
