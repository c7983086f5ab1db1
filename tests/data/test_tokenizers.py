from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman.data.tokenizers.bpe as bpe
import elman.data.tokenizers.word as word
from elman.data.tokenizers import (
    BigramTokenizer,
    BPETokenizer,
    CharTokenizer,
    MembersTokenizer,
    SpacedTokenizer,
    Tokenizer,
    WordTokenizer,
    tokenizer_kind,
)
from elman.errors import UserError

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
STORY = 'A fox, a hen. "Come in," said the fox; the hen did not come.\n\nThe fox\u2019s tail--long--was half-red!\n'


def trained(kind: str, end_mark: bool = True) -> Tokenizer:
    all_types = {"min_count": 0}
    options = {"bigram": all_types, "word": all_types, "spaced": all_types, "bpe": {"vocab_size": 270}}.get(kind, {})
    return tokenizer_kind(kind).train([STORY], end_mark=end_mark, **options)


@given(any_text, st.booleans())
def test_char_gives_back_the_text(text: str, end_mark: bool) -> None:
    tokenizer = CharTokenizer.train([text], end_mark=end_mark)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)
    assert tokenizer.vocab_size == len(set(text)) + end_mark
    assert [tokenizer.types[i - end_mark] for i in ids] == list(text)


@given(any_text, st.integers(0, 3), st.booleans())
def test_bigram_counts_and_ids_against_plain_python(text: str, min_count: int, end_mark: bool) -> None:
    pairs = [text[i : i + 2] for i in range(0, len(text) - 1, 2)]
    kept = {pair for pair, count in Counter(pairs).items() if count > min_count}
    if not kept:
        with pytest.raises(UserError, match="holds no pairs"):
            BigramTokenizer.train([text], min_count=min_count)
        return
    tokenizer = BigramTokenizer.train([text], min_count=min_count, end_mark=end_mark)
    assert set(tokenizer.types) == kept
    assert tokenizer.vocab_size == len(kept) + 1 + end_mark
    ids = {pair: i for i, pair in enumerate(tokenizer.types, 1 + end_mark)}
    assert tokenizer.encode(text).tolist() == [ids.get(pair, tokenizer.unknown_id) for pair in pairs]
    if min_count == 0:
        assert tokenizer.decode(tokenizer.encode(text)) == text[: 2 * len(pairs)]


@given(st.lists(st.text("abc", max_size=5)))
def test_bigram_pairs_run_on_over_pieces(pieces: list[str]) -> None:
    whole = "".join(pieces)
    assert "".join(BigramTokenizer.recut(pieces)) == whole[: len(whole) // 2 * 2]
    assert all(len(piece) % 2 == 0 for piece in BigramTokenizer.recut(pieces))


def test_word_tokens_and_readable_text() -> None:
    tokenizer = trained("word")
    names = [tokenizer.types[i - tokenizer.offset] for i in tokenizer.encode(STORY)]  # type: ignore[attr-defined]
    assert names[:9] == ["A", "fox", ",", "a", "hen", ".", '"', "Come", "in"]
    assert {"fox\u2019s", "--", "half-red", "\n"} <= set(names)
    assert tokenizer.decode(tokenizer.encode(STORY)) == STORY


def test_word_decodes_signs_to_their_sides() -> None:
    text = 'He said: "No (never)!" Then "yes" ...\n\u201cWell,\u201d I\'d say.'
    tokenizer = WordTokenizer.train([text], min_count=0)
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace(" ...", "...")


@given(st.text("ab \n.", min_size=1), st.integers(0, 2), st.integers(1, 3))
def test_word_keeps_the_most_frequent(text: str, min_count: int, max_types: int) -> None:
    counts = Counter(word.TOKEN.findall(text))
    kept = sorted((n for n in counts if counts[n] > min_count), key=lambda n: (-counts[n], n))[:max_types]
    if not kept:
        return
    tokenizer = WordTokenizer.train([text], min_count=min_count, max_types=max_types)
    assert list(tokenizer.types) == kept
    expected = [kept.index(n) + 2 if n in kept else tokenizer.unknown_id for n in word.TOKEN.findall(text)]
    assert tokenizer.encode(text).tolist() == expected


def test_word_count_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word, "MOST_COUNTED", 50)
    pieces = (f"the fox and the hen and rare{i} " for i in range(500))
    tokenizer = WordTokenizer.train(pieces, min_count=10)
    assert tokenizer.types == ("and", "the", "fox", "hen")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.sampled_from(["n't", "a", "--", "<unk>", "U.S."]), min_size=1), min_size=1), st.booleans())
def test_spaced_keeps_what_was_cut_before(lines: list[list[str]], end_mark: bool) -> None:
    text = "".join(" " + " ".join(line) + " \n" for line in [["a"], *lines])
    tokenizer = SpacedTokenizer.train([text], min_count=0, end_mark=end_mark)
    words = [word for line in [["a"], *lines] for word in [*line, "\n"]]
    kept = sorted(set(words) - {"<unk>"}, key=lambda word: (-words.count(word), word))
    ids = {"<unk>": int(end_mark)} | {word: i for i, word in enumerate(kept, 1 + end_mark)}
    assert tokenizer.encode(text).tolist() == [ids[word] for word in words]
    assert tokenizer.vocab_size == len(ids | {"<unk>": 0}) + end_mark
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace(" \n", "\n").replace("\n ", "\n").strip(" ")


@given(any_text, st.booleans())
def test_bpe_is_lossless(text: str, end_mark: bool) -> None:
    tokenizer = trained("bpe", end_mark)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids.max() < tokenizer.vocab_size
    assert tokenizer.end_id not in ids.tolist()


def test_bpe_learns_merges_and_at_most_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = trained("bpe")
    assert tokenizer.vocab_size == 270
    assert len(tokenizer.encode("the fox")) < len("the fox")
    monkeypatch.setattr(bpe, "LEARN_FROM", 100)
    taken = list(bpe._head("x" * 30 for _ in range(10)))
    assert sum(map(len, taken)) == 90
    with pytest.raises(UserError, match="at least 257"):
        BPETokenizer.train([STORY], vocab_size=100)


TRAINED = {(kind, end_mark): trained(kind, end_mark) for kind in Tokenizer.kinds for end_mark in (True, False)}
for mark in (True, False):
    TRAINED["names", mark] = MembersTokenizer.train([["New York", "is"]], end_mark=mark)


@settings(deadline=None)
@pytest.mark.parametrize("kind", sorted({kind for kind, _ in TRAINED}))
@given(data=st.data(), end_mark=st.booleans())
def test_what_each_id_adds_is_together_what_all_decode_to(kind: str, data: st.DataObject, end_mark: bool) -> None:
    tokenizer = TRAINED[kind, end_mark]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    expected = decoded_at_once(tokenizer, ids)
    assert tokenizer.decode(np.array(ids, tokenizer.dtype)) == expected
    taken: list[int] = []
    texts = tokenizer.decode_each(taken.append(i) or i for i in ids)  # type: ignore[func-returns-value]
    shown = ""
    for count in range(1, len(ids) + 1):
        shown += next(texts)
        assert len(taken) == count
        held = len(decoded_at_once(tokenizer, ids[:count]).removeprefix(shown))
        assert held <= (kind == "bpe")  # replacement characters for what is no whole character yet
        assert expected.startswith(shown)
    assert shown + "".join(texts) == expected


def decoded_at_once(tokenizer: Tokenizer, ids: list[int]) -> str:
    """By the tokenizer's definition: the names of all ids, then rules over the whole text."""
    if isinstance(tokenizer, BPETokenizer):
        return str(tokenizer._model.decode([i - tokenizer.offset for i in ids if i != tokenizer.end_id]))
    unknown = word.UNKNOWN if isinstance(tokenizer, WordTokenizer) else "\N{REPLACEMENT CHARACTER}"
    types = [*[""] * tokenizer.offset, *tokenizer.types]  # type: ignore[attr-defined]
    if tokenizer.unknown_id is not None:
        types[tokenizer.unknown_id] = unknown
    names = [types[i] for i in ids if i != tokenizer.end_id]
    if tokenizer.kind == "spaced":
        return re.sub(r" ?\n ?", "\n", " ".join(names))
    if tokenizer.kind != "word":
        return (" " if "New York" in types else "").join(names)
    text, quoted = "\n", False
    for name in names:
        closes = name in ("\n", *word.CLOSING, *word.TOGETHER) or (name == '"' and quoted)
        opened = text.endswith((*word.OPENING, *word.TOGETHER)) or (text.endswith('"') and quoted)
        text += name if closes or opened else f" {name}"
        quoted = quoted != (name == '"') if name != "\n" else False
    return text[1:]


@pytest.mark.parametrize("kind", sorted(Tokenizer.kinds))
@pytest.mark.parametrize("end_mark", [True, False])
def test_specials_and_save_and_load(kind: str, end_mark: bool, tmp_path: Path) -> None:
    tokenizer = trained(kind, end_mark)
    assert tokenizer.end_id == (0 if end_mark else None)
    assert tokenizer.unknown_id == (int(end_mark) if kind in ("bigram", "word", "spaced", "members") else None)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert type(loaded) is type(tokenizer)
    assert loaded.identity == tokenizer.identity
    assert loaded.vocab_size == tokenizer.vocab_size
    assert (loaded.end_id, loaded.unknown_id) == (tokenizer.end_id, tokenizer.unknown_id)
    np.testing.assert_array_equal(loaded.encode(STORY), tokenizer.encode(STORY))
    if end_mark:
        assert loaded.decode([0, *loaded.encode("A fox").tolist(), 0]) == tokenizer.decode(tokenizer.encode("A fox"))
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize("kind", sorted(Tokenizer.kinds))
def test_damaged_files(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    trained(kind).save(path)
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="not a whole tokenizer file"):
            Tokenizer.load(path)
    document = json.loads(whole)
    path.write_text(json.dumps({**document, "end_mark": False}))
    with pytest.raises(UserError, match="changed after it was written"):
        Tokenizer.load(path)
    for other in (b"[]", b"\xff\xfe", b"{}", b"7"):
        path.write_bytes(other)
        with pytest.raises(UserError, match="not a whole tokenizer file"):
            Tokenizer.load(path)
    with pytest.raises(UserError, match="cannot read the tokenizer"):
        Tokenizer.load(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot write"):
        trained(kind).save(tmp_path / "none" / "tokenizer.json")


def test_unseen_characters_are_named() -> None:
    tokenizer = CharTokenizer.train(["abc"])
    with pytest.raises(UserError, match=r"never saw: '\u00e9' at 1, 'Z' at 3; it knows 'a' 'b' 'c'"):
        tokenizer.encode("a\u00e9bZ\u00e9")
    with pytest.raises(UserError, match="and 2 more"):
        tokenizer.encode("1234567")


def test_text_without_tokens() -> None:
    for kind in ("char", "bigram", "word"):
        with pytest.raises(UserError, match="holds no"):
            tokenizer_kind(kind).train([""])
    assert trained("word").encode("   ").size == 0
    with pytest.raises(UserError, match="did you mean 'char'"):
        tokenizer_kind("chars")
