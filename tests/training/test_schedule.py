from __future__ import annotations

import math

import pytest

from elman.training import TrainSettings
from elman.training.schedule import Schedule


def test_constant_with_warmup() -> None:
    schedule = Schedule(TrainSettings(learning_rate=0.4, warmup=4))
    assert [schedule.rate(step, 0.0) for step in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_cosine_falls_from_full_to_least() -> None:
    schedule = Schedule(TrainSettings(learning_rate=1.0, schedule="cosine", min_learning_rate=0.2))
    for progress in (0.0, 0.25, 0.5, 1.0, 1.1):
        expected = 0.2 + 0.8 * (1 + math.cos(math.pi * min(progress, 1))) / 2
        assert schedule.rate(5, progress) == pytest.approx(expected, rel=1e-12)
    assert schedule.rate(5, 1.0) == pytest.approx(0.2)


def test_plateau_cuts_after_each_patience_and_stops_at_the_least() -> None:
    settings = TrainSettings(learning_rate=1.0, schedule="plateau", decay_patience=2, min_learning_rate=0.2)
    schedule = Schedule(settings)
    rates = []
    for improved in (True, False, False, True, False, False, False, False, False, False):
        schedule.observe(improved)
        rates.append(schedule.rate(9, 0.5))
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_epochs_cut_each_epoch_after_the_first_few() -> None:
    """Zaremba et al. 2014: four epochs at 1, then half in each; never below the least."""
    settings = TrainSettings(learning_rate=1.0, schedule="epochs", decay_after=4, min_learning_rate=0.1)
    schedule = Schedule(settings)
    rates = [schedule.rate(99, 0.0, epoch) for epoch in (0.0, 3.999, 4.0, 4.5, 5.0, 6.999, 7.0, 20.0)]
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25, 0.125, 0.1, 0.1]


def test_state_goes_out_and_in() -> None:
    settings = TrainSettings(schedule="plateau", decay_patience=2)
    one, two = Schedule(settings), Schedule(settings)
    one.observe(False)
    two.load_state_dict(one.state_dict())
    for schedule in (one, two):
        schedule.observe(False)
        assert schedule.rate(0, 0.0) == 1e-3
