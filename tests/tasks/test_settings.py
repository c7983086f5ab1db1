from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from typing import Any

import pytest

import elman.tasks.classify.settings
import elman.tasks.settings
import elman.training.settings
from elman import UserError
from elman.tasks.estimator import settings_from
from elman.tasks.settings import LanguageModelSettings


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tokenizer": "bigam"}, "tokenizer is 'bigam'; did you mean 'bigram'?"),
        ({"first": "ten"}, "first is 'ten'; expected a whole number"),
        ({"lowercase": 1}, "lowercase is 1; expected true or false"),
        ({"split": "tail"}, "split is 'tail'; did you mean 'tails'?"),
        ({"cell": 3}, "cell is 3; expected a value of type str"),
        ({"cell_args": 3}, "cell_args is 3; expected names with numbers, words or truth values"),
        ({"cell_args": {"a": [1]}}, "cell_args is {'a': [1]}; expected names with numbers, words or truth values"),
        ({"hidden_size": "big"}, "hidden_size is 'big'; expected a whole number"),
        ({"hidden_size": 2.5}, "hidden_size is 2.5; expected a whole number"),
        ({"embedding_size": -1}, "embedding_size is -1; expected 0 (one-hot) or more"),
        ({"dropout": 1.0}, "dropout is 1.0; expected a probability, 0 or more and below 1"),
        ({"weight_drop": -0.1}, "weight_drop is -0.1; expected a probability, 0 or more and below 1"),
        ({"input_dropout": 1}, "input_dropout is 1; expected a probability, 0 or more and below 1"),
        ({"change_penalty": -1.0}, "change_penalty is -1.0; expected 0 or more"),
        ({"average_after": 0}, "average_after is 0; expected a number above 0"),
        ({"decay_after": 0}, "decay_after is 0; expected a number above 0"),
        ({"init": "xaver"}, "init is 'xaver'; did you mean 'xavier'?"),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number of at least 1"),
        ({"threads": 0}, "threads is 0; expected a whole number of at least 1"),
        ({"dtype": "float16"}, "dtype is 'float16'; did you mean 'float64'?"),
        ({"optimizer": "sgd", "learning_rate": -1}, "learning_rate is -1; expected a number above 0"),
    ],
)
def test_bad_values_are_named_with_what_was_expected(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        settings_from(LanguageModelSettings, options)
    assert str(caught.value) == sentence


def test_settings_are_frozen_plain_values() -> None:
    settings = LanguageModelSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.net = None  # type: ignore[misc, assignment]
    assert hash(settings.text) == hash(LanguageModelSettings().text)


def test_every_option_is_explained() -> None:
    """tyro reads the string below a field; one left out leaves a blank in --help."""
    for source in (elman.tasks.settings, elman.tasks.classify.settings, elman.training.settings):
        for node in ast.walk(ast.parse(inspect.getsource(source))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                body = node.body
                for field, after in itertools.pairwise(body):
                    if isinstance(field, ast.AnnAssign):
                        assert isinstance(after, ast.Expr), f"{node.name}.{ast.unparse(field.target)}"
