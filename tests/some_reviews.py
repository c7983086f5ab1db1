"""Reviews of a tiny grammar in which "not" turns a judgement round, so that counting words is not enough."""

from __future__ import annotations

import random

GOOD, BAD = ("good", "fine", "lovely", "great", "warm"), ("bad", "dull", "awful", "poor", "cold")
THINGS = ("film", "plot", "play", "book", "tale", "cast")


def reviews(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 4 to 11 words, and "up" or "down" for each."""
    draw = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        up, turned = draw.random() < 0.5, draw.random() < 0.5
        judgement = draw.choice(GOOD if up is not turned else BAD)
        filling = " ".join(f"the {draw.choice(THINGS)} and" for _ in range(draw.randrange(3)))
        texts.append(f"{filling} the {draw.choice(THINGS)} was {'not ' if turned else ''}{judgement}".strip())
        labels.append("up" if up else "down")
    return texts, labels
