from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass

import pytest

from elman import LanguageModel, UserError
from elman.tasks.estimator import defaults, groups, options_of, settings_from
from elman.tasks.settings import LanguageModelSettings


def test_the_constructor_stores_every_option_untouched() -> None:
    args = {"alpha": 0.5}
    model = LanguageModel(cell="scrn", cell_args=args, hidden_size=[8, 4])
    assert model.cell_args is args
    assert model.hidden_size == [8, 4]
    assert model.get_params() == {
        **defaults(LanguageModelSettings),
        "cell": "scrn",
        "cell_args": args,
        "hidden_size": [8, 4],
    }


def test_the_constructor_names_every_option_for_those_who_ask() -> None:
    parameters = inspect.signature(LanguageModel).parameters
    assert {name: p.default for name, p in parameters.items()} == defaults(LanguageModelSettings)
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())


def test_options_of_two_models_do_not_share_their_defaults() -> None:
    one, other = LanguageModel(), LanguageModel()
    one.cell_args["alpha"] = 1.0
    assert other.cell_args == {}


def test_option_names_are_unique_across_groups() -> None:
    names = [name for group in groups(LanguageModelSettings).values() for name in inspect.signature(group).parameters]
    assert len(names) == len(set(names))


def test_set_params_sets_all_or_nothing_and_returns_the_model() -> None:
    model = LanguageModel()
    assert model.set_params(cell="gru", steps=3) is model
    assert (model.cell, model.steps) == ("gru", 3)
    with pytest.raises(UserError, match=r"LanguageModel has no option 'hiden_size'; did you mean 'hidden_size'?"):
        model.set_params(cell="rnn", hiden_size=3)
    assert model.cell == "gru"


def test_the_constructor_refuses_unknown_options_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"LanguageModel has no option 'drop_out'; did you mean 'dropout'?"):
        LanguageModel(drop_out=0.1)


def test_values_are_checked_when_the_settings_are_made_and_not_before() -> None:
    model = LanguageModel(dropout=2.0)
    with pytest.raises(UserError, match=r"dropout is 2.0; expected a probability"):
        model.settings()


def test_repr_shows_what_was_changed_and_builds_the_same_model() -> None:
    model = LanguageModel(cell="gru", hidden_size=(8, 4), dropout=0.1)
    assert repr(model) == "LanguageModel(cell='gru', hidden_size=(8, 4), dropout=0.1)"
    assert eval(repr(model)).get_params() == model.get_params()
    assert repr(LanguageModel()) == "LanguageModel()"


def test_clone_by_hand_as_scikit_learn_does_it() -> None:
    model = LanguageModel(cell="gru", cell_args={"bias": False})
    params = {name: copy.deepcopy(value) for name, value in model.get_params(deep=False).items()}
    clone = type(model)(**params)
    assert all(clone.get_params(deep=False)[name] is value for name, value in params.items())
    assert clone.get_params() == model.get_params()
    assert not hasattr(clone, "net")


def test_clone_of_scikit_learn() -> None:
    base = pytest.importorskip("sklearn.base")
    model = LanguageModel(cell="gru", hidden_size=(3, 4))
    assert base.clone(model).get_params() == model.get_params()


def test_fit_leaves_the_options_as_they_were(trained: LanguageModel, story: object) -> None:
    assert trained.data == "tales"
    assert trained.settings_.text.data == str(story)


def test_settings_and_options_are_inverse() -> None:
    settings = settings_from(LanguageModelSettings, {"cell": ("lstm", "gru"), "steps": 5, "first": 2})
    assert settings_from(LanguageModelSettings, options_of(settings)) == settings


def test_errors_begin_with_where_the_options_come_from() -> None:
    with pytest.raises(UserError, match=r"^recipe x.toml: unknown option 'cel'; did you mean 'cell'?"):
        settings_from(LanguageModelSettings, {"cel": "gru"}, "recipe x.toml")
    with pytest.raises(UserError, match=r"^recipe x.toml: unroll is 0; expected a whole number of at least 1$"):
        settings_from(LanguageModelSettings, {"unroll": 0}, "recipe x.toml")


def test_groups_reads_any_settings_class() -> None:
    @dataclass(frozen=True)
    class Net:
        units: int = 3

    @dataclass(frozen=True)
    class Task:
        net: Net = Net()

    assert defaults(Task) == {"units": 3}
    assert settings_from(Task, {"units": 5}) == Task(Net(5))
