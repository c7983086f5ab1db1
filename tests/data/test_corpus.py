from __future__ import annotations

import gzip
import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman.data.text as text_module
from elman.data.corpus import Corpus, load_corpus, whole_text
from elman.data.token_set import TokenSet
from elman.data.tokenizers import CharTokenizer, Tokenizer, WordTokenizer
from elman.errors import UserError

Folder = Callable[..., Path]
STORIES = tuple(f"Story {i}: the fox and the hen went over the hill, {'again ' * i}and home.\n" for i in range(12))


def contents(part: TokenSet, tokenizer: Tokenizer) -> list[str]:
    """The documents of a token set, decoded from their spans."""
    skip = 1 if part.end_mark else 0
    return [tokenizer.decode(part.tokens[begin + skip : end + 1]) for begin, end in part.spans]


def same(one: Corpus, other: Corpus) -> None:
    assert one.tokenizer.identity == other.tokenizer.identity
    for mine, its in ((one.train, other.train), (one.valid, other.valid)):
        np.testing.assert_array_equal(mine.tokens, its.tokens)
        np.testing.assert_array_equal(mine.starts, its.starts)
        assert (mine.characters, mine.end_mark) == (its.characters, its.end_mark)


@pytest.mark.parametrize("end_mark", [True, False])
def test_layout(folder: Folder, end_mark: bool) -> None:
    corpus = load_corpus(folder(*STORIES), end_mark=end_mark)
    train, valid = corpus.train, corpus.valid
    held = {6}
    assert contents(train, corpus.tokenizer) == [s for i, s in enumerate(STORIES) if i not in held]
    assert contents(valid, corpus.tokenizer) == [STORIES[6]]
    if end_mark:
        ends = np.flatnonzero(train.tokens == corpus.tokenizer.end_id)
        np.testing.assert_array_equal(train.starts, ends[:-1])
        assert ends[-1] == len(train) - 1
        assert train.characters == sum(len(s) for i, s in enumerate(STORIES) if i not in held)
        assert valid.scored == len(STORIES[6]) + 1
    else:
        assert len(train) == sum(len(s) for i, s in enumerate(STORIES) if i not in held)
        assert train.characters == len(train) - 11 == train.scored
        assert valid.characters == len(STORIES[6]) - 1 == valid.scored


@pytest.mark.parametrize("tokenizer", ["char", "bigram", "word", "bpe"])
def test_files_hold_the_same_as_memory(
    folder: Folder, own_cache: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: str
) -> None:
    monkeypatch.setattr(text_module, "BLOCK", 64)
    options: dict[str, Any] = {"bigram": {"min_count": 1}, "bpe": {"vocab_size": 280}}.get(tokenizer, {})
    source = folder(*STORIES)
    mapped = load_corpus(source, tokenizer=tokenizer, in_memory=100, **options)
    assert isinstance(mapped.train.tokens, np.memmap)
    assert mapped.train.tokens.dtype == mapped.tokenizer.dtype
    held = load_corpus(source, tokenizer=tokenizer, **options)
    assert not isinstance(held.train.tokens, np.memmap)
    same(mapped, held)
    assert mapped.unigram_bits_per_character() == held.unigram_bits_per_character()
    assert len(list((own_cache / "tokens").iterdir())) == 1


def test_token_files_are_made_once_and_anew_when_anything_changed(folder: Folder, own_cache: Path) -> None:
    source = folder(*STORIES)
    places = own_cache / "tokens"

    def load(**options: object) -> Corpus:
        return load_corpus(source, in_memory=0, **options)  # type: ignore[arg-type]

    first = load()
    (made,) = places.iterdir()
    written = (made / "train.bin").stat().st_mtime_ns
    same(load(), first)
    assert (made / "train.bin").stat().st_mtime_ns == written
    for i, options in enumerate(
        ({"lowercase": True}, {"end_mark": False}, {"tokenizer": "word"}, {"first": 11}, {"valid_documents": 2}), 2
    ):
        load(**options)
        assert len(list(places.iterdir())) == i
    os.utime(source / "003.txt", ns=(1, 1))
    load()
    assert len(list(places.iterdir())) == 7
    assert not [place for place in places.iterdir() if place.name.startswith(".")]


@pytest.mark.parametrize("damage", ["shorten", "remove", "tokenizer"])
def test_damaged_token_files_are_written_anew(folder: Folder, own_cache: Path, damage: str) -> None:
    source = folder(*STORIES)
    first = load_corpus(source)
    load_corpus(source, in_memory=0)
    (made,) = (own_cache / "tokens").iterdir()
    if damage == "shorten":
        os.truncate(made / "train.bin", 10)
    elif damage == "remove":
        (made / "valid.bin").unlink()
    else:
        (made / "tokenizer.json").write_text("{}")
    same(load_corpus(source, in_memory=0), first)


def test_nothing_is_left_of_a_broken_preparation(folder: Folder, own_cache: Path) -> None:
    source = folder(*STORIES)
    with pytest.raises(UserError, match="never saw"):
        load_corpus(source, tokenizer=CharTokenizer.train(["abc"]), in_memory=0)
    assert list((own_cache / "tokens").iterdir()) == []


def test_a_cache_that_cannot_be_written(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write.*set ELMAN_CACHE"):
        load_corpus(folder(*STORIES), in_memory=0, cache=tmp_path / "file")


def test_vocabulary_comes_from_the_training_part(folder: Folder) -> None:
    source = folder(*STORIES[:6], STORIES[6] + "zebra zebra zebra \u00fc", *STORIES[7:])
    words = load_corpus(source, tokenizer="word")
    assert isinstance(words.tokenizer, WordTokenizer)
    assert "zebra" not in words.tokenizer.types
    assert words.tokenizer.unknown_id in words.valid.tokens
    characters = load_corpus(source)
    assert isinstance(characters.tokenizer, CharTokenizer)
    assert "\u00fc" in characters.tokenizer.types


def test_a_trained_tokenizer_is_used_as_it_is(folder: Folder) -> None:
    tokenizer = WordTokenizer.train(["the fox"], min_count=0, end_mark=False)
    corpus = load_corpus(folder(*STORIES), tokenizer=tokenizer)
    assert corpus.tokenizer is tokenizer
    assert not corpus.train.end_mark
    assert set(np.unique(corpus.train.tokens)) == {0, 1, 2}


def test_whole_text_holds_nothing_back(folder: Folder) -> None:
    source = folder(*STORIES)
    tokenizer = load_corpus(source, lowercase=True).tokenizer
    assert contents(whole_text(source, tokenizer, lowercase=True), tokenizer) == [s.lower() for s in STORIES]
    with pytest.raises(UserError, match="never saw: 'S' at 0"):
        whole_text(source, tokenizer)


def test_unigram_bits_against_plain_python(folder: Folder) -> None:
    corpus = load_corpus(folder(*STORIES), tokenizer="bigram", min_count=1)
    train = Counter(corpus.train.tokens.tolist())
    size = len(corpus.train) + corpus.tokenizer.vocab_size
    targets = corpus.valid.tokens.tolist()[1:]
    bits = sum(-math.log2((train[t] + 1) / size) for t in targets)
    assert corpus.unigram_bits_per_character() == pytest.approx(bits / corpus.valid.characters, rel=1e-12)
    assert corpus.valid.characters == 2 * (len(targets) - 1)


def test_another_source_may_be_the_validation_part(folder: Folder, tmp_path: Path) -> None:
    source = folder(*STORIES)
    other = tmp_path / "other.txt"
    other.write_text("The hen and the Zebra.\n")
    corpus = load_corpus(source, valid=other)
    assert contents(corpus.train, corpus.tokenizer) == list(STORIES)
    assert contents(corpus.valid, corpus.tokenizer) == [other.read_text()]
    same(load_corpus(source, valid=other, in_memory=0), corpus)
    with pytest.raises(UserError, match=r"split='tails' cuts the data, but valid='.*other.txt' names another text"):
        load_corpus(source, valid=other, split="tails")


def test_a_zipped_file_is_read_as_the_file(tmp_path: Path) -> None:
    text = "".join(STORIES) * 3
    (tmp_path / "plain.txt").write_text(text)
    (tmp_path / "zipped.txt.gz").write_bytes(gzip.compress(text.encode()))
    same(load_corpus(tmp_path / "zipped.txt.gz"), load_corpus(tmp_path / "plain.txt"))
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(text.encode())[:-9])
    (tmp_path / "none.txt.gz").write_text("no gzip at all")
    for name in ("cut.txt.gz", "none.txt.gz"):
        with pytest.raises(UserError, match=f"cannot read '{name}': "):
            load_corpus(tmp_path / name)


def test_options_that_contradict(folder: Folder) -> None:
    source = folder(*STORIES)
    with pytest.raises(
        UserError, match="min_count=3 has no meaning for the tokenizer 'char'; it takes no such options"
    ):
        load_corpus(source, min_count=3)
    with pytest.raises(
        UserError, match="vocab_size=9 has no meaning for the tokenizer 'word'; it takes min_count, max"
    ):
        load_corpus(source, tokenizer="word", vocab_size=9)
    with pytest.raises(UserError, match="max_types=9 has no meaning for a trained tokenizer"):
        load_corpus(source, tokenizer=CharTokenizer.train(STORIES), max_types=9)
    with pytest.raises(UserError, match="min_count=-1; expected 0 or more"):
        load_corpus(source, tokenizer="word", min_count=-1)
    with pytest.raises(UserError, match="did you mean 'bigram'"):
        load_corpus(source, tokenizer="biggram")


def test_blank_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text(" " * 500)
    with pytest.raises(UserError, match="holds no"):
        load_corpus(tmp_path / "blank.txt", tokenizer="word")


@pytest.mark.parametrize(("tales", "types"), [(20, 391), (100, 532)])
def test_the_chapters_recipe(grimm: Path, tales: int, types: int) -> None:
    corpus = load_corpus(
        grimm,
        tokenizer="bigram",
        min_count=10,
        end_mark=False,
        first=tales,
        lowercase=True,
        split="tails",
        valid_documents=10,
        valid_characters=200,
    )
    assert corpus.tokenizer.vocab_size == types
    assert corpus.train.starts.size == tales
    assert corpus.valid.starts.tolist() == list(range(0, 1000, 100))
    assert len(corpus.valid) == 1000
    assert corpus.valid.scored == 990
    assert corpus.valid.characters == 1980
