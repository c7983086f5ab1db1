"""What comes next in a text: the likeliest tokens, or the likeliest words of a model that writes letter by letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from ...data import Tokenizer
from ...errors import UserError
from ...generation import TokenStream
from ...generation.arguments import count, prompt_ids

GAP = "__"
LONGEST = 30  # letters of a word looked for
WIDTH = 100  # beginnings of words kept at every letter


class Completion(NamedTuple):
    """What may come next, and how likely it is."""

    text: str
    probability: float


def before_gap(prompt: str) -> str:
    """The text before the gap ``__`` at its end; all of it where there is none.

    Raises ``UserError`` for a gap elsewhere.

    >>> before_gap("let's meet for __")
    "let's meet for "
    """
    text = prompt.rstrip()
    text = text.removesuffix(GAP) if text.endswith(GAP) else prompt
    if GAP in text:
        raise UserError(f"got {prompt!r}; the model reads from the left, so that the gap {GAP} must be at the end")
    return text


@torch.no_grad()
def next_tokens(net: nn.Module, tokenizer: Tokenizer, ids: Sequence[int], top: int) -> list[Completion]:
    """The ``top`` likeliest tokens after ``ids``, the likeliest first; the unknown type and the END mark are left out.

    Probabilities are the model's own: those of what is left out are missing from their sum.
    """
    logits = TokenStream(net, 1).feed(prompt_ids(ids, tokenizer.end_id)[:, None])
    p = logits[0].cpu().double().softmax(0)
    shown = p.clone()
    shown[[special for special in (tokenizer.end_id, tokenizer.unknown_id) if special is not None]] = -1.0
    order = shown.sort(descending=True, stable=True).indices[: min(count("top", top), int((shown >= 0).sum()))]
    return [Completion(tokenizer.decode([token]), float(p[token])) for token in order.tolist()]


@torch.no_grad()
def next_words(
    net: nn.Module,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    top: int,
    *,
    width: int = WIDTH,
    longest: int = LONGEST,
) -> list[Completion]:
    """The ``top`` likeliest words after ``ids`` by a model of characters, found with a beam over letters.

    A word is a run of letters, digits and marks within (' and -), after one blank where ``ids`` do not end with one;
    its probability is that of its letters times that of anything but a further letter after them. Where ``ids`` end
    within a word, so do the likeliest ways to finish it. At every letter the ``width`` likeliest beginnings are kept;
    what they cannot beat any more ends the search, so that only words of beginnings that were let go can be missed.
    """
    count("top", top)
    blank, letters = _kinds(tokenizer)
    stream = TokenStream(net, 1)
    scores = stream.feed(prompt_ids(ids, tokenizer.end_id)[:, None]).cpu().double().log_softmax(-1)
    live: list[tuple[int, ...]] = [()]
    so_far = torch.zeros(1, dtype=torch.float64)
    found: list[Completion] = []
    for length in range(longest + 2):
        extended = so_far[:, None] + scores
        begun = torch.tensor([any(letters[i] for i in each) for each in live])
        ended = extended.masked_fill(letters, -torch.inf).logsumexp(1)
        for row in begun.nonzero()[:, 0].tolist():
            found.append(Completion(tokenizer.decode(live[row]), float(ended[row].exp())))
        found = sorted(found, key=lambda each: (-each.probability, each.text))[:top]
        allowed = letters.expand_as(extended).clone()
        if length == 0 and blank is not None and not (ids and ids[-1] == blank):
            allowed[0, blank] = True
        best = extended.masked_fill(~allowed, -torch.inf).flatten().sort(descending=True, stable=True)
        kept = min(width, int(allowed.sum()))
        so_far, places = best.values[:kept], best.indices[:kept]
        if not kept or (len(found) == top and found[-1].probability >= float(so_far[0].exp())):
            break
        rows, tokens = places // extended.shape[1], places % extended.shape[1]
        live = [(*live[row], token) for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)]
        stream.select(rows)
        scores = stream.step(tokens).cpu().double().log_softmax(-1)
    return found


def _kinds(tokenizer: Tokenizer) -> tuple[int | None, torch.Tensor]:
    """The id of the blank, if there is one, and which types (V,) are letters of words."""
    texts = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
    letters = torch.tensor(
        [len(text) == 1 and (text.isalnum() or text in "'\N{RIGHT SINGLE QUOTATION MARK}-") for text in texts]
    )
    return (texts.index(" ") if " " in texts else None), letters
