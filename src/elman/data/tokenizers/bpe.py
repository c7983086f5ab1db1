"""Byte-pair encoding, learnt from the corpus by Hugging Face's `tokenizers`."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from ...errors import UserError
from .base import Ids, Tokenizer

BYTES = 256
LEARN_FROM = 20_000_000  # bytes of text; more changes the merges little and costs memory


class BPETokenizer(Tokenizer):
    """Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; bytes as in GPT-2).

    Any text can be encoded, and decoding is lossless.

    >>> tokenizer = BPETokenizer.train(["the fox and the hen and the goose"], vocab_size=260)
    >>> tokenizer.vocab_size, tokenizer.decode(tokenizer.encode("the \N{FOX FACE}"))
    (260, 'the \N{FOX FACE}')
    """

    kind = "bpe"
    options = ("vocab_size",)

    def __init__(self, model: tokenizers.Tokenizer, *, end_mark: bool = True) -> None:
        super().__init__(model.get_vocab_size(), end_mark)
        self._model = model

    @classmethod
    def train(cls, pieces: Iterable[str], *, vocab_size: int = 4096, end_mark: bool = True) -> BPETokenizer:
        """Learn merges from at most 20 MB of ``pieces`` until there are ``vocab_size`` ids, bytes and END included."""
        fewest = BYTES + int(end_mark)
        if vocab_size < fewest:
            raise UserError(f"vocab_size={vocab_size}; expected at least {fewest}, as every byte is a type of its own")
        model = tokenizers.Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - int(end_mark),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        model.train_from_iterator(_head(pieces), trainer)
        return cls(model, end_mark=end_mark)

    def encode(self, text: str) -> Ids:
        """The ids of the byte pairs of ``text``."""
        ids = np.array(self._model.encode(text, add_special_tokens=False).ids, np.int64)
        return (ids + self.offset).astype(self.dtype)

    def decode_each(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of ``ids``; a character whose bytes are not all there yet is held back, and comes out as a
        replacement character where they never come.
        """
        text = codecs.getincrementaldecoder("utf-8")("replace")
        for i in ids:
            yield "" if i == self.end_id else text.decode(self._bytes[i - self.offset])
        yield text.decode(b"", final=True)

    @cached_property
    def _bytes(self) -> list[bytes]:
        """The bytes of every type; in the model's names a character stands for each."""
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        # Bytes that are printable characters stand for themselves; the others, in order, are characters beyond 255.
        shown = sorted(range(BYTES), key=lambda byte: chr(byte) not in alphabet)
        byte = dict(zip(alphabet, shown, strict=True))
        names = sorted(self._model.get_vocab().items(), key=itemgetter(1))
        return [bytes(byte[character] for character in name) for name, _ in names]

    def _settings(self) -> dict[str, Any]:
        return {"model": json.loads(self._model.to_str())}

    @classmethod
    def _restore(cls, settings: dict[str, Any], end_mark: bool) -> BPETokenizer:
        return cls(tokenizers.Tokenizer.from_str(json.dumps(settings["model"])), end_mark=end_mark)


def _head(pieces: Iterable[str]) -> Iterator[str]:
    left = LEARN_FROM
    for piece in pieces:
        left -= len(piece.encode("utf-8", "surrogatepass"))
        if left < 0:
            return
        yield piece
