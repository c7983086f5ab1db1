"""Sentiment of short reviews: a word-level GRU against counting words, where "not" turns a judgement round.

The reviews are made here, so that nothing is downloaded; with a file of your own it is one command:

    elman train classify --data reviews.csv --input text --label stars

    python examples/classify_reviews.py
"""

from __future__ import annotations

import random
from collections import Counter

from elman import Classifier

GOOD, BAD = ("good", "fine", "lovely", "great", "warm", "clever"), ("bad", "dull", "awful", "poor", "cold", "silly")
THINGS = ("film", "plot", "play", "book", "tale", "cast", "ending")


def reviews(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Sentences of two judgements each, of which the one after "but" counts."""
    draw = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        up, turned = draw.random() < 0.5, draw.random() < 0.5
        first = f"the {draw.choice(THINGS)} was {draw.choice(GOOD + BAD)}"
        judgement = draw.choice(GOOD if up is not turned else BAD)
        texts.append(f"{first}, but the {draw.choice(THINGS)} was {'not ' if turned else ''}{judgement}.")
        labels.append("praise" if up else "blame")
    return texts, labels


def by_counting(texts: list[str], labels: list[str], new: list[str]) -> list[str]:
    """Naive Bayes: which label the words of a text stood under more often."""
    seen = Counter((word, label) for text, label in zip(texts, labels, strict=True) for word in set(text.split()))

    def odds(text: str) -> float:
        value = 1.0
        for word in set(text.split()):
            value *= (seen[word, "praise"] + 1) / (seen[word, "blame"] + 1)
        return value

    return ["praise" if odds(text) > 1 else "blame" for text in new]


def main() -> None:
    """Trains for some seconds and shows what each makes of reviews it has not seen."""
    texts, labels = reviews(1500, seed=0)
    new, truth = reviews(500, seed=1)
    model = Classifier(cell="gru", hidden_size=32, embedding_size=24, epochs=8, learning_rate=5e-3, dropout=0.1)
    model.fit(texts, labels, quiet=False)
    counted = by_counting(texts, labels, new)
    print(f"\n{model.show(model.evaluate(new, truth), None)}\n")
    right = sum(answer == label for answer, label in zip(counted, truth, strict=True))
    print(f"counting words: {right / len(new):.4f}\n")
    for text in ("the plot was dull, but the cast was not bad.", "the plot was lovely, but the ending was not good."):
        probability = model.predict_proba([text])[0, model.classes_.tolist().index("praise")]
        print(f"{probability:6.1%} praise  {text}")


if __name__ == "__main__":
    main()
