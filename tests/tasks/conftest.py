"""A small text with a clear pattern, and a model trained on it once for all tests of the room."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
import torch
from some_reviews import reviews

from elman import Classifier, LanguageModel

SMALL = {"cell": "rnn", "hidden_size": 12, "embedding_size": 8, "min_count": 0, "learning_rate": 0.01, "threads": 1}
PEOPLE = ("the king", "the fox", "a goose", "the miller", "an old woman", "the wolf")
DEEDS = ("ate", "saw", "sold", "lost", "found")
THINGS = ("a loaf", "the moon", "a bell", "an egg", "the mill")


def sentences(count: int, seed: int = 0) -> str:
    """Sentences of a tiny grammar: far more predictable than the frequencies of their letters tell."""
    draw = random.Random(seed)
    return "\n".join(f"{draw.choice(PEOPLE)} {draw.choice(DEEDS)} {draw.choice(THINGS)}." for _ in range(count)) + "\n"


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "story.txt"
    path.write_text(sentences(600), "utf-8")
    return path


@pytest.fixture(scope="session")
def trained(story: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(
        cell="gru", hidden_size=32, embedding_size=16, batch_size=8, unroll=20, steps=260, learning_rate=1e-2,
        evaluate_every=100, threads=1,
    )  # fmt: skip
    return model.fit(story, run=tmp_path_factory.mktemp("runs") / "gru", quiet=True)


@pytest.fixture(scope="session")
def reviewer(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A classifier of reviews, trained on a CSV file in a run folder of its own."""
    folder = tmp_path_factory.mktemp("reviews")
    with open(folder / "reviews.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "label"), *zip(*reviews(400), strict=True)])
    model = Classifier(**SMALL | {"steps": 240, "evaluate_every": 60})
    return model.fit(folder / "reviews.csv", run=folder / "run")
