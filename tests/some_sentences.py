"""Sentences of a tiny grammar in which "run" is a noun or a verb as the word before has it, and adverbs end in ly."""

from __future__ import annotations

import random

BOTH = ("run", "walk", "play", "drink", "call")


def sentences(count: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences of 2 to 6 words, and the tags of their words."""
    draw = random.Random(seed)
    words, tags = [], []
    for _ in range(count):
        pairs = [(draw.choice(("they", "we")), "PRON")] if draw.random() < 0.5 else _thing(draw)
        pairs.append((draw.choice(BOTH), "VERB"))
        if draw.random() < 0.5:
            pairs += _thing(draw)
        if draw.random() < 0.5:
            pairs.append(("".join(draw.choice("bdfgmprst") for _ in range(3)) + "ly", "ADV"))
        words.append([word for word, _ in pairs])
        tags.append([tag for _, tag in pairs])
    return words, tags


def _thing(draw: random.Random) -> list[tuple[str, str]]:
    return [(draw.choice(("the", "a")), "DET"), (draw.choice(BOTH), "NOUN")]


def chunks(tags: list[list[str]]) -> list[list[str]]:
    """The phrases of such sentences: B-NP I-NP for a determiner and its noun, B-NP for a pronoun, O."""
    of = {"DET": "B-NP", "NOUN": "I-NP", "PRON": "B-NP", "VERB": "O", "ADV": "O"}
    return [[of[tag] for tag in each] for each in tags]
