"""Problems that need a long memory, generated without end: adding, copy and temporal order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, nearest


class Sequences(NamedTuple):
    """``x`` (T, B, 2) or ids (T, B); ``y`` (B,), or (T, B) where every step has a target; ``lengths`` (B,), T or less.

    What stands in x past the end of a row is zero and means nothing.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor


class LongMemory(Iterator[Sequences]):
    """An endless iterator of batches of one problem; batch n of a seed is always the same, ``batch(n)`` makes it alone.

    ``input_size`` is the size of a step of x, or how many ids there are; ``output_size`` how many numbers a net has to
    say; ``chance`` the loss of the best answer that does not look at x, mean square error for adding, else nats;
    ``lag`` how far apart, in steps, the first thing to keep and its answer are at the least. ``epoch``,
    ``windows_per_epoch`` and the state are what ``elman.training.train`` asks of batches; 1,000 batches count as one
    epoch.

    Args:
        time: steps T, as the problem counts them.
        batch_size: sequences B in a batch; default 50.
        seed: batches of two seeds have nothing in common; default 0.

    Raises ``UserError`` for a time too short for the problem, a batch below 1 and a seed below 0.
    """

    name: ClassVar[str]
    shortest: ClassVar[int]
    input_size: int
    output_size: int
    chance: float
    lag: int
    windows_per_epoch = 1000

    def __init__(self, time: int, batch_size: int = 50, seed: int = 0) -> None:
        for what, value, least in (("time", time, self.shortest), ("batch_size", batch_size, 1), ("seed", seed, 0)):
            if type(value) is not int or value < least:
                raise UserError(f"{what} is {value!r}; the {self.name} problem takes whole numbers from {least}")
        self.time = time
        self.batch_size = batch_size
        self.seed = seed
        self._next = 0

    def batch(self, number: int) -> Sequences:
        """Batch ``number``, from 0."""
        # PyTorch's generator keeps only 32 bits of a seed: two numbers would not fit.
        return self._draw(np.random.default_rng([self.seed, number]))

    def __next__(self) -> Sequences:
        made = self.batch(self._next)
        self._next += 1
        return made

    @property
    def epoch(self) -> float:
        """Thousands of batches drawn."""
        return self._next / self.windows_per_epoch

    def state_dict(self) -> dict[str, Any]:
        """Where the iterator is."""
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on where another iterator was."""
        self._next = int(state["next"])

    def _draw(self, chance: np.random.Generator) -> Sequences:
        raise NotImplementedError


class Adding(LongMemory):
    """Add the two numbers that are marked, at the end of a sequence of numbers: x is (T, B, 2), number and mark.

    Three published forms:

    - ``"halves"`` (Arjovsky et al. 2016, arXiv:1511.06464): numbers uniform in [0, 1), one mark of 1 somewhere in the
      first half, one in the second, 0 elsewhere; y is the sum. Answering 1 has an error of 1/6.
    - ``"anywhere"`` (Le et al. 2015, arXiv:1504.00941): the same with two different steps anywhere. 1/6 again; the
      0.1767 often printed for it is no variance of such a sum.
    - ``"original"`` (Hochreiter and Schmidhuber 1997): numbers uniform in [-1, 1), lengths uniform from T to T + T/10;
      one mark among the first ten steps, the other among the first T/2 - 1 that are still unmarked, 0 elsewhere but for
      -1 at the first and the last step; where the first step is marked its number is 0. y = 0.5 + sum/4. An answer is
      right within 0.04. Below T = 20 the first mark is among the first T/2 steps.

    >>> x, y, lengths = Adding(100, batch_size=3).batch(0)
    >>> x.shape, y.shape, x[..., 1].sum(0).tolist()
    (torch.Size([100, 3, 2]), torch.Size([3]), [2.0, 2.0, 2.0])
    >>> torch.allclose((x[..., 0] * x[..., 1]).sum(0), y)
    True
    """

    name = "adding"
    shortest = 4
    input_size, output_size = 2, 1
    FORMS = ("halves", "anywhere", "original")

    def __init__(self, time: int, batch_size: int = 50, seed: int = 0, *, form: str = "halves") -> None:
        super().__init__(time, batch_size, seed)
        if form not in self.FORMS:
            raise UserError(f"the adding problem has no form {form!r}; {nearest(form, self.FORMS)}")
        self.form = form
        self.chance = 1 / 6
        self.lag = {"halves": time - time // 2, "anywhere": 1, "original": time - min(10, time // 2)}[form]
        if form == "original":
            first, second = min(10, time // 2), time // 2 - 1
            zero = 1 / first + (1 - 1 / first) / second  # how often the first step is marked, and counts as 0
            self.chance = (2 - zero) / 3 / 16

    def _draw(self, chance: np.random.Generator) -> Sequences:
        T, rows = self.time, np.arange(self.batch_size)
        original = self.form == "original"
        lengths = chance.integers(T, T + T // 10, self.batch_size, endpoint=True) if original else np.full(len(rows), T)
        x = np.zeros((lengths.max(), len(rows), 2), np.float32)
        first, second = self._marked(chance)
        x[..., 0] = chance.uniform(-1 if original else 0, 1, x.shape[:2])
        if original:
            x[0, :, 1] = x[lengths - 1, rows, 1] = -1
            x[0, (first == 0) | (second == 0), 0] = 0
        x[first, rows, 1] = x[second, rows, 1] = 1
        y = x[first, rows, 0] + x[second, rows, 0]
        x[np.arange(len(x))[:, None] >= lengths] = 0
        return Sequences(*map(torch.from_numpy, (x, 0.5 + y / 4 if original else y, lengths)))

    def _marked(self, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The two marked steps (B,) of every row."""
        T, B = self.time, self.batch_size
        if self.form == "halves":
            return chance.integers(0, T // 2, B), chance.integers(T // 2, T, B)
        first = chance.integers(0, min(10, T // 2) if self.form == "original" else T, B)
        second = chance.integers(0, T // 2 - 1 if self.form == "original" else T - 1, B)
        return first, second + (second >= first)  # of the steps that are not marked yet


class Copy(LongMemory):
    """Say ten symbols again after T steps: the copy memory problem of Arjovsky et al. 2016 (arXiv:1511.06464).

    x holds ids (T + 20, B): ten symbols uniform from 0 to 7, T - 1 blanks (8), the sign to begin (9), ten blanks. y
    holds ids (T + 20, B) too: T + 10 blanks, then the ten symbols. Saying blanks and then guessing has a cross-entropy
    of 10 ln 8 / (T + 20) nats a step.

    Args:
        items: how many symbols have to be kept; default 10. Then "ten" and T + 20 above are ``items`` and
            T + 2 ``items``.

    >>> x, y, _ = Copy(3, batch_size=1, items=2).batch(0)
    >>> x.flatten().tolist(), y.flatten().tolist()
    ([6, 5, 8, 8, 9, 8, 8], [8, 8, 8, 8, 8, 6, 5])
    """

    name = "copy"
    shortest = 1
    SYMBOLS, BLANK, BEGIN = 8, 8, 9
    input_size, output_size = 10, 9

    def __init__(self, time: int, batch_size: int = 50, seed: int = 0, *, items: int = 10) -> None:
        super().__init__(time, batch_size, seed)
        if type(items) is not int or items < 1:
            raise UserError(f"items is {items!r}; the copy problem takes whole numbers from 1")
        self.items = items
        self.lag = time + items
        self.chance = items * math.log(self.SYMBOLS) / (time + 2 * items)

    def _draw(self, chance: np.random.Generator) -> Sequences:
        symbols = chance.integers(0, self.SYMBOLS, (self.items, self.batch_size))
        x = np.full((self.time + 2 * self.items, self.batch_size), self.BLANK)
        y = x.copy()
        x[: self.items] = y[-self.items :] = symbols
        x[self.items + self.time - 1] = self.BEGIN
        lengths = np.full(self.batch_size, len(x))
        return Sequences(*map(torch.from_numpy, (x, y, lengths)))


class Order(LongMemory):
    """Say in which order two or three X and Y came, tasks 6a and 6b of Hochreiter and Schmidhuber 1997.

    x holds ids (T, B) of the symbols E, B, a, b, c, d, X, Y (0 to 7): E first, B last, a to d uniform in between but
    for an X or Y at two steps, one uniform from T/10 to 2T/10 and one from 5T/10 to 6T/10 (6a), or at three, from
    10T/100 to 20T/100, 33T/100 to 43T/100 and 66T/100 to 76T/100 (6b), counted from 0. Lengths are uniform from T to
    T + ``spread`` T. y (B,) is the class: XX, XY, YX, YY are 0, 1, 2, 3, three of them 0 to 7 in the same way. At
    T = 100 these are the numbers of the paper. Guessing has a cross-entropy of ln 4, or ln 8, nats.

    Args:
        marks: how many X and Y, 2 (default) or 3.
        spread: by how much of T lengths differ; default 0.1.

    >>> x, y, lengths = Order(20, batch_size=1).batch(0)
    >>> "".join("EBabcdXY"[symbol] for symbol in x[: lengths[0], 0]), y
    ('EcbXaaaadcdYcdccccdbdB', tensor([1]))
    """

    name = "order"
    shortest = 10
    SYMBOLS = "EBabcdXY"
    input_size = len(SYMBOLS)
    WINDOWS = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}

    def __init__(self, time: int, batch_size: int = 50, seed: int = 0, *, marks: int = 2, spread: float = 0.1) -> None:
        super().__init__(time, batch_size, seed)
        if marks not in self.WINDOWS:
            raise UserError(f"marks is {marks!r}; the order problem has 2 or 3")
        if not 0 <= spread <= 1:
            raise UserError(f"spread is {spread!r}; give the part of T by which lengths differ, from 0 to 1")
        self.marks = marks
        self.spread = spread
        self.output_size = 2**marks
        self.lag = time - 1 - time * 20 // 100
        self.chance = marks * math.log(2)

    def _draw(self, chance: np.random.Generator) -> Sequences:
        T, rows = self.time, np.arange(self.batch_size)
        lengths = chance.integers(T, T + int(T * self.spread), len(rows), endpoint=True)
        x = chance.integers(self.SYMBOLS.index("a"), self.SYMBOLS.index("d"), (lengths.max(), len(rows)), endpoint=True)
        y = np.zeros(len(rows), np.int64)
        for low, high in self.WINDOWS[self.marks]:
            which = chance.integers(0, 2, len(rows))
            x[chance.integers(T * low // 100, T * high // 100, len(rows), endpoint=True), rows] = 6 + which
            y = 2 * y + which
        x[0], x[lengths - 1, rows] = self.SYMBOLS.index("E"), self.SYMBOLS.index("B")
        x[np.arange(len(x))[:, None] >= lengths] = 0
        return Sequences(*map(torch.from_numpy, (x, y, lengths)))


PROBLEMS: dict[str, type[LongMemory]] = {problem.name: problem for problem in (Adding, Copy, Order)}
