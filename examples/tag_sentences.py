"""Parts of speech: a tagger that reads both ways and reads letters, against the commonest tag of each word.

In the sentences made here "run", "walk" and others are nouns or verbs as their neighbours have it, and adverbs are new
words that only their ending tells. With a file of your own, a word and its tag a line, it is one command:

    elman train tag --data words.tsv

    python examples/tag_sentences.py
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict

from elman import Tagger

BOTH = ("run", "walk", "play", "drink", "watch", "dream", "visit", "call", "rest", "guess", "hope", "answer")
NOUNS, VERBS = ("king", "fox", "miller", "goose", "bell", "mill"), ("see", "find", "sell", "lose", "eat", "bring")
ADJECTIVES = ("old", "long", "first", "cold", "merry")
SUBJECTS, OBJECTS = ("they", "we", "you", "I"), ("them", "us", "you", "me")
Sentence = list[tuple[str, str]]


def sentences(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Words and tags of sentences of a small grammar."""
    draw = random.Random(seed)
    made = [_sentence(draw) for _ in range(count)]
    return [[word for word, _ in each] for each in made], [[tag for _, tag in each] for each in made]


def _sentence(draw: random.Random) -> Sentence:
    words = _who(draw, SUBJECTS)
    if draw.random() < 0.4:
        words.append((draw.choice(("will", "can", "must")), "AUX"))
    words += _deed(draw)
    if draw.random() < 0.4:
        words += [("and", "CCONJ"), *_deed(draw)]
    return [*words, (".", "PUNCT")]


def _who(draw: random.Random, pronouns: tuple[str, ...]) -> Sentence:
    if draw.random() < 0.4:
        return [(draw.choice(pronouns), "PRON")]
    words = [(draw.choice(("the", "a", "this")), "DET")]
    if draw.random() < 0.4:
        words.append((draw.choice(ADJECTIVES), "ADJ"))
    return [*words, (draw.choice(draw.choice((NOUNS, BOTH))), "NOUN")]


def _deed(draw: random.Random) -> Sentence:
    words = [(draw.choice(draw.choice((VERBS, BOTH))), "VERB")]
    if draw.random() < 0.6:
        words += _who(draw, OBJECTS)
    if draw.random() < 0.4:
        syllables = (draw.choice("bdfglmprst") + draw.choice("aeiou") for _ in range(draw.randint(1, 3)))
        words.append(("".join(syllables) + "ly", "ADV"))
    return words


def commonest(words: list[list[str]], tags: list[list[str]], new: list[list[str]]) -> list[list[str]]:
    """The tag that each word had most often; of an unknown word the commonest of all."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence, marks in zip(words, tags, strict=True):
        for word, tag in zip(sentence, marks, strict=True):
            counts[word][tag] += 1
            counts[""][tag] += 1
    return [[counts[word if word in counts else ""].most_common(1)[0][0] for word in sentence] for sentence in new]


def main() -> tuple[float, float]:
    """Trains for some seconds and shows what each makes of sentences it has not seen; their accuracies."""
    words, tags = sentences(1500, seed=0)
    new, truth = sentences(300, seed=1)
    model = Tagger(
        cell="gru", hidden_size=32, embedding_size=24, character_size=16, word_dropout=0.1, epochs=3, learning_rate=5e-3
    )
    model.fit(words, tags, quiet=False)
    found = model.evaluate(new, truth)
    print(f"\n{model.show(found, None)}\n")
    simple = commonest(words, tags, new)
    right = sum(a == b for answer, marks in zip(simple, truth, strict=True) for a, b in zip(answer, marks, strict=True))
    share = right / found["steps"]
    print(f"the commonest tag of each word: {share:.4f}\n")
    shown = ["the run", "they run .", "you will answer the call and call the king wobbly .", "this drink can rest ."]
    for text, answers in zip(shown, model.predict(shown), strict=True):
        print(" ".join(map("/".join, zip(text.split(), answers, strict=True))))
    return found["accuracy"], share


if __name__ == "__main__":
    main()
