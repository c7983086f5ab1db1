from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from elman import LanguageModel, UserError
from elman.tasks.recipes import read_recipe
from elman.tasks.reproduce import ptb
from elman.tasks.reproduce.ptb import TABLES, finished_rows, run_experiment, select, treebank, write_results

pytestmark = pytest.mark.usefixtures("eager")

# A plain cell in place of the recipe's: what is tested is not the net.
TINY: dict[str, Any] = {
    "cell": "rnn", "cell_args": {}, "hidden_size": 4, "batch_size": 2, "unroll": 5, "steps": 4, "evaluate_every": 2,
    "threads": 1,
}  # fmt: skip
TEXT = " the <unk> fox n't saw N moons \n the king lost a bell \n"


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "ptb.train.txt").write_text(TEXT * 9)
    for part, text in (("valid", TEXT * 2), ("test", " the bell lost the fox \n" * 3)):
        (folder / f"ptb.{part}.txt.gz").write_bytes(gzip.compress(text.encode()))
    return folder


@pytest.mark.parametrize("table", TABLES)
def test_every_run_has_its_recipe(table: str) -> None:
    for experiment in TABLES[table].experiments:
        options = read_recipe(experiment.name)
        assert (options["tokenizer"], options["min_count"], options["end_mark"]) == ("spaced", 0, False)


def test_the_nets_have_the_weights_of_the_papers() -> None:
    """10,000 types; Zaremba's small net, and Mikolov's from its equations with a bias of the output layer."""
    from elman.tasks.estimator import settings_from
    from elman.tasks.language_model.estimator import build_net
    from elman.tasks.settings import LanguageModelSettings

    expected = {
        "ptb-small": 10_000 * 200 + 2 * (4 * 200 * 400 + 2 * 800) + 10_000 * 201,
        "ptb-scrn-100-40": 10_000 * 140 + 100 * 100 + 100 * 40 + 10_000 * 141,
        "ptb-srn-100": 10_000 * 100 + 100 * 100 + 10_000 * 101,
        "ptb-lstm-100": 10_000 * 100 + 4 * 100 * 200 + 2 * 400 + 10_000 * 101,
    }
    for name, weights in expected.items():
        net = build_net(settings_from(LanguageModelSettings, read_recipe(name)), 10_000)
        assert sum(parameter.numel() for parameter in net.parameters()) == weights, name


def test_runs_of_several_calls_make_one_table(bank: Path, tmp_path: Path) -> None:
    (scrn,), (lstm,) = select("ptb-scrn", ["ptb-scrn-100-40"]), select("ptb-scrn", ["ptb-lstm-100"])
    run_experiment(lstm, bank, tmp_path / "runs", TINY, "COMMAND 1")
    row = run_experiment(scrn, bank, tmp_path / "runs", TINY, "COMMAND 2")
    model = LanguageModel.load(tmp_path / "runs" / "ptb-scrn-100-40")
    assert row["types"] == 12 and row["updates"] == 4 and row["published_test"] == 115
    assert row["test_perplexity"] == pytest.approx(model.evaluate(bank / "ptb.test.txt.gz")["perplexity"])
    assert row["valid_perplexity"] == pytest.approx(model.evaluate(bank / "ptb.valid.txt.gz")["perplexity"])
    assert abs(row["valid_perplexity"] - row["test_perplexity"]) > 0.01
    rows = finished_rows("ptb-scrn", tmp_path / "runs")
    assert [each["name"] for each in rows] == ["ptb-scrn-100-40", "ptb-lstm-100"] and rows[0] == row
    paths = write_results("ptb-scrn", rows, tmp_path / "results")
    assert [path.name for path in paths] == ["ptb-scrn.json", "ptb-scrn.md", "ptb-scrn.png"]
    assert json.loads(paths[0].read_text())["runs"] == rows
    lines = paths[1].read_text().splitlines()
    assert "as recalled" in lines[2] and lines[-1] == "- LSTM 100: `COMMAND 1`"
    (shown,) = (line for line in lines if line.startswith("| SCRN 100 + 40 |"))
    assert f"**{row['test_perplexity']:.2f}** | 115 |" in shown
    assert paths[2].stat().st_size > 5_000


def test_a_run_goes_on_where_it_stopped(bank: Path, tmp_path: Path) -> None:
    (lstm,) = select("ptb-scrn", ["ptb-lstm-100"])
    first = run_experiment(lstm, bank, tmp_path, TINY, "")
    again = run_experiment(lstm, bank, tmp_path, TINY, "")
    assert again == first | {"minutes": again["minutes"]}
    assert run_experiment(lstm, bank, tmp_path, TINY | {"steps": 6}, "")["updates"] == 6
    with pytest.raises(UserError, match="was trained with seed=0; a resumed run cannot change it to 7"):
        run_experiment(lstm, bank, tmp_path, TINY | {"seed": 7}, "")


def test_mistakes_are_said(bank: Path) -> None:
    (bank / "ptb.valid.txt.gz").unlink()
    with pytest.raises(UserError, match=r"no ptb.valid.txt or ptb.valid.txt.gz in .*; give the folder of the Penn"):
        treebank(bank)
    with pytest.raises(UserError, match=r"ptb-scrn has no run 'ptb-lstm-10'; did you mean 'ptb-lstm-100'"):
        select("ptb-scrn", ["ptb-lstm-10"])
    assert ptb.select("ptb-small", []) == list(TABLES["ptb-small"].experiments)
