from __future__ import annotations

import gzip
import itertools
import json
import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from elman import TBPTT, LanguageModel, UserError
from elman.data import Tokenizer, load_corpus
from elman.models import LanguageNet
from elman.tasks.language_model.estimator import (
    _backward,
    cross_entropy,
    encode_prompt,
    evaluate_net,
    new_run_folder,
)
from elman.training import RunFolder, Workers, read_checkpoint

pytestmark = pytest.mark.usefixtures("eager")

OWN_CELL = """
import torch
from elman import Cell

class OwnCell(Cell):
    gates = ("n",)

    def step(self, x, h):
        return torch.tanh(x.n + self.recur.n(h))
"""


def small(**options: Any) -> LanguageModel:
    tiny = {"cell": "rnn", "hidden_size": 6, "embedding_size": 5, "batch_size": 2, "unroll": 7, "steps": 3}
    return LanguageModel(**tiny | options)


def logits(model: LanguageModel, text: str) -> Tensor:
    ids = torch.tensor(encode_prompt(model.tokenizer_, text))[:, None]
    with torch.no_grad():
        return model.net(ids)[0]


# Quality


def test_it_learns_far_more_than_frequencies(trained: LanguageModel) -> None:
    found = trained.evaluate()
    assert found["unigram_bits_per_character"] > 3.5
    assert found["bits_per_character"] < 0.35 * found["unigram_bits_per_character"]
    assert found["perplexity"] < 2.2
    assert found == pytest.approx({**trained.result.best_metrics, **found}, rel=1e-6)


def test_what_it_writes_is_of_the_words_it_read(trained: LanguageModel) -> None:
    words = set(trained.generate("the king ", length=400, temperature=0.3, seed=0).replace(".", " ").split()[:-1])
    known = {word.strip(".") for word in Path(trained.settings_.text.data).read_text().split()}
    assert len(words & known) >= 0.9 * len(words)


# Evaluation


def brute_force(model: LanguageModel, documents: list[list[int]]) -> float:
    """The sum of -log p of every token but the first of each document, one token and one document at a time."""
    total = 0.0
    for ids in documents:
        state = None
        for before, after in itertools.pairwise(ids):
            with torch.no_grad():
                scores, state = model.net(torch.tensor([[before]]), state)
            total -= float(scores[0, 0].double().log_softmax(-1)[after])
    return total


@pytest.mark.parametrize("end_mark", [True, False])
@pytest.mark.parametrize("tokenizer", ["char", "bigram", "word", "bpe"])
def test_evaluation_equals_one_token_at_a_time(tmp_path: Path, tokenizer: str, end_mark: bool) -> None:
    # Of even length and without blanks at the end, so that no tokenizer drops a character.
    texts = ["the fox saw the moon." * 2, "the king was lost!", "a goose sold the old mill to the fox, and wept."]
    texts = [text + "." * (len(text) % 2) for text in texts]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    options = {"bigram": {"min_count": 0}, "word": {"min_count": 0}, "bpe": {"vocab_size": 270}}.get(tokenizer, {})
    model = small(dtype="float64", tokenizer=tokenizer, end_mark=end_mark, batch_size=1, unroll=2, **options)
    model.fit(tmp_path, run=tmp_path / "run", quiet=True)
    mark = [model.tokenizer_.end_id] if end_mark else []
    documents = [[*mark, *map(int, model.tokenizer_.encode(text)), *mark] for text in texts]
    total = brute_force(model, documents)
    found = model.evaluate(tmp_path)
    assert found["loss"] == pytest.approx(total / sum(len(ids) - 1 for ids in documents), rel=1e-10)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]), rel=1e-12)
    # What is scored: without a mark each document's first token is given, and costs nothing.
    characters = sum(map(len, texts))
    if not end_mark:
        characters -= sum(model.tokenizer_.width(ids[0]) for ids in documents)
    assert found["bits_per_character"] == pytest.approx(total / math.log(2) / characters, rel=1e-10)


def test_evaluation_leaves_the_mode_of_the_net_as_it_was(trained: LanguageModel, story: Path) -> None:
    corpus = load_corpus(story)
    for mode in (True, False):
        trained.net.train(mode)
        evaluate_net(trained.net, corpus.valid)
        assert trained.net.training is mode


def test_evaluating_a_changed_text_asks_for_one(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the fox saw the moon. " * 20)
    model = small().fit(path, run=tmp_path / "run", quiet=True)
    path.write_text("XYZ" * 200)
    with pytest.raises(UserError, match=r"has changed since training; name the text to evaluate on"):
        model.evaluate()


def test_cross_entropy_of_known_probabilities() -> None:
    scores = torch.tensor([[[0.5, 0.25, 0.25]], [[0.1, 0.8, 0.1]]]).log()
    loss = cross_entropy(scores, torch.tensor([[1], [0]]))
    assert loss.item() == pytest.approx(-(math.log(0.25) + math.log(0.1)) / 2)


# Generation


def test_a_seed_makes_the_same_text(trained: LanguageModel) -> None:
    one, same, other = (trained.generate("the ", length=60, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert len(one) == 60


def test_greedy_is_temperature_zero_is_the_argmax(trained: LanguageModel) -> None:
    text = trained.generate("the fox ", length=12, greedy=True)
    assert text == trained.generate("the fox ", length=12, temperature=0)
    written = "the fox "
    for letter in text:
        state = trained.net(torch.zeros(1, 1, dtype=torch.long))[1]
        ids = torch.tensor(encode_prompt(trained.tokenizer_, written))[:, None]
        best = trained.net(ids, state)[0][-1, 0].argmax()
        assert trained.tokenizer_.decode([int(best)]) == letter
        written += letter


def test_samples_are_a_list_and_differ(trained: LanguageModel) -> None:
    texts = trained.generate("the ", length=30, samples=3, seed=0)
    assert isinstance(texts, list)
    assert len(set(texts)) == 3


def test_a_stop_text_ends_the_text_before_it(trained: LanguageModel) -> None:
    whole = trained.generate("the ", length=200, seed=3)
    stopped = trained.generate("the ", length=200, seed=3, stop=".")
    assert isinstance(whole, str)
    assert stopped == whole.partition(".")[0]
    assert trained.generate("the ", length=200, beam=2, stop=".").count(".") == 0


def test_beam_search_is_at_least_as_likely_as_greedy(trained: LanguageModel) -> None:
    def log_prob(text: str) -> float:
        ids = [trained.tokenizer_.end_id, *encode_prompt(trained.tokenizer_, "the " + text)]
        with torch.no_grad():
            scores = trained.net(torch.tensor(ids)[:, None])[0][:, 0].double().log_softmax(-1)
        return sum(float(scores[n - 1, ids[n]]) for n in range(5, len(ids)))

    greedy, beam = trained.generate("the ", length=8, greedy=True), trained.generate("the ", length=8, beam=8)
    assert len(beam) == 8
    assert log_prob(beam) >= log_prob(greedy) - 1e-6


@pytest.mark.parametrize("extra", [{"samples": 2}, {"top_k": 3}, {"greedy": True}, {"noise": 0.01}, {"top_p": 0.5}])
def test_beam_search_refuses_what_belongs_to_chance(trained: LanguageModel, extra: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"beam search finds the one likeliest text; leave"):
        trained.generate("the ", beam=3, **extra)


def test_a_noise_start_changes_the_text_little_and_by_seed(trained: LanguageModel) -> None:
    texts = [trained.generate("the ", length=40, noise=sigma, seed=5) for sigma in (0.0, 0.01, 2.0)]
    assert texts[0] == trained.generate("the ", length=40, noise=0.0, seed=5)
    assert len(set(texts)) > 1


def test_a_prompt_with_unseen_characters_names_them(trained: LanguageModel) -> None:
    with pytest.raises(UserError, match=r"the tokenizer never saw.*'Z'"):
        trained.generate("Z")


def test_before_training_it_says_what_to_do() -> None:
    for call in (LanguageModel().generate, LanguageModel().evaluate, lambda: LanguageModel().save("x")):
        with pytest.raises(UserError, match=r"has not been trained; call fit"):
            call()


def test_a_model_of_lower_case_hears_a_prompt_in_lower_case(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("The Fox Saw The Moon. " * 20)
    model = small(lowercase=True).fit(tmp_path / "text.txt", run=tmp_path / "run", quiet=True)
    assert model.generate("The FOX", length=9, seed=1) == model.generate("the fox", length=9, seed=1)


def test_without_an_end_mark_a_prompt_is_needed(tmp_path: Path, story: Path) -> None:
    model = small(end_mark=False).fit(story, run=tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match=r"knows no start of a story .*; give a prompt"):
        model.generate()
    assert len(model.generate("the", length=5)) == 5


def test_an_odd_prompt_of_pairs_is_heard_to_its_last_character(story: Path) -> None:
    tokenizer = load_corpus(story, tokenizer="bigram", min_count=0).tokenizer
    assert tokenizer.decode(encode_prompt(tokenizer, "the f")) == " the f"
    assert tokenizer.decode(encode_prompt(tokenizer, "the fo")) == "the fo"


Texts = tuple[list[str], Callable[[int, str], object]]


@pytest.fixture
def heard() -> Texts:
    parts = [""] * 3

    def hear(sample: int, text: str) -> None:
        assert text
        parts[sample] += text

    return parts, hear


@pytest.mark.parametrize(
    "options", [{}, {"stop": "the"}, {"stop": "mill."}, {"beam": 3}, {"samples": 3, "stop": "fox"}]
)
def test_on_text_hears_what_is_returned(trained: LanguageModel, heard: Texts, options: dict[str, Any]) -> None:
    parts, hear = heard
    returned = trained.generate("the ", length=80, **{"seed": 4, **options, "on_text": hear})
    assert parts[: options.get("samples", 1)] == ([returned] if isinstance(returned, str) else returned)


def test_on_text_hears_whole_characters_of_byte_pairs(tmp_path: Path, heard: Texts) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Füchse öffnen Türen 🦊 für Gänse 鶴と狐 " * 12, "utf-8")
    model = small(tokenizer="bpe", vocab_size=258).fit(path, run=tmp_path / "run", quiet=True)
    assert model.tokenizer_.vocab_size == 258
    parts, hear = heard
    # Almost untrained on bytes: what comes is mostly no UTF-8 at all, the hardest case.
    returned = model.generate("Füchse 🦊", length=200, samples=3, temperature=1.0, seed=0, on_text=hear)
    assert parts == returned
    assert any("\N{REPLACEMENT CHARACTER}" in text for text in returned)


def test_each_token_is_decoded_once(trained: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    def counting(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda ids: decode(decoded.append(i) or i for i in ids)  # type: ignore[func-returns-value]

    for name in ("decode", "decode_each"):
        monkeypatch.setattr(trained.tokenizer_, name, counting(getattr(trained.tokenizer_, name)), raising=False)
    heard: list[str] = []
    written = trained.generate("the ", length=300, seed=4, on_text=lambda _, text: heard.append(text))
    assert len(decoded) == len("the ") + len(written) == 304
    assert "".join(heard) == written


# Save, load, run folder


def test_what_is_saved_is_loaded(trained: LanguageModel, tmp_path: Path) -> None:
    trained.save(tmp_path / "copy")
    for model in (LanguageModel.load(tmp_path / "copy"), LanguageModel.load(trained.run.path)):
        assert torch.equal(logits(model, "the king "), logits(trained, "the king "))
        assert model.settings_ == trained.settings_
        assert model.generate("the ", length=30, seed=1) == trained.generate("the ", length=30, seed=1)
        assert not model.net.training
    with pytest.raises(UserError, match=r"holds checkpoints already; choose another folder"):
        trained.save(tmp_path / "copy")


def test_checkpoints_are_loaded_by_name(tmp_path: Path, story: Path) -> None:
    model = small(steps=6, evaluate_every=2, keep=3, learning_rate=0.05).fit(story, run=tmp_path / "run", quiet=True)
    weights = {
        name: LanguageModel.load(tmp_path / "run", name).net.head.weight for name in ("2", "4", "6", "last", "best")
    }
    assert torch.equal(weights["6"], weights["last"])
    assert not torch.equal(weights["2"], weights["4"])
    assert torch.equal(weights["best"], weights[str(model.result.best_step)])
    with pytest.raises(UserError, match=r"has no checkpoint step-00000003; it has"):
        LanguageModel.load(tmp_path / "run", "3")


def test_the_folder_says_what_the_model_is(trained: LanguageModel) -> None:
    stored = json.loads(trained.run.settings.read_text())
    assert (stored["task"], stored["cell"], stored["hidden_size"]) == ("language_model", "gru", 32)
    assert Tokenizer.load(trained.run.tokenizer).identity == trained.tokenizer_.identity


def test_settings_changed_by_hand_are_refused(trained: LanguageModel, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    path = tmp_path / "run" / "settings.json"
    stored = json.loads(path.read_text())
    for change, sentence in (
        ({"hidden_size": 31}, "is of another model"),
        ({"hiden_size": 31}, "settings.json: unknown option 'hiden_size'; did you mean 'hidden_size'?"),
        ({"dropout": 7}, "settings.json: dropout is 7; expected"),
        ({"task": "tagger"}, "is a run of the task 'tagger'; expected a language model"),
    ):
        path.write_text(json.dumps(stored | change))
        with pytest.raises(UserError, match=sentence):
            LanguageModel.load(tmp_path / "run")


def test_a_run_is_never_overwritten(trained: LanguageModel, story: Path) -> None:
    before = trained.run.settings.read_bytes()
    with pytest.raises(
        UserError, match=r"holds a run already; go on with --resume .*, or choose another folder with --run"
    ):
        small().fit(story, run=trained.run.path, quiet=True)
    assert trained.run.settings.read_bytes() == before


def test_new_run_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_run_folder("lm-gru") == Path("runs/lm-gru-1")
    for taken in (1, 3):
        Path(f"runs/lm-gru-{taken}").mkdir(parents=True)
    assert new_run_folder("lm-gru", Workers()) == Path("runs/lm-gru-2")


AWD = {
    "tokenizer": "word", "hidden_size": (6, 5), "tied": True, "optimizer": "sgd", "learning_rate": 30.0, "clip": 0.25,
    "dropout": 0.25, "input_dropout": 0.4, "output_dropout": 0.3, "embedding_dropout": 0.1, "weight_drop": 0.5,
    "locked": True, "activation_penalty": 2.0, "change_penalty": 1.0, "vary_unroll": True, "average_after": 1,
    "evaluate_every": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    "options", [{"dropout": 0.3, "backprop": 14, "initial_state": 0.1, "evaluate_every": 2}, AWD], ids=["plain", "awd"]
)
def test_resuming_equals_not_stopping(tmp_path: Path, story: Path, options: dict[str, Any]) -> None:
    options = {"cell": "rnn" if "weight_drop" in options else "lstm", **options}
    whole = small(**options, steps=7).fit(story, run=tmp_path / "whole", quiet=True)
    small(**options, steps=3).fit(story, run=tmp_path / "parts", quiet=True)
    parts = small(**options, steps=7).fit(story, run=tmp_path / "parts", resume=True, quiet=True)
    ours, theirs = (LanguageModel.load(model.run.path, "last").net.state_dict() for model in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    if "average_after" in options:
        assert read_checkpoint(whole.run.checkpoint("last")).facts["averaged"] > 1


def test_gradients_of_a_window_have_the_penalty_and_the_loss_has_not(story: Path) -> None:
    """With penalties, against autograd over the sum written out."""
    net = LanguageNet(9, "gru", 4, embedding_size=3, activation_penalty=2.0, change_penalty=1.0).double()
    x, y = torch.randint(9, (4, 2)), torch.randint(9, (4, 2))
    resets = torch.zeros(4, 2, dtype=torch.bool)
    logits, _ = net(x)
    plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    expected = torch.autograd.grad(plain + net.penalty, list(net.parameters()))
    found = _backward(TBPTT(net, 10), net, (x, y, resets))
    assert found.item() == pytest.approx(plain.item(), rel=1e-12) and net.penalty is None
    for parameter, gradient in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-14)


def test_another_text_judges(tmp_path: Path, story: Path) -> None:
    other = tmp_path / "valid.txt.gz"
    other.write_bytes(gzip.compress(b"the fox saw the moon.\nthe king lost a bell.\n"))
    model = small(valid=str(other)).fit(story, run=tmp_path / "run", quiet=True)
    unzipped = tmp_path / "valid.txt"
    unzipped.write_bytes(gzip.decompress(other.read_bytes()))
    assert model.result.best_metrics["loss"] == pytest.approx(model.evaluate(unzipped)["loss"], rel=1e-6)
    assert model.evaluate()["loss"] == pytest.approx(model.result.best_metrics["loss"], rel=1e-6)


def test_resuming_with_another_text_is_refused(tmp_path: Path, story: Path) -> None:
    story = Path(shutil.copy(story, tmp_path))
    small().fit(story, run=tmp_path / "run", quiet=True)
    other = tmp_path / "other.txt"
    other.write_text("quite other letters: XYZ! " * 40)
    with pytest.raises(UserError, match=r"was trained with data='.*story.txt'; a resumed run cannot change it to"):
        small(steps=6).fit(other, run=tmp_path / "run", resume=True, quiet=True)
    story.write_text(story.read_text() * 2)  # the same letters
    with pytest.raises(UserError, match=r"the text has changed since .*run was trained"):
        small(steps=6).fit(story, run=tmp_path / "run", resume=True, quiet=True)
    with pytest.raises(UserError, match="has changed since training; name the text to evaluate on"):
        LanguageModel.load(tmp_path / "run").evaluate()
    assert RunFolder(tmp_path / "run").steps()[-1] == 3


def test_a_folder_of_stories_may_hold_its_runs(tmp_path: Path, story: Path) -> None:
    (tmp_path / "a.txt").write_text(story.read_text())
    model = small().fit(tmp_path, run=tmp_path / "run", quiet=True)
    (tmp_path / "notes.md").write_text("no story")
    assert LanguageModel.load(tmp_path / "run").evaluate() == model.evaluate()


def test_it_is_judged_where_its_run_folder_is_gone(tmp_path: Path, story: Path) -> None:
    model = small().fit(story, run=tmp_path / "run", quiet=True)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert model.evaluate() == LanguageModel.load(tmp_path / "moved").evaluate()


def test_saved_models_load_with_tied_weights(tmp_path: Path, story: Path) -> None:
    model = small(tied=True, embedding_size=6).fit(story, run=tmp_path / "run", quiet=True)
    model.save(tmp_path / "saved")
    again = LanguageModel.load(tmp_path / "saved")
    assert again.evaluate(story) == model.evaluate(story)


# Every kind of net


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"cell": ("lstm", "gru")}, ["LSTM", "GRU"]),
        pytest.param({"cell": ["lstm", "gru"], "hidden_size": [6, 4]}, ["LSTM", "GRU"], marks=pytest.mark.slow),
        pytest.param({"hidden_size": (6, 4, 3)}, ["RNN"] * 3, marks=pytest.mark.slow),
        ({"num_layers": 2, "dropout": 0.2}, ["RNN"] * 2),
        pytest.param(
            {"cell": "scrn", "cell_args": {"context_size": 3, "alpha": 0.5}}, ["SCRN"], marks=pytest.mark.slow
        ),
        ({"tied": True, "embedding_size": 6}, ["RNN"]),
        pytest.param({"embedding_size": 0}, ["RNN"], marks=pytest.mark.slow),
        ({"initial_state": "trained"}, ["RNN"]),
        pytest.param({"initial_state": 0.01}, ["RNN"], marks=pytest.mark.slow),
        ({"dtype": "float64", "init": "xavier"}, ["RNN"]),
    ],
)
def test_nets_of_all_kinds_train_load_and_write(
    tmp_path: Path, story: Path, options: dict[str, Any], layers: list[str]
) -> None:
    model = small(**options).fit(story, run=tmp_path / "run", quiet=True)
    loaded = LanguageModel.load(tmp_path / "run")
    assert [type(layer[0]).__name__ for layer in loaded.net.recurrent.layers] == layers
    if options.get("initial_state") != 0.01:
        assert torch.equal(logits(loaded, "the"), logits(model, "the"))
    assert loaded.net.head.weight.dtype == getattr(torch, options.get("dtype", "float32"))
    assert (loaded.net.head.weight is getattr(loaded.net.embedding, "weight", None)) == options.get("tied", False)
    assert len(loaded.generate("the", length=4, seed=0)) <= 4
    assert np.isfinite(loaded.evaluate()["perplexity"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cell": "lstn"}, "unknown cell 'lstn'; did you mean 'lstm'?"),
        (
            {"cell_args": {"alpa": 1}, "cell": "scrn"},
            "no cell of this stack has an option 'alpa'; did you mean 'alpha'?",
        ),
        ({"cell": ("lstm", "gru"), "num_layers": 3}, "layers do not fit: cell says 2, num_layers says 3"),
        ({"cell": ()}, "layers do not fit: cell says 0"),
        ({"tied": True}, "tied weights need an embedding"),
        ({"backprop": 10}, "backprop is 10; expected a multiple of unroll, which is 7"),
        ({"device": "tpu"}, "device='tpu'; expected 'auto', 'cpu' or 'cuda'"),
        ({"momentum": 0.5}, "contradicts optimizer='adam'"),
        ({"batch_size": 5000}, "give more text, or choose a smaller batch"),
        ({"vocab_size": 300}, "vocab_size=300 has no meaning for the tokenizer 'char'"),
        ({"split": "files", "valid_documents": 1}, "use split='tails' or more files"),
        ({"initial_state": -1.0}, "the sigma of noise"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, story: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        small(**options).fit(story, run=tmp_path / "run", quiet=True)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_cell_of_the_users_own_is_recorded_and_watched(
    tmp_path: Path, story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN_CELL)
    model = small(cell="own.py:OwnCell").fit(story, quiet=True)
    assert model.run.path == Path("runs/lm-owncell-1")
    assert list(json.loads(model.run.settings.read_text())["cell_files"]) == ["own.py"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(logits(LanguageModel.load(model.run.path), "the"), logits(model, "the"))
    Path("own.py").write_text(OWN_CELL + "\n# another thought\n")
    with pytest.warns(UserWarning, match=r"own.py has changed since runs/lm-owncell-1 was trained"):
        LanguageModel.load(model.run.path)
    Path("own.py").unlink()
    with pytest.raises(UserError, match=r"was trained with a cell of own.py, which is not here; put that file back"):
        LanguageModel.load(model.run.path)


def test_a_cell_that_cannot_run_fails_before_anything_is_written(tmp_path: Path, story: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_CELL.replace("self.recur.n(h)", "torch.ones(2, 99)"))
    with pytest.raises(RuntimeError, match=r"size of tensor"):
        small(cell=f"{tmp_path}/own.py:OwnCell").fit(story, run=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_same_seed_trains_the_same_weights(tmp_path: Path, story: Path) -> None:
    nets = [small(seed=seed).fit(story, run=tmp_path / f"{n}", quiet=True).net for n, seed in enumerate((1, 1, 2))]
    one, same, other = (net.head.weight for net in nets)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_seed_fixes_the_noise_a_net_starts_from(tmp_path: Path, story: Path) -> None:
    lm = small(initial_state=1.0, steps=1).fit(story, run=tmp_path / "run", quiet=True)
    first, again = (lm.generate("the", length=30, greedy=True, seed=1) for _ in range(2))
    assert first == again
    before = torch.random.get_rng_state()
    lm.generate("the", length=3, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
