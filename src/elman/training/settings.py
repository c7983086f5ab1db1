"""What a training run is told: optimiser, clipping, schedule, budget, evaluations and checkpoints, as plain values."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import UserError, nearest

DEFAULT_EPOCHS = 20.0
LOOKS = (10, 20, 50)  # steps between evaluations for the curves, each up to ten times as many steps


@dataclass(frozen=True)
class TrainSettings:
    """How to train; every value is checked when the object is made.

    The budget is any combination of ``epochs``, ``steps`` and ``minutes``; the first one used up ends the run. With
    none of them the budget is 20 epochs. A step is one update of the weights; "evaluation" is one pass over the
    validation data.

    Raises:
        UserError: a value of the wrong type or range, or options that contradict each other.

    >>> TrainSettings(steps=500, clip=1.0).learning_rate
    0.002
    >>> TrainSettings(optimizer="adm")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: optimizer is 'adm'; did you mean 'adam'?
    """

    epochs: float | None = None
    """Stop after this many passes over the training data (20 when no budget at all is given)."""

    steps: int | None = None
    """Stop after this many updates."""

    minutes: float | None = None
    """Stop after this much training time, evaluations included, counted over all resumes."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """The rule that turns gradients into updates."""

    learning_rate: float = 2e-3
    """Size of the updates; the schedule scales it."""

    momentum: float | None = None
    """Momentum of sgd, 0.9 unless given; adam and adamw have betas instead."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of adam's and adamw's running means of the gradient and of its square."""

    weight_decay: float | None = None
    """Pull of the weight matrices towards zero, biases and vectors excepted; 0.01 with adamw, else 0, unless given."""

    clip: float | None = 5.0
    """Largest gradient allowed, see clip_by; None clips nothing."""

    clip_by: Literal["norm", "value"] = "norm"
    """Whether clip limits the norm of all gradients together or every single entry."""

    schedule: Literal["constant", "cosine", "plateau", "epochs"] = "constant"
    """Learning rate over time: constant, half a cosine to min_learning_rate over the budget, cut on a plateau, or cut
    at every epoch after the first few."""

    warmup: int = 0
    """Steps in which the learning rate rises linearly to its full value."""

    decay_factor: float = 0.5
    """What the plateau and epochs schedules multiply the learning rate by."""

    decay_patience: int = 2
    """Evaluations without a new best loss after which the plateau schedule cuts the learning rate."""

    decay_after: int = 4
    """Epochs at the full rate, with the epochs schedule; each one after them begins with a cut."""

    min_learning_rate: float = 0.0
    """Where the schedules end."""

    average_after: int | None = None
    """Average the weights once this many evaluations brought no new best loss (NT-ASGD); None never does."""

    evaluate_every: int | None = None
    """Steps between evaluations; unless given once an epoch, but at least every 1000 and at most every 100 steps, and
    where epochs are short more at first, for the curves alone: small validation parts are too small to choose by."""

    patience: int | None = None
    """Stop after this many evaluations without a new best loss; None never does."""

    checkpoint_every: int | None = None
    """Steps between further checkpoints; there is one at the start, at every evaluation and at the end in any case."""

    keep: int = 2
    """How many of the newest checkpoints stay on disk; the best one always does."""

    seed: int = 0
    """Where the random numbers of training (dropout and the like) start."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("epochs", "steps", "minutes", "evaluate_every", "patience", "checkpoint_every", "clip"):
            _require(getattr(self, name) is None or getattr(self, name) > 0, self, name, "a number above 0")
        for name in ("learning_rate", "decay_patience", "decay_after", "average_after", "keep"):
            _require(getattr(self, name) is None or getattr(self, name) > 0, self, name, "a number above 0")
        for name in ("weight_decay", "warmup", "min_learning_rate", "seed"):
            _require(getattr(self, name) is None or getattr(self, name) >= 0, self, name, "0 or more")
        _require(self.seed < 2**63, self, "seed", "a number below 2**63")
        _require(self.momentum is None or 0 <= self.momentum < 1, self, "momentum", "from 0 to below 1")
        _require(all(0 <= beta < 1 for beta in self.betas), self, "betas", "two numbers from 0 to below 1")
        _require(0 < self.decay_factor < 1, self, "decay_factor", "between 0 and 1")
        if self.momentum is not None and self.optimizer != "sgd":
            raise UserError(
                f"momentum={self.momentum} contradicts optimizer='{self.optimizer}', which has betas instead; "
                "leave momentum out or use optimizer='sgd'"
            )
        if self.min_learning_rate > self.learning_rate:
            raise UserError(
                f"min_learning_rate={self.min_learning_rate} is above learning_rate={self.learning_rate}; lower it"
            )

    @property
    def epoch_limit(self) -> float | None:
        """The budget in epochs: as given, or 20 when no budget was.

        >>> TrainSettings().epoch_limit, TrainSettings(steps=100).epoch_limit
        (20.0, None)
        """
        nothing = self.epochs is None and self.steps is None and self.minutes is None
        return DEFAULT_EPOCHS if nothing else self.epochs

    def step_limit(self, windows_per_epoch: int) -> int | None:
        """The budget in updates that ``steps`` and ``epochs`` leave, whichever is smaller; None when only time counts.

        >>> TrainSettings(epochs=2.5, steps=1000).step_limit(windows_per_epoch=10)
        25
        """
        limits = [] if self.steps is None else [self.steps]
        if self.epoch_limit is not None:
            limits.append(math.ceil(self.epoch_limit * windows_per_epoch - 1e-9))
        return min(limits, default=None)

    def evaluation_interval(self, windows_per_epoch: int) -> int:
        """Steps between evaluations: as given, or about an epoch.

        >>> [TrainSettings().evaluation_interval(n) for n in (3, 250, 9000)]
        [100, 250, 1000]
        """
        return self.evaluate_every or min(max(windows_per_epoch, 100), 1000)

    def looks(self, step: int, windows_per_epoch: int) -> bool:
        """Whether there is an evaluation for the curves alone after so many steps: where epochs are short, unless told.

        There are at most 16 besides the others, no nearer than an epoch nor a tenth of the steps before: small data
        has curves of many points, and they take little time. Neither budget nor clock matters, so that a resumed run
        has the same.

        >>> [step for step in range(1, 700) if TrainSettings().looks(step, windows_per_epoch=12)]
        [20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 250, 300, 350, 400, 450, 500]
        """
        if self.evaluate_every is not None:
            return False
        gap = next((gap for gap in LOOKS if windows_per_epoch <= gap and step <= 10 * gap), None)
        return gap is not None and step % gap == 0


def check_types(settings: Any) -> None:
    """Compare every field of a dataclass of plain values with its type hint; ints pass where floats are asked for.

    Raises:
        UserError: naming the field, what came and what was expected.

    >>> check_types(TrainSettings(learning_rate=1))
    >>> TrainSettings(learning_rate="0.1")
    Traceback (most recent call last):
        ...
    elman.errors.UserError: learning_rate is '0.1'; expected a finite number
    """
    hints = typing.get_type_hints(type(settings))
    for field in fields(settings):
        value = getattr(settings, field.name)
        problem = _mismatch(value, hints[field.name])
        if problem:
            raise UserError(f"{field.name} is {value!r}; {problem}")


def _mismatch(value: Any, hint: Any) -> str:
    """What is wrong with a value, as the second half of a sentence; empty when nothing is."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return ""
        problems = [_mismatch(value, one) for one in arguments if one is not type(None)]
        return "" if "" in problems else problems[0]
    if origin is Literal:
        return "" if value in arguments else nearest(str(value), map(str, arguments))
    if origin in (tuple, list):
        if not isinstance(value, tuple | list):
            return "expected a list of values"
        members = arguments if origin is tuple and Ellipsis not in arguments else arguments[:1] * len(value)
        if len(members) != len(value):
            return f"expected {len(members)} values"
        return next(filter(None, map(_mismatch, value, members)), "")
    if hint is bool:
        return "" if isinstance(value, bool) else "expected true or false"
    if hint is int:
        return "" if isinstance(value, int) and not isinstance(value, bool) else "expected a whole number"
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if number else "expected a finite number"
    if isinstance(hint, type) and not isinstance(value, hint):
        return f"expected a value of type {hint.__name__}"
    return ""


def _require(holds: bool, settings: TrainSettings, name: str, expected: str) -> None:
    if not holds:
        raise UserError(f"{name} is {getattr(settings, name)!r}; expected {expected}")
