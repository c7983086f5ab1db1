"""What stands between blanks as tokens, for a text that was cut into words before."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .word import UNKNOWN, WordTokenizer


class SpacedTokenizer(WordTokenizer):
    r"""One token a run of characters between blanks, or a line end; "<unk>" in the text is the unknown type.

    >>> tokenizer = SpacedTokenizer.train(["he did n't\nhe <unk>\n"], min_count=0)
    >>> tokenizer.types
    ('\n', 'he', 'did', "n't")
    >>> tokenizer.decode(tokenizer.encode("he did n't see <unk> \n"))
    "he did n't <unk> <unk>\n"
    """

    kind = "spaced"
    pattern = re.compile(r"\n|\S+")

    def decode(self, ids: Iterable[int]) -> str:
        """The tokens of ``ids`` with a blank between, none at line ends."""
        names = (UNKNOWN if i == self.unknown_id else self.types[i - self.offset] for i in ids if i != self.end_id)
        return re.sub(r" ?\n ?", "\n", " ".join(names))
