from __future__ import annotations

import itertools
from dataclasses import dataclass, fields

import pytest

from elman.errors import UserError
from elman.training import TrainSettings, check_types


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'?"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number above 0"),
        ({"learning_rate": float("nan")}, "finite"),
        ({"learning_rate": "fast"}, "expected a finite number"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 10.5}, "expected a whole number"),
        ({"steps": True}, "expected a whole number"),
        ({"minutes": -1.0}, "minutes is -1.0"),
        ({"momentum": 0.9}, "contradicts optimizer='adam'"),
        ({"momentum": 1.0, "optimizer": "sgd"}, "momentum is 1.0"),
        ({"betas": (0.9,)}, "expected 2 values"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"clip_by": "size"}, "valid: norm, value"),
        ({"decay_factor": 1.0}, "between 0 and 1"),
        ({"warmup": -1}, "warmup is -1"),
        ({"keep": 0}, "keep is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"min_learning_rate": 1.0}, "above learning_rate"),
    ],
)
def test_a_bad_value_is_said_with_its_name_and_what_was_expected(values: dict[str, object], words: str) -> None:
    with pytest.raises(UserError) as caught:
        TrainSettings(**values)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert next(iter(values)) in str(caught.value)


def test_the_budget_is_the_smallest_of_all_that_is_given() -> None:
    assert TrainSettings().step_limit(10) == 200
    assert TrainSettings(steps=7).step_limit(10) == 7
    assert TrainSettings(steps=70, epochs=0.3).step_limit(10) == 3
    assert TrainSettings(epochs=0.31).step_limit(10) == 4
    assert TrainSettings(minutes=1.0).step_limit(10) is None


@pytest.mark.parametrize("windows", [1, 10, 11, 37, 50, 51, 100, 700])
def test_looks_are_few_and_no_nearer_than_an_epoch(windows: int) -> None:
    settings = TrainSettings()
    looks = [step for step in range(1, 2000) if settings.looks(step, windows)]
    extra = [step for step in looks if step % settings.evaluation_interval(windows)]
    assert bool(extra) == (windows <= 50) and len(extra) <= 16
    gaps = [b - a for a, b in itertools.pairwise([0, *looks])]
    assert all(gap >= max(windows, step / 10) for gap, step in zip(gaps, looks, strict=True))
    assert not any(TrainSettings(evaluate_every=200).looks(step, windows) for step in range(300))


def test_types_of_other_settings_can_be_checked_too() -> None:
    @dataclass(frozen=True)
    class Some:
        names: list[str]
        shape: tuple[int, ...] = (1, 2, 3)
        flag: bool = False

    check_types(Some(["a"]))
    with pytest.raises(UserError, match="names is 'a'; expected a list of values"):
        check_types(Some("a"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="expected a value of type str"):
        check_types(Some([1]))  # type: ignore[list-item]
    with pytest.raises(UserError, match="flag is 1; expected true or false"):
        check_types(Some([], flag=1))  # type: ignore[arg-type]


def test_every_field_has_a_line_of_help() -> None:
    import inspect

    source = inspect.getsource(TrainSettings)
    for field in fields(TrainSettings):
        following = source.split(f"\n    {field.name}: ", 1)[1].splitlines()[1]
        assert following.strip().startswith('"""'), field.name
