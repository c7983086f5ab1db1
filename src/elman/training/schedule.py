"""The learning rate over time."""

from __future__ import annotations

import math

from .settings import TrainSettings


class Schedule:
    """Warm-up, then constant, half a cosine over the budget, cut where the validation loss stops falling, or by epochs.

    The cosine is Loshchilov and Hutter's without restarts (arXiv:1608.03983).

    >>> schedule = Schedule(TrainSettings(learning_rate=0.1, schedule="plateau", decay_patience=1))
    >>> schedule.observe(improved=True)
    >>> schedule.observe(improved=False)
    >>> schedule.rate(step=0, progress=0.0)
    0.05
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.scale = 1.0
        self.stale = 0

    def rate(self, step: int, progress: float, epoch: float = 0.0) -> float:
        """The learning rate of update number ``step`` (from 0), in [0, 1] of the budget and after ``epoch`` epochs."""
        settings = self.settings
        rate = settings.learning_rate
        if settings.schedule == "cosine":
            lowest = settings.min_learning_rate
            rate = lowest + (rate - lowest) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        if settings.schedule == "plateau":
            rate = max(rate * self.scale, settings.min_learning_rate)
        if settings.schedule == "epochs":
            cuts = max(0, int(epoch) + 1 - settings.decay_after)
            rate = max(rate * settings.decay_factor**cuts, settings.min_learning_rate)
        if step < settings.warmup:
            rate *= (step + 1) / settings.warmup
        return rate

    def observe(self, improved: bool) -> None:
        """Take note of one evaluation: whether its loss was a new best."""
        self.stale = 0 if improved else self.stale + 1
        if self.stale >= self.settings.decay_patience:
            self.scale *= self.settings.decay_factor
            self.stale = 0

    def state_dict(self) -> dict[str, float]:
        """What has to be kept to go on, as plain numbers."""
        return {"scale": self.scale, "stale": self.stale}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from :meth:`state_dict`."""
        self.scale, self.stale = float(state["scale"]), int(state["stale"])
