"""Which word comes next: a small GRU of words against counted trigrams, on the tales that come with the package.

On a text of your own it is two commands:

    elman train lm --data my.txt --tokenizer word --minutes 5
    elman predict runs/lm-lstm-1 "let's meet for __"

    python examples/complete_tales.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from elman import LanguageModel
from elman.data import load_corpus
from elman.tasks.language_model.ngram import KneserNey

PROMPTS = ("once upon a __", "there was once a poor __", "the old __", "she opened the __", "and they lived __")


def main() -> None:
    """Trains for about twenty seconds, then counts, ranks and judges both on tales that neither has read."""
    model = LanguageModel(
        tokenizer="word", lowercase=True, cell="gru", hidden_size=128, embedding_size=128, dropout=0.3, batch_size=16,
        unroll=24, steps=800, evaluate_every=400, learning_rate=8e-3, schedule="cosine", seed=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        model.fit("tales", run=Path(folder) / "run", quiet=True)
    for prompt in PROMPTS:
        ranked = ", ".join(f"{word} {p:.3f}" for word, p in model.complete(prompt))
        print(f"{prompt:<26} {ranked}")

    corpus = load_corpus("tales", tokenizer=model.tokenizer_, lowercase=True)
    trigrams = KneserNey(3, boundary=corpus.tokenizer.end_id).fit(corpus.train.tokens, corpus.tokenizer.vocab_size)
    text = corpus.valid.tokens.astype(np.int64)
    hits = (trigrams.top(text, 5) == text[:, None]).any(1)[1:]
    perplexity = np.exp(-trigrams.log_probabilities(text)[1:].mean())
    found = model.evaluate()
    print(f"\nThe right word is among the first five guesses (perplexity), on {len(text):,} words of unread tales:")
    print(f"  GRU       {found['top5_accuracy']:.1%} ({found['perplexity']:.0f})")
    print(f"  trigrams  {hits.mean():.1%} ({perplexity:.0f})")


if __name__ == "__main__":
    main()
