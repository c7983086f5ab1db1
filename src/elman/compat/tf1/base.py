"""What every TF1 cell offers, and how one with weights becomes a cell of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter, is_lazy

from ...activations import ACTIVATIONS
from ...cell import Cell
from ...engine import scan
from ...errors import UserError, nearest
from ...structure import State, describe, leaves, rebuild, same_shapes

_NAMES = {**{function: name for name, function in ACTIVATIONS.items()}, F.tanh: "tanh", F.relu: "relu"}
_NAMES[F.sigmoid] = "sigmoid"


class RNNCell(nn.Module):
    """A TF1 cell: ``output, state = cell(inputs, state)`` for one step, inputs (B, I).

    Raises ``UserError`` for inputs and states that do not fit.

    >>> from elman.compat.tf1 import GRUCell
    >>> cell = GRUCell(4)
    >>> output, state = cell(torch.zeros(2, 3), cell.zero_state(2, torch.float32))
    >>> output.shape, cell.state_size
    (torch.Size([2, 4]), 4)
    """

    @property
    def state_size(self) -> Any:
        """Features of the state: a number, or a (named) tuple of these, as the state itself."""
        raise NotImplementedError(f"{type(self).__name__} has no state_size")

    @property
    def output_size(self) -> int:
        """Features of the output."""
        raise NotImplementedError(f"{type(self).__name__} has no output_size")

    def zero_state(self, batch_size: int, dtype: torch.dtype) -> State:
        """Zeros (batch_size, ...) in the structure of ``state_size``, where the weights are once there are any."""
        parameters: list[Any] = list(self.parameters())
        device = next((each.device for each in parameters if not is_lazy(each)), None)
        return _zeros(self.state_size, batch_size, {"dtype": dtype, "device": device})

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One step."""
        if inputs.dim() != 2:
            raise UserError(f"a step takes inputs (B, I), got {tuple(inputs.shape)}; sequences go to dynamic_rnn")
        for module in self.modules():
            if getattr(module, "variational_recurrent", False) and module.training:
                raise UserError(
                    "variational_recurrent=True draws one mask for a whole sequence, which a single step does not "
                    "know; run the cell with dynamic_rnn or static_rnn"
                )
        y, state = self.run(inputs.unsqueeze(0), self.checked_state(state, inputs))
        return y[0], state

    def checked_state(self, state: State, like: Tensor) -> State:
        """The state, zeros for ``None``, for a batch like ``like`` (..., B, I); raises ``UserError`` if it misfits."""
        zeros = _zeros(self.state_size, like.shape[-2], {"dtype": like.dtype, "device": like.device})
        if state is not None and not same_shapes(state, zeros):
            raise UserError(f"{type(self).__name__} got the state {describe(state)}; expected {describe(zeros)}")
        return zeros if state is None else rebuild(zeros, leaves(state))

    def run(
        self,
        x: Tensor,
        state: State,
        factors: Any = None,
        *,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> tuple[Tensor, State]:
        """The cell over a sequence x (T, B, I): outputs (T, B, O) and the final state.

        ``factors`` has the structure of the state, tensors (T, B, ...) or ``None``: each new state is multiplied by
        them before it is carried on. ``lengths`` and ``reverse`` are those of ``elman.scan``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run")


def _zeros(size: Any, batch_size: int, place: dict[str, Any]) -> State:
    if isinstance(size, int):
        return torch.zeros(batch_size, size, **place)
    members = [_zeros(each, batch_size, place) for each in size]
    return type(size)(*members) if hasattr(size, "_fields") else tuple(members)


class WeightedCell(RNNCell):
    """A cell with weights of its own, made when the first inputs tell their size, in TF1's layout.

    A subclass names them in ``shapes``, and gives the cell of ours that does its mathematics and that cell's parameters
    made of them.
    """

    def __init__(self, num_units: int, activation: Callable[[Tensor], Tensor] | str | None) -> None:
        super().__init__()
        check_size(type(self).__name__, "num_units", num_units)
        self.num_units = num_units
        self.activation = activation_name(activation)
        # In a tuple it is no submodule: it has no parameters of its own.
        self._made: tuple[Cell, ...] = ()

    def declare(self) -> None:
        """Registers the parameters, shapeless as yet: an optimiser may take them already."""
        for name in self.shapes(0):
            setattr(self, name, UninitializedParameter())

    def shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter, the kernel of [x, h] first."""
        raise NotImplementedError

    def start(self, name: str, parameter: Tensor) -> None:
        """How a parameter starts, in place: biases at 0, others Glorot-uniform over the whole tensor, as in TF1."""
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            bound = (6 / (parameter.shape[0] + parameter.shape[-1])) ** 0.5
            nn.init.uniform_(parameter, -bound, bound)

    def cell_of_ours(self, input_size: int) -> Cell:
        """A cell of equal mathematics, without memory of its own."""
        raise NotImplementedError

    def weights_of_ours(self, input_size: int) -> dict[str, Tensor | None]:
        """Its parameters."""
        raise NotImplementedError

    def to_ours(self, state: Any) -> tuple[Any, ...]:
        """The members of a TF1 state in our order."""
        return (state,)

    def from_ours(self, states: tuple[Tensor, ...]) -> State:
        """The way back."""
        return states[0]

    def build(
        self, inputs_shape: Sequence[int | None], *, dtype: torch.dtype | None = None, device: Any = None
    ) -> None:
        """Makes the parameters for inputs of this shape, of which the last member counts; the first step does it too.

        >>> from elman.compat.tf1 import BasicRNNCell
        >>> cell = BasicRNNCell(4)
        >>> cell.build((None, 3))
        >>> cell.kernel.shape
        torch.Size([7, 4])
        """
        size, name = inputs_shape[-1], type(self).__name__
        if not isinstance(size, int) or size < 1:
            raise UserError(f"{name} got inputs_shape={tuple(inputs_shape)}; its last member is the inputs' size")
        if self._made:
            if size != self._made[0].input_size:
                raise UserError(
                    f"{name} was built for inputs of {self._made[0].input_size} features and got {size}; a cell that "
                    "stands in two places has one set of weights: make one for each"
                )
            return
        self._made = (self.cell_of_ours(size),)
        for name, shape in self.shapes(size).items():
            parameter = getattr(self, name)
            parameter.materialize(shape, dtype=dtype, device=device)
            with torch.no_grad():
                self.start(name, parameter)

    def run(
        self,
        x: Tensor,
        state: State,
        factors: Any = None,
        *,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> tuple[Tensor, State]:
        self.build(x.shape, dtype=x.dtype, device=x.device)
        template = self._made[0]
        dtype = next(self.parameters()).dtype
        if x.dtype != dtype:
            raise UserError(f"{type(self).__name__} has weights of {dtype} and got inputs of {x.dtype}; convert either")
        cell = template.with_parameters(self.weights_of_ours(template.input_size))
        step: nn.Module = cell
        inputs: Tensor | tuple[Tensor, ...] = x
        if factors is not None:
            ours = self.to_ours(factors)
            step = _ScaledStates(cell, tuple(each is not None for each in ours))
            inputs = (x, *(each for each in ours if each is not None))
        # Packing the weights for the compiled loop costs more than a single step saves.
        backend = "eager" if len(x) == 1 else "auto"
        y, final = scan(step, inputs, _bare(self.to_ours(state)), lengths=lengths, reverse=reverse, backend=backend)
        return y, self.from_ours(tuple(leaves(final)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        first, (rows, *_) = next(iter(self.shapes(0).items()))
        saved = state_dict.get(prefix + first)
        if not self._made and saved is not None:
            self.build((saved.shape[0] - rows,), dtype=saved.dtype, device=saved.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return str(self.num_units)


class _ScaledStates(nn.Module):
    """A cell's step whose new states are multiplied by factors that come as further inputs."""

    def __init__(self, cell: Cell, scaled: tuple[bool, ...]) -> None:
        super().__init__()
        self.cell = cell
        self.scaled = scaled

    def forward(self, inputs: tuple[Tensor, ...], state: State) -> tuple[Tensor, State]:
        x, *rest = inputs
        y, new = self.cell(x, state)
        factors = iter(rest)
        dropped = [
            leaf * next(factors) if scaled else leaf for leaf, scaled in zip(leaves(new), self.scaled, strict=True)
        ]
        return y, rebuild(state, dropped)


def _bare(states: tuple[Tensor, ...]) -> State:
    """One state as the bare tensor, several as a tuple."""
    return states[0] if len(states) == 1 else states


def activation_name(activation: Callable[[Tensor], Tensor] | str | None) -> str:
    """The name, in ``elman.activations``, of a pointwise function given by name or as PyTorch's own; default tanh.

    Raises ``UserError`` for an unknown one.

    >>> activation_name(torch.relu), activation_name(None)
    ('relu', 'tanh')
    """
    if activation is None:
        return "tanh"
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise UserError(f"unknown activation {activation!r}; {nearest(activation, ACTIVATIONS)}")
        return activation
    if activation not in _NAMES:
        raise UserError(
            f"unknown activation {activation!r}; give one of {', '.join(ACTIVATIONS)} by name, or add the function "
            "to elman.activations.ACTIVATIONS under a name"
        )
    return _NAMES[activation]


def check_size(owner: str, name: str, size: Any) -> None:
    """Raises ``UserError`` unless ``size`` is a whole number of at least 1."""
    if not isinstance(size, int) or size < 1:
        raise UserError(f"{owner} got {name}={size!r}; give a whole number of at least 1")


def check_is_cell(owner: str, cell: Any) -> None:
    """Raises ``UserError`` unless ``cell`` is a built TF1 cell."""
    if isinstance(cell, type):
        raise UserError(f"{owner} got the class {cell.__name__}; make a cell of it: {cell.__name__}(num_units)")
    if not isinstance(cell, RNNCell):
        raise UserError(
            f"{owner} got a {type(cell).__name__}; expected a cell of elman.compat.tf1, e.g. BasicLSTMCell(num_units)"
        )
