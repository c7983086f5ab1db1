from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

import elman.cli
from elman import UserError
from elman.cli import VERBS, main
from elman.cli.options import option_names, parse
from elman.cli.train import TrainLM
from elman.tasks.estimator import defaults
from elman.tasks.settings import LanguageModelSettings

COMMANDS = [
    ["train", "lm"],
    ["train", "classify"],
    ["predict"],
    ["generate"],
    ["evaluate"],
    ["cells"],
    ["data"],
    ["demo"],
    ["reproduce", "grimm"],
    ["reproduce", "long-memory"],
]


@dataclass(frozen=True)
class Sample:
    """A command.

    Examples:
      elman sample --count 3
    """

    count: int | None = None
    """How many."""

    rate: float = 0.5
    """How fast."""

    kind: Literal["up", "down"] = "up"
    """Which way."""

    start: Literal["zeros"] | float = "zeros"
    """Where."""

    sizes: int | tuple[int, ...] = 8
    """How large."""

    pair: tuple[float, float] = (0.1, 0.2)
    """Two numbers."""

    name: str = "x"
    """What it is called."""

    quick: bool = False
    """Be quick."""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Sample()),
        (["--count", "3", "--rate", "2"], Sample(count=3, rate=2.0)),
        (["--count", "none"], Sample()),
        (["--count=3"], Sample(count=3)),
        (["--rate", "1e-3", "--kind", "down"], Sample(rate=1e-3, kind="down")),
        (["--start", "0.01"], Sample(start=0.01)),
        (["--start", "zeros"], Sample()),
        (["--sizes", "4"], Sample(sizes=4)),
        (["--sizes", "4", "3", "2"], Sample(sizes=(4, 3, 2))),
        (["--pair", "0.5", "0.9"], Sample(pair=(0.5, 0.9))),
        (["--name", "none"], Sample(name="none")),
        (["--name", "3"], Sample(name="3")),
        (["--quick"], Sample(quick=True)),
        (["--no-quick"], Sample()),
    ],
)
def test_words_become_values(words: list[str], expected: Sample) -> None:
    parsed = parse(Sample, words, "sample")
    assert parsed == expected
    assert type(parsed.rate) is float


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--count", "many"], "count is 'many'; expected a whole number"),
        (["--count", "1.5"], "count is '1.5'; expected a whole number"),
        (["--rate", "fast"], "rate is 'fast'; expected a finite number"),
        (["--rate", "inf"], "rate is inf; expected a finite number"),
        (["--kind", "sideways"], "kind is 'sideways'; valid: down, up"),
        (["--sizes", "4", "x"], "sizes is (4, 'x'); expected a whole number"),
        (["--conut", "3"], "elman sample has no option '--conut'; did you mean '--count'?"),
        (["--conut=3"], "elman sample has no option '--conut=3'; did you mean '--count'?"),
        (["--zzz"], "elman sample has no option '--zzz'; elman sample --help lists those there are"),
        (["stray"], "elman sample does not know what to do with 'stray'; options begin with --"),
        (["--count"], "missing value for argument '--count'; expected 1 values; elman sample --help explains"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(Sample, words, "sample")
    assert str(caught.value).startswith(sentence)


def test_help_shows_kinds_of_values_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(Sample, ["--help"], "sample")
    assert end.value.code == 0
    said = capsys.readouterr().out
    lines = {line.strip("│ ") for line in said.splitlines()}
    assert "Examples:\n  elman sample --count 3\n" in said
    for line in ("--count INT", "--rate NUMBER", "--kind {up,down}", "--sizes INT ...", "--pair NUMBER NUMBER"):
        assert any(each.startswith(line) for each in lines), line
    assert "None" not in said
    assert "(default: 0.1 0.2)" in said


def test_every_option_can_be_given_on_the_command_line() -> None:
    words = [f"--{name.replace('_', '-')}" for name in defaults(LanguageModelSettings)]
    assert set(words) <= set(option_names(TrainLM))
    assert {"--run", "--resume", "--recipe"} == set(option_names(TrainLM)) - set(words)


def test_given_options_reach_the_settings() -> None:
    words = "--data x.txt --first 3 --lowercase --split tails --cell lstm gru --cell-args forget_bias=1 activation=relu"
    words += " --hidden-size 5 6 --initial-state trained --betas 0.8 0.9 --clip none --no-end-mark --minutes 0.5"
    settings = parse(TrainLM, words.split(), "train lm", TrainLM())
    assert (settings.text.data, settings.text.first, settings.text.lowercase, settings.text.split) == (
        "x.txt",
        3,
        True,
        "tails",
    )
    assert settings.text.end_mark is False
    assert (settings.net.cell, settings.net.hidden_size) == (("lstm", "gru"), (5, 6))
    assert settings.net.cell_args == {"forget_bias": 1, "activation": "relu"}
    assert settings.net.initial_state == "trained"
    assert (settings.training.betas, settings.training.clip, settings.training.minutes) == ((0.8, 0.9), None, 0.5)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: elman {' '.join(words)} [-h]")
    assert "--help" in said.out and not said.err
    assert "``" not in said.out


def test_the_list_of_commands_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    files = {path.stem for path in Path(elman.cli.__file__).parent.glob("*.py")} - {"__init__", "options", "runs"}
    assert files == set(VERBS)
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert all(f"  {verb} " in said for verb in VERBS)
    assert main(["train"]) == 0
    assert "grimm-rnn-20 " in capsys.readouterr().out


def test_defaults_shown_are_those_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "lm", "--recipe", "demo", "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "(default: cosine)" in said
    assert "(default: 256)" in said


def test_named_values_survive_json() -> None:
    default = TrainLM()
    words = ["--cell-args", "a=1", "b=2.5", "c=True", "d=old", "e-f=x=y"]
    args = parse(TrainLM, words, "train lm", default).net.cell_args
    assert args == {"a": 1, "b": 2.5, "c": True, "d": "old", "e_f": "x=y"}
    assert json.loads(json.dumps(args)) == args
    assert default.net.cell_args == {}
