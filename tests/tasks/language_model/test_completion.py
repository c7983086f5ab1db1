from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman import LanguageModel, UserError
from elman.data.tokenizers import CharTokenizer
from elman.tasks.language_model.completion import before_gap, next_tokens, next_words

pytestmark = pytest.mark.usefixtures("eager")

LETTERS = CharTokenizer.train(["ab c."])  # END, blank, ".", a, b, c


class Fixed(nn.Module):
    """Scores that depend on the last two tokens only, drawn once."""

    def __init__(self, size: int, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.scores = 2 * torch.randn(size, size, size, generator=draw, dtype=torch.float64)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        before = torch.zeros(x.shape[1], dtype=torch.int64) if state is None else state
        last = torch.cat([before[None], x])
        return self.scores[last[:-1], last[1:]], x[-1]


def exhaustive(net: Fixed, ids: list[int], longest: int) -> dict[str, float]:
    """Every word of at most ``longest`` letters, by multiplying its probabilities out."""
    p = net.scores.softmax(-1)
    context = [0, 0, *ids]
    letters = [3, 4, 5]
    found: dict[str, float] = {}
    for blank in ([], [1]) if context[-1] != 1 else ([],):
        for length in range(1, longest + 1):
            for word in itertools.product(letters, repeat=length):
                text, total = [*context], 1.0
                for token in [*blank, *word]:
                    total *= float(p[text[-2], text[-1], token])
                    text.append(token)
                ends = sum(float(p[text[-2], text[-1], token]) for token in (0, 1, 2))
                found[LETTERS.decode([*blank, *word])] = total * ends
    return found


@pytest.mark.parametrize("prompt", ["", "ab", "ab ", "c."])
@pytest.mark.parametrize("seed", range(3))
def test_words_letter_by_letter_equal_trying_all(prompt: str, seed: int) -> None:
    net = Fixed(LETTERS.vocab_size, seed)
    ids = [int(i) for i in LETTERS.encode(prompt)]
    found = next_words(net, LETTERS, ids, 4, width=2000)
    every = exhaustive(net, ids, 6)
    expected = sorted(every, key=lambda word: -every[word])[:4]
    assert [each.text for each in found] == expected
    assert [each.probability for each in found] == pytest.approx([every[word] for word in expected], rel=1e-9)


def test_a_narrow_beam_finds_true_probabilities() -> None:
    net = Fixed(LETTERS.vocab_size)
    every = exhaustive(net, [], 6)
    for word, p in next_words(net, LETTERS, [], 3, width=3):
        assert p == pytest.approx(every[word], rel=1e-9)


def test_tokens_are_ranked_without_mark_and_unknown() -> None:
    net = Fixed(LETTERS.vocab_size)
    found = next_tokens(net, LETTERS, [3], 99)
    p = net.scores.softmax(-1)[0, 3]
    order = sorted(range(1, LETTERS.vocab_size), key=lambda token: -float(p[token]))
    assert [each.text for each in found] == [LETTERS.decode([token]) for token in order]
    assert [each.probability for each in found] == pytest.approx([float(p[token]) for token in order], rel=1e-9)


def test_the_gap_is_at_the_end() -> None:
    assert before_gap("let's meet for __ ") == "let's meet for "
    assert before_gap("forw__") == "forw" and before_gap("no gap ") == "no gap "
    with pytest.raises(UserError, match=r"the gap __ must be at the end"):
        before_gap("let's __ for lunch")


def test_letters_finish_the_words_of_the_text(trained: LanguageModel) -> None:
    words = Counter(Path(trained.settings_.text.data).read_text().replace(".", " ").split())
    found = trained.complete("the k__", top=2)
    assert found[0].text == "ing" and found[0].probability > 0.9
    after = [each.text for each in trained.complete("the king __", top=3)]
    assert all(word in words for word in after)
    assert trained.complete("the king", top=1)[0].text[0] == " "
    assert [each.text for each in trained.complete("the kin", top=1, tokens=True)] == ["g"]
    assert sum(each.probability for each in trained.complete("the king ", top=50)) <= 1 + 1e-9


@pytest.fixture(scope="module")
def worded(story: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    model = LanguageModel(
        tokenizer="word", cell="rnn", hidden_size=16, embedding_size=8, batch_size=4, unroll=16, steps=150,
        learning_rate=2e-2, threads=1,
    )  # fmt: skip
    return model.fit(story, run=tmp_path_factory.mktemp("runs") / "words", quiet=True)


def test_words_come_as_often_as_in_the_text(worded: LanguageModel) -> None:
    words = Path(worded.settings_.text.data).read_text().replace(".", " .").split()
    after = Counter(b for a, b in itertools.pairwise(words) if a == "king")
    found = worded.complete("the king __")
    assert len(found) == 5 and found[0].probability >= found[4].probability
    total = sum(after.values())
    assert {each.text for each in found} <= set(after) and len(after) >= 5
    for text, p in found:
        assert p == pytest.approx(after[text] / total, abs=0.1)


def test_a_text_goes_on_from_a_prompt_of_words(worded: LanguageModel) -> None:
    for options in ({"greedy": True}, {"beam": 2}):
        after = worded.generate("the king", length=3, **options)
        assert after[0] == " " and worded.generate("the king ", length=3, **options) == after[1:]
    assert worded.generate("", length=3, greedy=True)[0] != " "


def test_the_five_likeliest_are_counted_position_by_position(worded: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "judged.txt"
    path.write_text("the fox saw the moon.\nthe king lost.\n" * 3)
    names = [None, "the", "fox", "saw", "the", "moon", ".", "\n", "the", "king", "lost", ".", "\n"]
    ids = [0, *[int(i) for i in worded.tokenizer_.encode(path.read_text())], 0]
    assert len(ids) == 2 + 3 * (len(names) - 1)
    scores = worded.net(torch.tensor(ids[:-1])[:, None])[0][:, 0]
    hits = sum(int(target in row.topk(5).indices) for row, target in zip(scores, ids[1:], strict=True))
    assert 0 < hits < len(ids) - 1
    assert worded.evaluate(path)["top5_accuracy"] == pytest.approx(hits / (len(ids) - 1), rel=1e-12)


def test_records_and_lines(worded: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("the king __\n\nthe fox __\n")
    (one, line), (two, _) = worded.predictions([str(path)], 2)
    assert [one["prompt"], two["prompt"]] == ["the king __", "the fox __"]
    first = worded.complete("the king __", 2)[0]
    assert json.loads(json.dumps(one))["next"][0] == {"text": first.text, "probability": round(first.probability, 6)}
    assert line.splitlines()[:2] == ["the king __", f"{first.probability:8.4f}  {first.text}"]
    with pytest.raises(UserError, match=r"nothing to go on from"):
        list(worded.predictions([], 2))


@pytest.mark.parametrize(
    ("prompt", "top", "message"),
    [("a __ b", 1, "must be at the end"), ("the", 0, "top is 0; expected a whole number"), ("Z", 1, "never saw")],
)
def test_mistakes_are_said(trained: LanguageModel, prompt: str, top: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        trained.complete(prompt, top)


def test_before_training_it_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"has not been trained; call fit"):
        LanguageModel().complete("the")
