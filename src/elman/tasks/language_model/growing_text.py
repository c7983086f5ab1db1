"""A text that is shown while it grows token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator


class GrowingText:
    """A text that grows token by token and is cut before a stop text.

    ``add`` and ``end`` return what is new and will stay: a character of which some bytes are still to come, and what
    may be the beginning of the stop text, are held back, so that the parts returned, put together, are ``text``. Each
    token is decoded once, by ``decode_each`` of its tokenizer.

    The text may go on from a ``prompt``, of tokens ``before``: they are not in it, but say whether it begins with a
    blank, which it does not where the prompt ends in one that its tokens do not have.

    >>> text = GrowingText(lambda ids: map(chr, ids), stop="end")
    >>> [text.add(ord(letter)) for letter in "see end"], text.end(), text.text
    (['s', '', 'e', 'e ', '', '', ''], '', 'see ')
    """

    def __init__(
        self,
        decode_each: Callable[[Iterator[int]], Iterator[str]],
        stop: str | None,
        prompt: str = "",
        before: Iterable[int] = (),
    ) -> None:
        self.ended = False
        self._token: int | None = None
        self._texts = decode_each(iter(lambda: self._token, None))
        self._given: list[str] = []
        self._held = ""
        self._stop = stop or ""
        last = ""
        for self._token in before:
            last = next(self._texts) or last
        self._blank = prompt[-1:].isspace() and not last[-1:].isspace()

    @property
    def text(self) -> str:
        """All that was returned so far."""
        return "".join(self._given)

    def add(self, token: int) -> str:
        """What the next token adds; nothing once the text has ended."""
        if self.ended:
            return ""
        self._token = token
        return self._take(next(self._texts))

    def end(self) -> str:
        """What was held back; the text ends here."""
        if self.ended:
            return ""
        self._token = None
        new = self._take("".join(self._texts))
        self.ended = True
        return new + self._give(len(self._held))

    def _take(self, new: str) -> str:
        if self._blank and new:
            new, self._blank = new.removeprefix(" "), False
        self._held += new
        if self._stop and (place := self._held.find(self._stop)) >= 0:
            self.ended = True
            new, self._held = self._give(place), ""
            return new
        longest = range(len(self._stop) - 1, 0, -1)
        begun = next((n for n in longest if self._held.endswith(self._stop[:n])), 0)
        return self._give(len(self._held) - begun)

    def _give(self, length: int) -> str:
        new, self._held = self._held[:length], self._held[length:]
        self._given.append(new)
        return new
