"""What stands between blanks as tokens, for a text that was cut into words before."""

from __future__ import annotations

import re

from .word import WordTokenizer


class SpacedTokenizer(WordTokenizer):
    r"""One token a run of characters between blanks, or a line end; "<unk>" in the text is the unknown type.

    Decoded, they have a blank between, but none at line ends.

    >>> tokenizer = SpacedTokenizer.train(["he did n't\nhe <unk>\n"], min_count=0)
    >>> tokenizer.types
    ('\n', 'he', 'did', "n't")
    >>> tokenizer.decode(tokenizer.encode("he did n't see <unk> \n"))
    "he did n't <unk> <unk>\n"
    """

    kind = "spaced"
    pattern = re.compile(r"\n|\S+")

    def _joins(self, before: str, name: str, quoted: bool) -> bool:
        return "\n" in (before, name)
