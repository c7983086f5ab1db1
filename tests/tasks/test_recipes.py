from __future__ import annotations

from pathlib import Path

import pytest

from elman import UserError
from elman.models import LanguageNet
from elman.tasks.estimator import settings_from
from elman.tasks.language_model.estimator import build_net
from elman.tasks.recipes import read_recipe, recipes
from elman.tasks.settings import LanguageModelSettings


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_shipped_recipe_gives_a_net(name: str) -> None:
    settings = settings_from(LanguageModelSettings, read_recipe(name))
    net = build_net(settings, 50)
    assert isinstance(net, LanguageNet)
    assert recipes()[name].endswith(".")


def test_the_chapters_numbers() -> None:
    settings = settings_from(LanguageModelSettings, read_recipe("grimm-rnn-20"))
    text, net, place, training = settings.text, settings.net, settings.sequences, settings.training
    assert (text.data, text.first, text.lowercase, text.tokenizer, text.min_count) == ("grimm", 20, True, "bigram", 10)
    assert (text.split, text.valid_documents, text.valid_characters) == ("tails", 10, 200)
    assert (net.cell, net.hidden_size, net.embedding_size) == ("rnn", 64, 0)
    assert (place.batch_size, place.unroll) == (64, 50)
    assert (training.learning_rate, training.clip, training.steps, training.evaluate_every) == (1e-3, 5.0, 13_000, 500)
    assert read_recipe("grimm-scrn-100")["steps"] == 26_000
    assert read_recipe("grimm-scrn-100")["cell_args"] == {"context_size": 64, "alpha": 0.9}
    assert read_recipe("grimm-scrn-chapter-100")["cell_args"]["context"] == "old"
    assert read_recipe("grimm-rnn-20-unroll-1")["unroll"] == 1


def test_extends_takes_a_name_or_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('extends = "demo"\ncell = ["lstm", "gru"]\nunroll = 7\n')
    (tmp_path / "own.toml").write_text('extends = "base.toml"\nunroll = 9\n')
    options = read_recipe(str(tmp_path / "own.toml"))
    assert (options["data"], options["cell"], options["unroll"]) == ("tales", ("lstm", "gru"), 9)
    assert "extends" not in options


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("hiden_size = 3", "recipe own.toml: unknown option 'hiden_size'; did you mean 'hidden_size'?"),
        ("unroll = 0", "recipe own.toml: unroll is 0; expected a whole number of at least 1"),
        ("cell = ", "own.toml is no valid TOML: Invalid value"),
        ('extends = "own.toml"', "own.toml extends itself, by way of others or not; take one extends out"),
        ('extends = "grim"', "no such recipe: 'grim'; did you mean 'grimm'?"),
        ('extends = "gone.toml"', "gone.toml'; give a TOML file, or a recipe by name"),
        ("[net]\ncell = 'gru'", "recipe own.toml: unknown option 'net'"),
    ],
)
def test_a_bad_recipe_is_named(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_recipe(str(path))
    assert sentence in str(caught.value)


def test_an_unknown_key_of_the_recipe_extended_names_that_one(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("stepps = 3")
    (tmp_path / "own.toml").write_text('extends = "base.toml"')
    with pytest.raises(UserError, match=r"recipe base.toml: unknown option 'stepps'; did you mean 'steps'?"):
        read_recipe(str(tmp_path / "own.toml"))


def test_a_circle_of_recipes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('extends = "two.toml"')
    (tmp_path / "two.toml").write_text('extends = "one.toml"')
    with pytest.raises(UserError, match=r"extends itself"):
        read_recipe(str(tmp_path / "one.toml"))
