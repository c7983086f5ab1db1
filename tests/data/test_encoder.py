from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from elman import UserError
from elman.data import Encoder, Labels, as_sequences

TEXTS = ["The fox saw the Fox", "a b", ""]


@pytest.mark.parametrize("tokens", ["word", "char", "bpe"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_texts_come_back_through_the_tokenizer(tokens: str, lowercase: bool) -> None:
    options = {"vocab_size": 300} if tokens == "bpe" else {"min_count": 0}
    encoder = Encoder.learned(as_sequences(TEXTS), tokens=tokens, lowercase=lowercase, **options)
    assert encoder.tokenizer is not None
    for text, ids in zip(TEXTS, encoder(as_sequences(TEXTS)), strict=True):
        assert encoder.tokenizer.decode(ids.tolist()) == (text.lower() if lowercase else text)
        assert (ids < encoder.vocab_size).all()


def test_what_was_never_seen_has_an_id_too() -> None:
    for tokens in ("word", "char"):
        encoder = Encoder.learned(as_sequences(["a b"]), tokens=tokens, min_count=0)
        assert encoder.tokenizer is not None
        ids = encoder(as_sequences(["z"]))[0]
        assert ids.tolist() == [encoder.tokenizer.unknown_id]


def test_tokens_stay_as_they_are() -> None:
    encoder = Encoder.learned(as_sequences([["New York", "is"], ["is"]]), lowercase=True)
    assert [ids.tolist() for ids in encoder(as_sequences([["is", "new york", "York"]]))] == [[2, 3, 1]]


def test_numbers_are_scaled_and_cut() -> None:
    X = as_sequences([[1.0, 3.0, 5.0], [3.0]])
    encoder = Encoder.learned(X, max_length=2)
    deviation = np.std([1, 3, 5, 3])
    assert [each[:, 0].tolist() for each in encoder(X)] == [pytest.approx([-2 / deviation, 0]), [0]]
    plain = Encoder.learned(X, standardise=False)
    assert plain(X)[0][:, 0].tolist() == [1, 3, 5]
    with pytest.raises(UserError, match=r"X\[0\] has 2 features a step; the model was trained on 1"):
        encoder(as_sequences(np.zeros((1, 3, 2))))


def test_each_example_can_lose_its_own_mean() -> None:
    quiet = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    X = as_sequences([quiet, quiet + np.float32([5, -30]), quiet[:3]])
    encoder = Encoder.learned(X, centre_each=True, standardise=False)
    np.testing.assert_allclose(encoder(X)[0], quiet - quiet.mean(0), atol=1e-6)
    np.testing.assert_allclose(encoder(X)[1], encoder(X)[0], atol=1e-5)
    scaled = Encoder.learned(X, centre_each=True, max_length=4)
    four = quiet[:4] - quiet[:4].mean(0)
    deviation = np.concatenate([four, four, quiet[:3] - quiet[:3].mean(0)]).std(0)
    np.testing.assert_allclose(scaled(X)[1], four / deviation, atol=1e-5)
    assert (
        Encoder.from_document(json.loads(json.dumps(scaled.document())), "run")(X)[1].tolist() == scaled(X)[1].tolist()
    )
    with pytest.raises(UserError, match="centre_each is for numbers, but the examples are texts; leave it out"):
        Encoder.learned(as_sequences(TEXTS), centre_each=True)
    with pytest.raises(UserError, match="centre_each takes means over time, read_as='rows' reads images; choose one"):
        Encoder.learned(as_sequences(np.zeros((2, 4, 4))), centre_each=True, read_as="rows")


@pytest.mark.parametrize("X", [TEXTS, [["a", "b"], ["c"]], [[1.0, 2.0], [3.0]]])
def test_it_comes_back_from_json(X: Any) -> None:
    sequences = as_sequences(X)
    encoder = Encoder.learned(sequences, max_length=3, lowercase=True, tokens="char")
    again = Encoder.from_document(json.loads(json.dumps(encoder.document())), "run")
    assert again.document() == encoder.document()
    for one, other in zip(encoder(sequences), again(sequences), strict=True):
        np.testing.assert_array_equal(one, other)


def test_bad_documents_and_options() -> None:
    with pytest.raises(UserError, match="run does not say how to read examples"):
        Encoder.from_document({}, "run")
    document = Encoder.learned(as_sequences(TEXTS), min_count=0).document()
    document["tokenizer"]["settings"]["types"][0] = "cat"
    with pytest.raises(UserError, match="the tokenizer in run was changed after it was written"):
        Encoder.from_document(document, "run")
    with pytest.raises(UserError, match="vocab_size does not go with tokens='word'; leave it out"):
        Encoder.learned(as_sequences(TEXTS), vocab_size=300)
    with pytest.raises(UserError, match="vocab_size does not go with tokens given as lists"):
        Encoder.learned(as_sequences([["a"]]), vocab_size=300)


# Labels


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (["b", "a", "b"], ("a", "b")),
        (np.array([2, 0, 2]), (0, 2)),
        ([1.0, 0.0], (0.0, 1.0)),
        (np.array([True, False]), (False, True)),
        (["b", 3], (3, "b")),
    ],
)
def test_labels_are_sorted_plain_values(y: Any, names: tuple[Any, ...]) -> None:
    labels = Labels.learned(y)
    assert labels.names == names
    assert [labels.array[k] for k in labels.encode(y)] == list(y)
    assert json.loads(json.dumps(labels.names)) == list(names)


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (["a", None], "y[1] has no label; fill it in"),
        (["a", " "], "y[1] has no label"),
        ([1.0, float("nan")], "y[1] has no label"),
        ([0.5, 1.0], "y[0]: 0.5 is no label but a measure"),
        ([["a"]], "y[0]: ['a'] is no label"),
        (["a", "a"], "all examples have the label 'a'; expected at least two different ones"),
    ],
)
def test_bad_labels_are_named(y: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        Labels.learned(y)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("y", "names", "numbers"),
    [
        (["2", "1.0", "1", "2.00", "10"], ("1", "10", "2"), [2, 0, 0, 2, 1]),
        # What is alone keeps its spelling.
        (["1.0", "2.0"], ("1.0", "2.0"), [0, 1]),
        (["4.5", "4.0", "4.50", "4"], ("4", "4.5", "4.50"), [1, 0, 2, 0]),
        # Not numbers all: texts, told apart as they are written. Codes keep their zeros.
        (["1", "1.0", "beta"], ("1", "1.0", "beta"), [0, 1, 2]),
        (["01", "1", "10"], ("01", "1", "10"), [0, 1, 2]),
        ([1, "1", 2], (1, 2, "1"), [0, 2, 1]),
        (np.array([2.0, 1.0, 2.0]), (1, 2), [1, 0, 1]),
    ],
)
def test_a_whole_number_is_one_label(y: Any, names: tuple[Any, ...], numbers: list[int]) -> None:
    labels = Labels.learned(y)
    assert labels.names == names and list(map(type, labels.names)) == list(map(type, names))
    assert labels.encode(y).tolist() == numbers


@pytest.mark.parametrize("trained", [["1", "2"], ["1.0", "2.0"], [1, 2], [1.0, 2.0], ["1", "1.0", "2"]])
@pytest.mark.parametrize("asked", [["2", "1"], ["2.0", "1.0"], [2, 1], np.array([2.0, 1.0])])
def test_a_whole_number_is_found_however_it_is_spelt(trained: list[Any], asked: Any) -> None:
    labels = Labels.learned(trained)
    assert labels.encode(asked).tolist() == [1, 0]
    assert labels.own(asked[1]) == labels.names[0]
