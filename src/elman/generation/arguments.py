"""Checks of what callers pass: token ids, prompts and counts."""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from ..errors import UserError


def token_ids(values: Iterable[int] | Tensor, what: str) -> tuple[int, ...]:
    """Token ids as plain integers; ``what`` names them in the error.

    Raises UserError when a value is not a whole number or is negative, or when ``values`` is not one-dimensional.

    >>> import numpy as np
    >>> token_ids(np.array([3, 1], dtype=np.uint16), "prompt")
    (3, 1)
    """
    items = values.tolist() if isinstance(values, Tensor) else values
    try:
        ids = tuple(operator.index(item) for item in items)
    except TypeError:
        given = reprlib.repr(values)
        raise UserError(f"{what} is {given}; expected a flat sequence of token ids (encode text first)") from None
    if any(i < 0 for i in ids):
        raise UserError(f"{what} holds the id {min(ids)}; expected token ids, which count from 0")
    return ids


def prompt_ids(prompt: Sequence[int] | Tensor, start: int | None = None) -> Tensor:
    """The ids to feed before the first choice, (T,) int64: ``start`` where given, then the prompt.

    Raises UserError when nothing is left to feed: a recurrent net speaks only after it has read something.

    >>> prompt_ids([7, 8], start=0)
    tensor([0, 7, 8])
    """
    ids = token_ids(() if start is None else [start], "start") + token_ids(prompt, "prompt")
    if not ids:
        raise UserError("the prompt is empty; give at least one token, or a start id such as the tokenizer's end mark")
    return torch.tensor(ids)


def count(name: str, value: int) -> int:
    """A whole number of at least 1; raises UserError otherwise.

    >>> count("length", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise UserError(f"{name} is {value!r}; expected a whole number of at least 1")
    return int(value)


def is_number(value: object) -> bool:
    """Whether a value is a finite real number, ``True`` and ``False`` not counted.

    >>> is_number(0.5), is_number(True), is_number("1"), is_number(float("nan"))
    (True, False, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def check_finite(logits: Tensor) -> None:
    """Raises UserError where a logit is infinite or not a number: the model has diverged.

    >>> check_finite(torch.tensor([0.0, -3.0]))
    """
    if not logits.isfinite().all():
        raise UserError(
            "the model's logits are not finite: it diverged in training; "
            "use an earlier checkpoint, or train again with a smaller learning rate or clipped gradients"
        )
