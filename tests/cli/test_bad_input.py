"""What can go wrong: one sentence on standard error, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elman import LanguageModel
from elman.training import RunFolder
from elman.training.files import write_synced

pytestmark = pytest.mark.usefixtures("eager")

Refused = Callable[..., str]
SMALL = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "2", "--unroll", "10", "--threads", "1"]
TRAIN = ["train", "lm", "--data", "text.txt", "--steps", "3", *SMALL]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Commands and options


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("train ml", "elman train knows no task 'ml'; valid: caption, classify"),
        ("train lm --hiden-size 3", "elman train lm has no option '--hiden-size'; did you mean '--hidden-size'?"),
        ("train lm text.txt", "elman train lm does not know what to do with 'text.txt'; did you mean --data text.txt?"),
        ("train lm --hidden-size big", "hidden_size is 'big'; expected a whole number"),
        ("train lm --tokenizer bigam", "tokenizer is 'bigam'; did you mean 'bigram'?"),
        ("train lm --dropout 1.5", "dropout is 1.5; expected a probability, 0 or more and below 1"),
        (
            "train lm --betas 0.9",
            "missing value for argument '--betas'; expected 2 values; elman train lm --help explains",
        ),
        ("train lm --recipe dem", "no such recipe: 'dem'; did you mean 'demo'?"),
        ("train lm --cell lstn", "unknown cell 'lstn'; did you mean 'lstm'?"),
        ("train lm --cell gone.py:Cell", "no such file: 'gone.py'"),
        ("train lm --cell-args alpha", "'alpha' is no option of a cell; write name=value"),
        (
            "train lm --cell scrn --cell-args alpa=1",
            "no cell of this stack has an option 'alpa'; did you mean 'alpha'?",
        ),
        ("train lm --cell scrn --cell-args alpha=old", "the cell cannot be made with cell_args={'alpha': 'old'}: "),
        ("train lm --resume nowhere", "nowhere is not a run folder"),
        ("train lm --resume nowhere --recipe demo", "--resume goes on with the run's own settings; leave --recipe out"),
        ("cells lstn", "unknown cell 'lstn'; did you mean 'lstm'?"),
        ("cells lstm --hidden-size 0", "give a whole number of at least 1"),
        ("data --fetch grim", "'grim' cannot be fetched; did you mean 'grimm'?"),
        ("data --fetch tales", "'tales' cannot be fetched; "),
        ("generate nowhere", "nowhere is not a run folder: it holds no settings.json; give the folder of a run"),
        ("generate", "no run was named and runs/ holds none; name a run folder, or train: elman train lm"),
        ("evaluate", "no run was named and runs/ holds none"),
        ("evaluate text.txt", "text.txt"),
    ],
)
def test_commands_and_options(refused: Refused, words: str, sentence: str) -> None:
    assert sentence in refused(*words.split())
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--optimizer adam --momentum 0.9", "momentum=0.9 contradicts optimizer='adam'"),
        ("--backprop 25", "backprop is 25; expected a multiple of unroll, which is 10"),
        ("--min-count 3", "min_count=3 has no meaning for the tokenizer 'char'"),
        ("--tied", "tied weights need an embedding of the output's size 8, got embedding_size=4"),
        ("--cell lstm gru --num-layers 3", "layers do not fit: cell says 2, num_layers says 3"),
        ("--valid-characters 5 --split files", "valid_characters belongs to split='tails'"),
        ("--min-learning-rate 1", "min_learning_rate=1.0 is above learning_rate"),
        ("--device cuda:9", "cuda"),
        ("--cell rnn --cell-args forget_bias=1", "forget_bias=1 has nothing to set"),
    ],
)
def test_contradictions(refused: Refused, words: str, sentence: str) -> None:
    assert sentence in refused(*TRAIN, *words.split())
    assert not Path("runs").exists()


def test_an_unknown_key_of_a_recipe(refused: Refused) -> None:
    Path("own.toml").write_text("hiden_size = 3\n")
    assert refused("train", "lm", "--recipe", "own.toml") == (
        "recipe own.toml: unknown option 'hiden_size'; did you mean 'hidden_size'?"
    )


# Texts


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no such file or folder: 'bad.txt'"),
        (b"", "'bad.txt' is empty; expected UTF-8 text"),
        (b"caf\xe9 " * 100, "'bad.txt' is not UTF-8 text: byte 3 (0xe9) cannot be decoded; save the file as UTF-8"),
        (b"not quite enough", "but a window needs 10; give more text, or choose a smaller batch or window"),
    ],
)
def test_texts(refused: Refused, content: bytes | None, sentence: str) -> None:
    if content is not None:
        Path("bad.txt").write_bytes(content)
    assert sentence in refused("train", "lm", "--data", "bad.txt", *SMALL)
    assert not Path("runs").exists()


def test_a_folder_without_texts(refused: Refused) -> None:
    Path("stories").mkdir()
    assert "no *.txt files in the folder 'stories'" in refused("train", "lm", "--data", "stories")


def test_a_corpus_not_fetched(refused: Refused) -> None:
    said = refused("train", "lm", "--recipe", "grimm-rnn-20")
    assert "the corpus 'grimm' is not in the cache" in said and "elman data --fetch grimm" in said


def test_prompts_and_texts_with_characters_never_seen(call: Any, refused: Refused, run: Path) -> None:
    assert "characters the tokenizer never saw: 'Z' at 4" in refused("generate", run, "--prompt", "the Zebra")
    assert call("generate", run, "--prompt", "the Zebra").out == ""
    Path("other.txt").write_text("Zebra")
    assert "characters the tokenizer never saw: 'Z' at 0" in refused("evaluate", run, "--data", "other.txt")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--length 0", "length is 0; expected a whole number of at least 1"),
        ("--samples 0", "samples is 0"),
        ("--temperature -1", "temperature is -1.0; expected a number of at least 0"),
        ("--top-p 2", "top_p is 2.0"),
        ("--noise -1", "noise is -1.0"),
        ("--beam 2 --samples 3", "beam search finds the one likeliest text; leave samples"),
        ("--checkpoint 3", "has no checkpoint step-00000003; it has step-00000002, step-00000004"),
        ("--checkpoint newest", "has no checkpoint newest"),
    ],
)
def test_generating(refused: Refused, run: Path, words: str, sentence: str) -> None:
    assert sentence in refused("generate", run, "--prompt=the", *words.split())


# Run folders


def test_a_folder_that_holds_a_run_is_left_alone(refused: Refused, run: Path) -> None:
    before = everything(run)
    assert refused(*TRAIN, "--run", run) == (
        "run holds a run already; go on with --resume run, or choose another folder with --run"
    )
    assert everything(run) == before


def test_a_folder_that_cannot_be_made(refused: Refused) -> None:
    assert "cannot write text.txt/run: Not a directory" in refused(*TRAIN, "--run", "text.txt/run")


def test_a_folder_that_cannot_be_written(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", read_only)
    assert refused(*TRAIN, "--run", "r") == "cannot write r: Permission denied; choose a folder you may write to"


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(
    refused: Refused, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.parent.name.endswith("4") and path.name == "train.safetensors":
            path.write_bytes(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        write_synced(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("elman.training.checkpoint.write_synced", full)
        sentence = refused(*TRAIN, "--steps", 20, "--evaluate-every", 2, "--run", "r")
    assert sentence.startswith("cannot write r/checkpoints/step-00000004: No space left on device; the checkpoint")
    assert "step-00000002 is intact, free some space or choose another folder, then go on with --resume" in sentence
    assert RunFolder("r").steps() == [0, 2]
    assert call("train", "lm", "--resume", "r").code == 0
    assert RunFolder("r").steps()[-1] == 20


@pytest.mark.parametrize("name", ["model.safetensors", "train.json"])
@pytest.mark.parametrize("how", ["cut short", "changed", "gone"])
def test_damaged_checkpoints(refused: Refused, run: Path, name: str, how: str) -> None:
    path = run / "checkpoints" / (run / "checkpoints" / "best").read_text().strip() / name
    data = bytearray(path.read_bytes())
    path.unlink()
    if how != "gone":
        data[len(data) // 2] ^= 1
        path.write_bytes(data[: len(data) // 3] if how == "cut short" else data)
    sentence = refused("generate", run)
    assert "is damaged: " in sentence and name in sentence
    assert "is damaged: " in refused("train", "lm", "--resume", run, "--steps", 9)


def test_a_checkpoint_of_another_model(refused: Refused, run: Path) -> None:
    settings = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(settings | {"cell": "gru"}))
    for words in (["generate", run], ["train", "lm", "--resume", run, "--steps", 9]):
        sentence = refused(*words)
        assert "is of another model: " in sentence and "is (32,) there and (24,) here" in sentence


@pytest.mark.parametrize("content", ["{", "[]", '{"task": "language_model", "cel": "gru"}', '{"task": "tagger"}'])
def test_settings_that_are_none(refused: Refused, run: Path, content: str) -> None:
    (run / "settings.json").write_text(content)
    assert "run" in refused("generate", run)


def test_a_run_without_tokenizer_or_checkpoints(refused: Refused, run: Path) -> None:
    shutil.move(run / "tokenizer.json", "kept.json")
    assert "cannot read the tokenizer 'run/tokenizer.json'" in refused("generate", run)
    shutil.move("kept.json", run / "tokenizer.json")
    shutil.rmtree(run / "checkpoints")
    assert "run holds no checkpoint yet" in refused("generate", run)


# Resuming


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--hidden-size 9",
            "run was trained with hidden_size=8; a resumed run cannot change it to 9 (only epochs, steps",
        ),
        ("--cell gru", "run was trained with cell='lstm'; a resumed run cannot change it to 'gru'"),
        ("--learning-rate 0.1", "run was trained with learning_rate=0.002; a resumed run cannot change it to 0.1"),
        ("--run elsewhere", "--resume run writes to that very folder; leave --run out"),
        ("--recipe demo", "--resume goes on with the run's own settings; leave --recipe out"),
    ],
)
def test_what_a_resumed_run_cannot_change(refused: Refused, run: Path, words: str, sentence: str) -> None:
    before = everything(run)
    assert sentence in refused("train", "lm", "--resume", run, *words.split())
    assert everything(run) == before


def test_resuming_with_a_changed_text(refused: Refused, call: Any) -> None:
    assert call(*TRAIN, "--run", "r").code == 0
    Path("text.txt").write_text("quite another text, with Zebras.\n" * 30)
    before = everything(Path("r"))
    assert "the text has changed since r was trained" in refused("train", "lm", "--resume", "r", "--steps", 9)
    assert everything(Path("r")) == before


# Cells of the user's own

CELL = """import torch
from elman import Cell

class OwnCell(Cell):
    gates = ("n",)
    def step(self, x, h):
        {}
"""


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("class (", "own.py could not be run: SyntaxError: invalid syntax (own.py, line 1)"),
        ("import nothing_of_this_name", "own.py could not be run: ModuleNotFoundError: No module named"),
        ("class Other: pass", "own.py has no cell 'OwnCell'; it defines none"),
        (
            CELL.format("return h @ torch.ones(3, 3)"),
            "own.py line 7, in OwnCell.step: RuntimeError: mat1 and mat2 shapes",
        ),
        (CELL.format("raise ValueError"), "own.py line 7, in OwnCell.step: ValueError: no reason given; mend the cell"),
        (CELL.format("return h, h"), "OwnCell.step returned 2 tensors; expected h"),
        (CELL.format("return x.m"), "OwnCell"),
    ],
)
def test_cells_of_ones_own(refused: Refused, source: str, sentence: str) -> None:
    Path("own.py").write_text(source)
    assert sentence in refused(*TRAIN, "--cell", "own.py:OwnCell")
    assert not Path("runs").exists()


def test_a_mistake_of_ours_keeps_its_traceback(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanguageModel, "fit", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(*TRAIN)


# Divergence


def test_divergence_names_step_and_tensor_and_keeps_a_good_checkpoint(refused: Refused) -> None:
    words = (
        "--cell rnn --cell-args nonlinearity=relu --optimizer sgd --clip none --learning-rate 1e9 --run r --steps 50"
    )
    sentence = refused(*TRAIN, *words.split())
    assert (
        sentence.startswith("step ")
        and "so training stopped; the last good checkpoint is r/checkpoints/step-" in sentence
    )
    assert any(f" the {what} became " in sentence for what in ("loss", "gradient", "parameter"))
    assert "try a lower learning_rate (now 1e+09)" in sentence
    assert all(p.isfinite().all() for p in LanguageModel.load("r", "last").net.parameters())
