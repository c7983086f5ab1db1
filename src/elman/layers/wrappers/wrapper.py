"""What all wrappers share: sizes, the start state, and what is drawn before the loop."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...cell import Cell
from ...engine.steps import begun, default_state, read_result
from ...errors import UserError
from ...structure import State, leaves
from ..recurrent import _output_size

Inputs = Tensor | tuple[Tensor, ...]


class Wrapper(nn.Module):
    """A cell around a cell: a subclass writes ``step``, and ``draw`` where it needs random numbers.

    A step is deterministic. What is random is drawn before the loop, from PyTorch's generator: ``begin_scan`` asks
    every wrapper, the innermost first, for its ``draw`` and adds that to x as further per-step inputs. So each call of
    ``elman.scan`` draws anew: each direction and each layer of a stack, each window of truncated backpropagation, and
    each call of the wrapper itself, which is a sequence of one step. A row that is reset within a call goes on with the
    masks of that call. In evaluation mode nothing is drawn.

    Args:
        cell: an ``elman.Cell``, another wrapper, one of PyTorch's cells, or any module ``step(x_t, state)``.

    Raises ``UserError`` for a cell that is no module.

    >>> import torch
    >>> from elman.cells import GRU
    >>> class Doubled(Wrapper):
    ...     def step(self, x, state):
    ...         y, state = self.inner(x, state)
    ...         return 2 * y, state
    >>> y, h = Doubled(GRU(3, 4))(torch.randn(2, 3))
    >>> torch.equal(y, 2 * h)
    True
    """

    # Of a copy made for one sequence: how many of its inputs were drawn, and whether the cell takes the others as a
    # tuple.
    _drawn: int | None = None
    _cell_takes_tuple = False

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        if not isinstance(cell, nn.Module):
            got = f"the class {cell.__name__}" if isinstance(cell, type) else f"a {type(cell).__name__}"
            raise UserError(f"{type(self).__name__} got {got}; give a built cell, a torch.nn.Module: LSTM(3, 4)")
        self.cell = cell

    def step(self, x: Inputs, state: State, *drawn: Tensor) -> tuple[Tensor, State]:
        """``(output, new state)`` from x as the cell takes it, the old state, and one step of what was drawn."""
        raise NotImplementedError(f"{type(self).__name__} has no step; write step(self, x, state, *drawn)")

    def draw(self, x: Inputs, state: State, lead: tuple[int, ...]) -> tuple[Tensor, ...]:
        """What is drawn for a sequence, in training: tensors (\\*lead, B, ...), where x is (\\*lead, B, I)."""
        return ()

    def cell_state(self, state: State) -> State:
        """The part of the state that is the cell's: all of it, unless a subclass adds to it."""
        return state

    def units(self, state: State) -> list[bool]:
        """For each tensor of the state, whether it holds units that may be dropped or held (see ``Cell.internal``)."""
        own = self.cell_state(state)
        if isinstance(self.cell, Cell):
            found = [name not in self.cell.internal for name in self.cell.states]
        else:
            found = self.cell.units(own) if isinstance(self.cell, Wrapper) else [True] * len(leaves(own))
        return [*found, *[False] * (len(leaves(state)) - len(found))]

    def inner(self, x: Inputs, state: State) -> tuple[Tensor, State]:
        """One step of the wrapped cell: ``(output, new state)``."""
        return read_result(self.cell, self.cell(x, state), state)

    def begin_scan(self, x: Inputs, state: State, lead: tuple[int, ...]) -> tuple[nn.Module, Inputs]:
        """The step for one sequence, and x with all that was drawn for it; see ``elman.scan``."""
        if self._drawn is not None:
            return self, x
        cell, longer = begun(self.cell, x, self.cell_state(state), lead)
        drawn = self.draw(x, state, lead) if self.training else ()
        copy = light_copy(self)
        vars(copy)["_modules"] = {**self._modules, "cell": cell}
        vars(copy)["_drawn"] = len(drawn)
        vars(copy)["_cell_takes_tuple"] = isinstance(longer, tuple)
        return copy, (*as_tuple(longer), *drawn) if drawn else longer

    def forward(self, x: Inputs, state: State = None) -> tuple[Tensor, State]:
        """One step: ``(output, state)`` from x (B, I), or the tuple of the cell's inputs, and the old state."""
        inputs = as_tuple(x)
        if state is None:
            state = self.initial_state(len(inputs[0]))
        if self._drawn is None:  # called by itself: a sequence of one step
            self.check_state(state, len(inputs[0]))
            step, x = self.begin_scan(x, state, ())
            result: tuple[Tensor, State] = step(x, state)
            return result
        last = len(inputs) - self._drawn
        return self.step(inputs[:last] if self._cell_takes_tuple else inputs[0], state, *inputs[last:])

    @property
    def input_size(self) -> int:
        """Features of x."""
        return int(self.cell.input_size)  # type: ignore[arg-type]

    @property
    def hidden_size(self) -> int:
        """Units of the cell."""
        return int(self.cell.hidden_size)  # type: ignore[arg-type]

    @property
    def output_size(self) -> int:
        """Features of the output."""
        return _output_size(self.cell)

    def initial_state(self, batch_size: int) -> State:
        """The cell's own start for ``batch_size`` rows."""
        return default_state(self.cell, batch_size)

    def check_state(self, state: State, batch_size: int) -> None:
        """Raises ``UserError`` for a state that does not fit, where the cell can tell."""
        if hasattr(self.cell, "check_state"):
            self.cell.check_state(self.cell_state(state), batch_size)  # type: ignore[operator]


def light_copy(module: Any) -> Any:
    """The module in another object, with the same parameters and parts."""
    copy = object.__new__(type(module))
    copy.__dict__.update(module.__dict__)
    return copy


def as_tuple(x: Inputs) -> tuple[Tensor, ...]:
    """The inputs of a step, one or several, as a tuple."""
    return x if isinstance(x, tuple) else (x,)


def vectors(wrapper: Wrapper, x: Inputs, purpose: str) -> Tensor:
    """x itself, without further inputs; raises ``UserError`` where it holds ids, which stand for one-hot vectors."""
    first = as_tuple(x)[0]
    if not first.is_floating_point():
        raise UserError(
            f"{type(wrapper).__name__} got x of {first.dtype}, which stands for one-hot vectors; {purpose} needs x as "
            "numbers (B, I): look the ids up in an embedding first"
        )
    return first


def check_same_size(wrapper: Wrapper) -> int | None:
    """The size of both x and the output, ``None`` where a foreign cell does not tell any.

    Raises ``UserError`` where the two differ.
    """
    cell = wrapper.cell
    into, out = getattr(cell, "input_size", None), getattr(cell, "output_size", getattr(cell, "hidden_size", None))
    if None not in (into, out) and into != out:
        raise UserError(
            f"{type(wrapper).__name__} adds x to the output, but {type(cell).__name__} takes {into} features and gives "
            f"{out}; make them equal"
        )
    size: Any = out if into is None else into
    return size
