"""BLEU, as sacrebleu counts it where it is installed."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence

LONGEST_RUN = 4  # words in a row that BLEU counts up to


def bleu(answers: Sequence[str], references: Sequence[str | Sequence[str]]) -> tuple[float | None, str]:
    """Corpus BLEU of answers, with one reference or several each, and its signature (Post 2018); or None, and why.

    >>> bleu(["402"], ["402"])
    (None, 'not counted: the targets have fewer than 4 words on average')
    """
    each = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    lengths = [len(text.split()) for texts in each for text in texts]
    if sum(lengths) < LONGEST_RUN * len(lengths):
        return None, f"not counted: the targets have fewer than {LONGEST_RUN} words on average"
    if importlib.util.find_spec("sacrebleu") is None:
        return None, "needs sacrebleu: pip install 'elman[translation]'"
    # Imported only here: it takes half a second, and most installations have none.
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    # The first references of all answers, the second of all, ...: None where an answer has fewer.
    streams = [list(stream) for stream in itertools.zip_longest(*each)]
    score = float(metric.corpus_score(list(answers), streams).score)
    return score, str(metric.get_signature())
