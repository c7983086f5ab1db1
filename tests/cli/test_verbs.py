"""Every verb as it is meant to be used."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from elman import LanguageModel, cells
from elman.cell import cells as known_cells
from elman.training import loop

pytestmark = pytest.mark.usefixtures("eager")

SMALL = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "2", "--unroll", "10", "--threads", "1"]
OWN_CELL = """
import torch
from elman import Cell

class OwnCell(Cell):
    \"\"\"A cell of my own.\"\"\"

    gates = ("n",)

    def step(self, x, h):
        return torch.tanh(x.n + self.recur.n(h))
"""


def test_train_says_what_there_is_and_what_to_do_next(call: Any) -> None:
    said = call("train", "lm", "--data", "text.txt", "--cell", "gru", "--steps", 4, "--evaluate-every", 2, *SMALL)
    assert said.code == 0 and not said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("text      text.txt: ") and "to judge by" in lines[0]
    assert (
        lines[2]
        == f"network   gru, {sum(p.numel() for p in LanguageModel.load('runs/lm-gru-1').net.parameters())} weights"
    )
    assert [line.split("  ")[0] for line in lines if line.startswith("step")] == ["step 2", "step 4"]
    assert "bits per character; guessing by frequency alone takes " in said.out
    assert "a story   elman generate runs/lm-gru-1\n" in said.out
    assert said.out.endswith("go on     elman train lm --resume runs/lm-gru-1 --steps 8\n")
    assert Path("runs/lm-gru-1/curves.png").exists()


def test_what_it_advises_works(call: Any, run: Path) -> None:
    assert call("train", "lm", "--resume", run, "--steps", 8).code == 0
    assert LanguageModel.load(run, "last").settings_.training.steps == 4
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [2, 4, 6, 8]


def test_a_second_run_gets_a_folder_of_its_own(call: Any) -> None:
    for number in (1, 2):
        assert call("train", "lm", "--data", "text.txt", "--steps", 1, *SMALL).code == 0
        assert Path(f"runs/lm-lstm-{number}/settings.json").exists()


def test_a_recipe_is_the_start_and_options_win(call: Any) -> None:
    Path("own.toml").write_text(
        'data = "text.txt"\ncell = "gru"\nhidden_size = 6\nminutes = 60\nbatch_size = 2\nunroll = 10'
    )
    said = call("train", "lm", "--recipe", "own.toml", "--hidden-size", 5, "--steps", 2, "--run", "r")
    assert said.code == 0
    stored = json.loads(Path("r/settings.json").read_text())
    assert (stored["cell"], stored["hidden_size"], stored["steps"]) == ("gru", 5, 2)
    assert stored["minutes"] is None, "a budget given replaces the recipe's"


def test_a_cell_of_ones_own(call: Any) -> None:
    Path("own.py").write_text(OWN_CELL)
    said = call("train", "lm", "--data", "text.txt", "--cell", "own.py:OwnCell", "--steps", 2, *SMALL)
    assert said.code == 0 and "network   OwnCell, " in said.out
    assert call("generate", "runs/lm-owncell-1", "--length", 5).code == 0
    told = call("cells", "own.py:OwnCell").out
    assert told.startswith("OwnCell\n\n    A cell of my own.\n\nstates   h\ngates    n\n")


@pytest.mark.filterwarnings("default")
def test_a_cell_changed_since_training_warns_in_one_line(call: Any) -> None:
    Path("own.py").write_text(OWN_CELL)
    assert call("train", "lm", "--data", "text.txt", "--cell", "own.py:OwnCell", "--steps", 1, *SMALL).code == 0
    Path("own.py").write_text(OWN_CELL + "# changed\n")
    said = call("generate", "runs/lm-owncell-1", "--length", 5)
    assert (said.code, said.err) == (0, "elman: warning: own.py has changed since runs/lm-owncell-1 was trained\n")


def test_cells_of_a_stack(call: Any) -> None:
    words = ["--cell", "lstm", "gru", "--cell-args", "bias=false", "--steps", 1, *SMALL]
    said = call("train", "lm", "--data", "text.txt", *words)
    assert said.code == 0 and "network   lstm + gru, " in said.out
    assert "run       runs/lm-lstm-gru-1" in said.out


def test_generate_prints_prompt_and_text(call: Any, run: Path) -> None:
    said = call("generate", run, "--prompt", "the fox", "--length", 20, "--seed", 3)
    assert said.code == 0 and not said.err
    expected = LanguageModel.load(run).generate("the fox", length=20, seed=3)
    assert said.out == f"the fox{expected}\n"


def test_generate_several(call: Any, run: Path) -> None:
    said = call("generate", run, "--prompt", "the", "--length", 10, "--seed", 3, "--samples", 2)
    expected = LanguageModel.load(run).generate("the", length=10, seed=3, samples=2)
    assert said.out == "".join(f"--- {n}\nthe{text}\n\n" for n, text in enumerate(expected, 1))


@pytest.mark.parametrize(
    "options",
    [
        ["--greedy"],
        ["--beam", 2],
        ["--top-k", 2],
        ["--top-p", 0.5],
        ["--noise", 0.01],
        ["--stop", "e"],
        ["--temperature", 0],
    ],
)
def test_ways_to_generate(call: Any, run: Path, options: list[Any]) -> None:
    said = call("generate", run, "--prompt", "the", "--length", 5, *options, "--checkpoint", "last")
    assert said.code == 0 and said.out.startswith("the")


def test_without_a_run_the_newest_speaks(call: Any, a_run: Path) -> None:
    for number, name in enumerate(("old", "grimm/new")):
        shutil.copytree(a_run, Path("runs", name))
        os.utime(Path("runs", name, "checkpoints", "last"), (number, number))
    said = call("generate", "--length", 5)
    assert (said.code, said.err) == (0, "elman: the newest run, runs/grimm/new\n")
    assert json.loads(call("evaluate", "--json").out)["perplexity"] > 1


def test_evaluate_on_its_own_text_and_on_another(call: Any, run: Path) -> None:
    said = call("evaluate", run)
    assert said.code == 0
    assert said.out.splitlines()[0].startswith("perplexity  ") and said.out.splitlines()[0].endswith(" a character")
    found = json.loads(call("evaluate", run, "--json").out)
    assert f"{found['perplexity']:.3f}" in said.out and f"{found['unigram_bits_per_character']:.4f}" in said.out
    Path("other.txt").write_text("the king saw the bell.\n")
    other = json.loads(call("evaluate", run, "--data", "other.txt", "--json").out)
    assert other == LanguageModel.load(run).evaluate("other.txt")


def test_cells_lists_every_cell_with_its_paper(call: Any) -> None:
    said = call("cells")
    assert said.code == 0
    for name, cell in known_cells().items():
        if cell.__module__.startswith("elman.cells"):
            (line,) = (line for line in said.out.splitlines() if line.split()[0:1] == [name])
            assert any(year in line for year in ("19", "20")), line
            assert str(sum(p.numel() for p in cell(64, 128).parameters())) in line.replace(",", "")


def test_cells_tells_all_about_one(call: Any) -> None:
    said = call("cells", "SCRN", "--hidden-size", 10, "--input-size", 3)
    weights = sum(p.numel() for p in cells.SCRN(3, 10).parameters())
    assert "Mikolov et al. 2015" in said.out and "context_size, alpha" in said.out
    assert f"weights  {weights} (3 inputs, 10 units)" in said.out


def test_data_lists_the_texts(call: Any) -> None:
    said = call("data")
    assert said.code == 0
    assert "tales  original fairy tales" in said.out and "documents, " in said.out
    assert "not here yet: elman data --fetch grimm" in said.out


def test_interrupted_training_says_how_to_go_on(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pressed(loop.Interrupt):
        def __enter__(self) -> Pressed:
            super().__enter__()
            self.requested = True
            return self

    with monkeypatch.context() as patch:
        patch.setattr(loop, "Interrupt", Pressed)
        said = call("train", "lm", "--data", "text.txt", "--steps", 50, "--run", "my run", *SMALL)
    assert said.code == 130
    assert "interrupted after 1 step " in said.out
    assert said.out.endswith("go on     elman train lm --resume 'my run'\n")
    assert "picture" not in said.out
    assert call("train", "lm", "--resume", "my run", "--steps", 3, *SMALL).code == 0


def test_only_the_first_process_talks(call: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert "go on" not in call("train", "lm", "--resume", run, "--steps", 6).out


def test_resuming_a_finished_run_says_so(call: Any, run: Path) -> None:
    said = call("train", "lm", "--resume", run)
    assert said.code == 0
    assert "stopped after 4 steps" in said.out and "the budget of steps is used up" in said.out
    assert f"--resume {run} --steps 8" in said.out


def test_float64_and_threads(call: Any) -> None:
    assert call("train", "lm", "--data", "text.txt", "--dtype", "float64", "--steps", 1, "--run", "r", *SMALL).code == 0
    assert LanguageModel.load("r").net.head.weight.dtype == torch.float64
