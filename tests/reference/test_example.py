"""The example trains."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest


def test_the_character_model_learns(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "reference_char_rnn.py"))
    losses = example["main"](epochs=2)
    alphabet, ids = example["load"]()
    frequency = np.bincount(ids.ravel(), minlength=len(alphabet)) / ids.size
    letters_alone = -(frequency * np.log(frequency)).sum()  # what knowing no past can reach
    assert losses[0] == pytest.approx(np.log(len(alphabet)), abs=0.3)
    assert np.mean(losses[-5:]) < letters_alone - 0.2
    *report, story = capsys.readouterr().out.split("character, perplexity ")[-1].split("\n", 1)
    assert report
    assert set(story.strip("\n")) <= set(alphabet)
    assert len(story) > 150
