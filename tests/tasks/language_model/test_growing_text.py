from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elman.data.tokenizers import BPETokenizer, WordTokenizer
from elman.tasks.language_model.growing_text import GrowingText

BYTES = BPETokenizer.train(["a"], vocab_size=257)


def characters(ids: Iterable[int]) -> Iterator[str]:
    return map(chr, ids)


def test_it_waits_for_the_bytes_of_a_character() -> None:
    text = GrowingText(BYTES.decode_each, None)
    assert [text.add(int(i)) for i in BYTES.encode("a🦊é")] == ["a", "", "", "", "🦊", "", "é"]
    assert text.end() == ""


def test_a_text_that_ends_within_a_character_loses_nothing() -> None:
    text = GrowingText(BYTES.decode_each, None)
    parts = [text.add(int(i)) for i in BYTES.encode("é🦊")[:4]]
    assert "".join([*parts, text.end()]) == text.text == "é\N{REPLACEMENT CHARACTER}"
    assert (text.add(5), text.end()) == ("", "")


def test_it_holds_back_what_may_become_the_stop() -> None:
    text = GrowingText(characters, "aab")
    assert [text.add(ord(letter)) for letter in "xaaab"] == ["x", "", "", "a", ""]
    assert (text.end(), text.text, text.ended) == ("", "xa", True)
    other = GrowingText(characters, "aab")
    assert "".join([*(other.add(ord(letter)) for letter in "xaac"), other.end()]) == "xaac"


@pytest.mark.parametrize("prompt", ["the king", "the king ", "", 'he said "'])
def test_it_goes_on_from_a_prompt(prompt: str) -> None:
    words = WordTokenizer.train(['the king was he said "'], min_count=0)
    text = GrowingText(words.decode_each, None, prompt, words.encode(prompt))
    written = [text.add(int(i)) for i in words.encode("was he")]
    assert written == [" was" if prompt == "the king" else "was", " he"]


@given(st.text("ab"), st.text("ab", max_size=4))
@example("aaab", "aab")
@example("x\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}")
def test_it_is_the_whole_text_up_to_the_stop(whole: str, stop: str) -> None:
    text = GrowingText(characters, stop)
    parts = [text.add(ord(letter)) for letter in whole]
    assert text.text == "".join(parts)
    assert "".join([*parts, text.end()]) == text.text == (whole.partition(stop)[0] if stop else whole)
    assert text.ended
