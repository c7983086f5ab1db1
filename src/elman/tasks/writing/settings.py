"""How what is written is found: the search over answers."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UserError
from ..settings import check_count, check_types


@dataclass(frozen=True)
class SearchSettings:
    """How answers are found; these may be given anew for a trained model."""

    beam: int = 5
    """Hypotheses kept at each step; 1 takes the likeliest token each time."""

    length_penalty: float = 0.6
    """Exponent of the length in a hypothesis's score, 0 to 1; larger favours longer answers."""

    coverage_penalty: float = 0.0
    """Weight of the penalty on places of the source that were not looked at."""

    longest: int | None = None
    """Most tokens of an answer; as many as the longest target of training unless given."""

    evaluate_texts: int = 1000
    """Most answers that evaluate writes and compares, taken evenly from all; perplexity is of all."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("beam", "longest"):
            check_count(name, getattr(self, name))
        for name in ("length_penalty", "coverage_penalty", "evaluate_texts"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; expected 0 or more")
