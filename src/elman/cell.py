"""The cell protocol: a recurrent cell is its gates, its states and one ``step``; all else follows from these."""

from __future__ import annotations

import collections
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import UserError, nearest
from .initialisation import SCHEMES, set_forget_bias, start_norms
from .structure import State, describe, same_shapes

_REGISTRY: dict[str, type[Cell]] = {}
_PLACE = ("device", "dtype")
_OF_A_FILE = "elman_user_"


class Gated:
    """The pre-activations of one step, one attribute a gate: ``z.f`` is the (B, H) slice of gate ``f``.

    ``z + u`` adds all gates at once; ``raw`` is the step's input itself (B, I), where there is one.

    >>> z = Gated(torch.arange(4.0).view(1, 4), ("f", "n"))
    >>> z.n
    tensor([[2., 3.]])
    """

    __slots__ = ("_chunks", "_gates", "_raw", "_tensor")

    def __init__(self, tensor: Tensor, gates: tuple[str, ...], raw: Callable[[], Tensor] | None = None) -> None:
        self._tensor = tensor
        self._gates = gates
        self._chunks: tuple[Tensor, ...] | None = None
        self._raw = raw

    @property
    def raw(self) -> Tensor:
        if self._raw is None:
            raise TypeError("these pre-activations come from a state; only the step's x has a raw input")
        return self._raw()

    def __getattr__(self, gate: str) -> Tensor:
        if gate.startswith("_"):  # asked for before it is there: no gate, and no endless search for one
            raise AttributeError(gate)
        try:
            row = self._gates.index(gate)
        except ValueError:
            raise AttributeError(f"no gate {gate!r}; this cell has {', '.join(self._gates) or 'none'}") from None
        if self._chunks is None:
            # One chunk call: its backward writes all gates at once, where slicing would add G padded copies.
            self._chunks = self._tensor.chunk(len(self._gates), -1)
        return self._chunks[row]

    def __add__(self, other: Gated) -> Gated:
        return Gated(self._tensor + other._tensor, self._gates, self._raw)


class Recurrence:
    """The recurrent product: ``recur(v)`` is U v + b_hh for all gates, ``recur.f(v)`` the rows of gate ``f`` alone."""

    __slots__ = ("_bias", "_blocks", "_gates", "_weight")

    def __init__(self, weight: Tensor, bias: Tensor | None, gates: tuple[str, ...]) -> None:
        self._weight = weight
        self._bias = bias
        self._gates = gates
        self._blocks: list[tuple[Tensor, Tensor | None]] | None = None

    def __call__(self, v: Tensor) -> Gated:
        return Gated(F.linear(v, self._weight, self._bias), self._gates)

    def __getattr__(self, gate: str) -> Callable[[Tensor], Tensor]:
        if gate.startswith("_"):  # asked for before it is there: no gate, and no endless search for one
            raise AttributeError(gate)
        try:
            row = self._gates.index(gate)
        except ValueError:
            raise AttributeError(f"no gate {gate!r}; this cell has {', '.join(self._gates) or 'none'}") from None
        if self._blocks is None:
            count = len(self._gates)
            biases = (None,) * count if self._bias is None else self._bias.chunk(count)
            self._blocks = list(zip(self._weight.chunk(count), biases, strict=True))
        weight, bias = self._blocks[row]
        return lambda v: F.linear(v, weight, bias)


class _RecurrenceOfCell:
    """Makes ``self.recur`` in a step; a cell bound to a sequence holds one made once in its place."""

    def __get__(self, cell: Cell | None, owner: type[Cell]) -> Any:
        return self if cell is None else Recurrence(cell.weight_hh, cell.bias_hh, cell.gates)


class _CellType(type):
    """Starts the parameters once the whole cell, the subclass's own weights included, is built."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        cell = super().__call__(*args, **kwargs)
        cell.reset_parameters()
        return cell


class Cell(nn.Module, metaclass=_CellType):
    """One step of a recurrent network; subclass it, name the gates and states, and write ``step``.

    Class attributes a subclass sets:

    - ``gates``: names of the gates in the row order of the weights; ``()`` for a cell with weights of its own only.
    - ``states``: names of the states; the first is the output unless ``output`` names another.
    - ``output``: the output's name where it is not the first state; ``step`` then returns the output first.
    - ``inputs``: names of the per-step inputs, passed to ``step`` in this order; default ``("x",)``.
    - ``forget_gate``: the gate that keeps the old state, whose bias ``forget_bias`` and the "xavier" start set (see
      ``forget_biases`` where it is no row of ``gates``).
    - ``internal``: states that are no units of their own, a counter or a scale of other states: what drops or holds
      units leaves these alone.
    - ``recurrent_matrix``: ``False`` where no gate sees the state through a matrix: without ``weight_hh``, ``bias_hh``
      and ``self.recur``.

    ``step(x, *states)`` sees ``x.f`` = (W x_t + b_ih)_f for every gate f, ``x.raw`` = x_t (B, I), and
    ``self.recur.f(v)`` = (U v + b_hh)_f; ``self.recur(v)`` does all gates in one product. It returns the new states
    in the order of ``states``, each (B, H) unless ``state_sizes`` says otherwise.

    Parameters are named and shaped as PyTorch's: ``weight_ih`` (G*H, I), ``weight_hh`` (G*H, H), ``bias_ih`` and
    ``bias_hh`` (G*H,). A subclass may put a parameter of another shape in the place of one of them: G equal blocks of
    rows is all that ``x`` and ``recur`` ask for.

    A subclass is known by its name (see ``find_cell``) unless made with ``class MyCell(Cell, register=False)``, or
    where the package has a cell of that name.

    Args:
        input_size: features of x_t.
        hidden_size: units H.
        bias: whether the two biases exist.
        init: how parameters start: "torch", "xavier", "identity", "normal" or "uniform" (see ``elman.initialisation``).
        forget_bias: value the forget gate's bias starts from; ``None`` leaves it to ``init``.

    Raises ``UserError`` for sizes below 1, an unknown ``init``, and a forget bias where there is no such bias.

    >>> class OneGate(Cell):
    ...     gates, states = ("f", "n"), ("h",)
    ...     def step(self, x, h):
    ...         f = torch.sigmoid(x.f + self.recur.f(h))
    ...         n = torch.tanh(x.n + self.recur.n(f * h))
    ...         return (1 - f) * h + f * n
    >>> y, h = OneGate(3, 5)(torch.zeros(2, 3))
    >>> y.shape
    torch.Size([2, 5])
    """

    gates: ClassVar[tuple[str, ...]] = ()
    states: ClassVar[tuple[str, ...]] = ("h",)
    output: ClassVar[str | None] = None
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    forget_gate: ClassVar[str | None] = None
    internal: ClassVar[tuple[str, ...]] = ()
    recurrent_matrix: ClassVar[bool] = True
    State: ClassVar[Any]

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    recur = _RecurrenceOfCell()

    def __init_subclass__(cls, *, register: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        state = collections.namedtuple(f"{cls.__name__}State", cls.states)  # type: ignore[misc]
        state.__module__, state.__qualname__ = cls.__module__, f"{cls.__qualname__}.State"
        cls.State = state
        if register and "step" in {name for base in cls.__mro__ if base is not Cell for name in vars(base)}:
            _register(cls)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        init: str = "torch",
        forget_bias: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes: dict[str, Any] = {"input_size": input_size, "hidden_size": hidden_size}
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise UserError(f"{type(self).__name__} got {name}={size!r}; give a whole number of at least 1")
        if init not in SCHEMES:
            raise UserError(f"unknown init {init!r}; {nearest(init, SCHEMES)}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.init = init
        self.forget_bias = forget_bias
        rows = len(self.gates) * hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        if rows:
            shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        if rows and bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if not self.recurrent_matrix:
            shapes = {name: shape for name, shape in shapes.items() if name.endswith("_ih")}
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            shape = shapes.get(name)
            parameter = None if shape is None else nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, parameter)

    def reset_parameters(self) -> None:
        """Starts all parameters anew by the scheme named in ``init``, normalisation layers at gain 1 and shift 0."""
        start_norms(self)
        SCHEMES[self.init](self)
        if self.forget_bias is not None:
            if not self.forget_biases:
                lacks = "biases (bias=False)" if self.forget_gate else "forget gate"
                raise UserError(
                    f"{type(self).__name__} has no {lacks}, so forget_bias={self.forget_bias} has nothing to set"
                )
            set_forget_bias(self, self.forget_bias)

    def step(self, *args: Any) -> Any:
        """New states (the output before them where ``output`` is set) from the step's inputs and the old states."""
        raise NotImplementedError(f"{type(self).__name__} has no step; write step(self, x, {', '.join(self.states)})")

    def all_steps(self, *args: Any) -> Any:
        """``step`` for all steps at once, for ``parallel``: the inputs have a time axis in front, the states given are
        those before the first step, and the states returned, like the output, are those of every step.
        """
        raise UserError(f"{type(self).__name__} has no parallel form over time; use elman.scan")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Features of every state, in the order of ``states``; H each unless a subclass says otherwise."""
        return (self.hidden_size,) * len(self.states)

    @property
    def output_size(self) -> int:
        """Features of the output, which is what a next layer takes."""
        return self.state_sizes[0]

    @property
    def forget_biases(self) -> tuple[Tensor, ...]:
        """The (H,) vectors whose sum is the forget gate's bias: its rows of the two biases; empty where there are none.

        A subclass that keeps this bias elsewhere names the place here.

        >>> from elman.cells import LSTM
        >>> LSTM(2, 3, forget_bias=1.0).forget_biases[0]
        tensor([1., 1., 1.], grad_fn=<SplitBackward0>)
        """
        if self.forget_gate is None:
            return ()
        row = self.gates.index(self.forget_gate)
        biases = (self.bias_ih, self.bias_hh)
        return tuple(bias.chunk(len(self.gates))[row] for bias in biases if bias is not None)

    @property
    def recurrent_weights(self) -> tuple[Tensor, ...]:
        """The matrices that see the state, each with one block of rows a gate: ``weight_hh`` where there is one.

        They start as the recurrent weights of ``init``, gate by gate. A subclass with more of them names all here.
        """
        return (self.weight_hh,) if self.recurrent_matrix and self.gates else ()

    @property
    def options(self) -> dict[str, Any]:
        """The options the cell was built with, by name: with the two sizes they build an equal cell.

        >>> from elman.cells import LSTM
        >>> LSTM(2, 3, forget_bias=1.0).options
        {'activation': 'tanh', 'bias': True, 'init': 'torch', 'forget_bias': 1.0}
        """
        return {name: getattr(self, name) for name in self.option_names() if name not in _PLACE}

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """The names of the constructor's options, the subclass's own first.

        >>> from elman.cells import RNN
        >>> RNN.option_names()
        ('nonlinearity', 'bias', 'init', 'forget_bias', 'device', 'dtype')
        """
        names: list[str] = []
        for base in cls.__mro__:
            if "__init__" not in vars(base):
                continue
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):  # hands nothing on to its bases
                break
        return tuple(name for name in dict.fromkeys(names) if name not in ("self", "input_size", "hidden_size"))

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Zeros of the cell's states for ``batch_size`` rows, on the parameters' device and in their dtype."""
        like = next(self.parameters(), torch.empty(0))
        return self.pack(
            torch.zeros(batch_size, size, device=device or like.device, dtype=dtype or like.dtype)
            for size in self.state_sizes
        )

    def example_inputs(self, time: int, batch_size: int) -> Tensor | tuple[Tensor, ...]:
        """Made-up inputs (T, B, ...) for checks and explanations: normal numbers, (T, B, 1) for inputs beside x.

        A cell whose inputs are of another kind or shape (time stamps that rise, images) overrides it.

        >>> from elman.cells import LSTM
        >>> LSTM(3, 4).example_inputs(7, 2).shape
        torch.Size([7, 2, 3])
        """
        like = next(self.parameters(), torch.empty(0))
        sizes = (self.input_size, *[1] * (len(self.inputs) - 1))
        made = tuple(torch.randn(time, batch_size, size, device=like.device, dtype=like.dtype) for size in sizes)
        return made[0] if len(made) == 1 else made

    def check_state(self, state: State, batch_size: int) -> None:
        """Raises ``UserError`` unless ``state`` nests and is shaped as ``initial_state(batch_size)``.

        Without it a wrong state may broadcast, or be unpacked along its batch, to a result that only looks right.
        """
        expected = self.initial_state(batch_size)
        if not same_shapes(state, expected):
            names = ", ".join(self.states)
            raise UserError(
                f"{type(self).__name__} got the state {describe(state)}; expected {describe(expected)} for {names}"
            )

    def pack(self, states: Any) -> State:
        """The states as the cell hands them out: one is the bare tensor, several are the cell's named tuple."""
        values = tuple(states)
        return values[0] if len(values) == 1 else self.State(*values)

    def with_parameters(self, parameters: dict[str, Tensor | None]) -> Cell:
        """A light copy whose own four parameters (``weight_ih``, ...) are tensors kept elsewhere."""
        copy = self._copy()
        copy.__dict__["_parameters"] = {**self._parameters, **parameters}
        return copy

    def bound(self) -> Cell:
        """A light copy for one sequence, with the recurrent product's slices made once."""
        copy = self._copy()
        if self.gates and self.recurrent_matrix:
            copy.__dict__["recur"] = Recurrence(self.weight_hh, self.bias_hh, self.gates)
        return copy

    def _copy(self) -> Cell:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def project(self, x: Tensor, one_hot: bool) -> Tensor:
        """W x + b_ih for all gates: x (..., I), or ids (...) that stand for one-hot vectors."""
        if not one_hot:
            return F.linear(x, self.weight_ih, self.bias_ih)
        columns = F.embedding(x, self.weight_ih.t())
        return columns if self.bias_ih is None else columns + self.bias_ih

    def over_time(self, inputs: tuple[Tensor, ...]) -> Callable[[int, State], tuple[Tensor, State]]:
        """The step as a function of the time index, with the input projection of all steps done as one product.

        ``inputs`` are the sequences (T, B, ...), x first; whole numbers x (T, B) stand for one-hot vectors, whose
        product with the weights is a look-up. The function takes ``(t, state)`` and returns ``(output, state)``.
        """
        x, *extras = inputs
        cell = self.bound()
        one_hot = self._is_one_hot(x[0] if len(x) else x.new_empty(x.shape[1:]))

        dense: list[tuple[Tensor, ...]] = []

        def raw() -> tuple[Tensor, ...]:
            if not dense:
                dense.append(self._dense(x, one_hot).unbind(0))
            return dense[0]

        projected = cell.project(x, one_hot).unbind(0) if self.gates else raw()
        others = [extra.unbind(0) for extra in extras]

        def step(t: int, state: State) -> tuple[Tensor, State]:
            return cell.advance(
                Gated(projected[t], self.gates, lambda: raw()[t]), [other[t] for other in others], state
            )

        return step

    def forward(self, x: Tensor | tuple[Tensor, ...], state: State = None) -> tuple[Tensor, State]:
        """One step: ``(output, state)`` from x (B, I), or the tuple of the cell's inputs, and the old state."""
        first, *extras = x if isinstance(x, tuple) else (x,)
        one_hot = self._is_one_hot(first)
        if state is None:
            state = self.initial_state(len(first))
        else:
            self.check_state(state, len(first))
        projected = self.project(first, one_hot) if self.gates else first
        return self.advance(Gated(projected, self.gates, lambda: self._dense(first, one_hot)), extras, state)

    def parallel(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """``elman.scan(cell, x, state)`` with all steps at once, for cells whose recurrence is linear in the state.

        The depth is that of ``elman.linear_recurrence.linear_scan``, 2 log2(T) in place of T. It takes x (T, B, I) or
        ids (T, B) and knows no ``lengths`` and no ``resets``: ``scan`` does.

        Raises ``UserError`` for a cell without this form, and for shapes that do not fit.

        >>> from elman.cells import MinGRU
        >>> y, h = MinGRU(3, 4).parallel(torch.randn(7, 2, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 2, 4]), torch.Size([2, 4]))
        """
        if x.dim() < 2:
            raise UserError(f"{type(self).__name__}.parallel got x of shape {tuple(x.shape)}; expected (T, B, ...)")
        one_hot = self._is_one_hot(x[0] if len(x) else x.new_empty(x.shape[1:]))
        if state is None:
            state = self.initial_state(x.shape[1])
        else:
            self.check_state(state, x.shape[1])
        projected = self.project(x, one_hot) if self.gates else x
        gated = Gated(projected, self.gates, lambda: self._dense(x, one_hot))
        result = self.all_steps(gated, *((state,) if len(self.states) == 1 else state))
        values = result if isinstance(result, tuple) else (result,)
        if not len(x):
            return values[0], state
        return values[0], self.pack(each[-1] for each in (values[1:] if self.output else values))

    def advance(self, x: Gated, extras: Sequence[Tensor], state: State) -> tuple[Tensor, State]:
        """``step``, with its result read as ``(output, state)``."""
        states = (state,) if len(self.states) == 1 else state
        result = self.step(x, *extras, *states)
        values = result if isinstance(result, tuple) else (result,)
        if len(values) != len(self.states) + (self.output is not None):
            raise UserError(
                f"{type(self).__name__}.step returned {len(values)} tensors; expected "
                f"{', '.join(((self.output,) if self.output else ()) + self.states)}"
            )
        return values[0], self.pack(values[1:] if self.output else values)

    def _is_one_hot(self, x: Tensor) -> bool:
        """Whether x, one step, holds ids (B,); raises ``UserError`` where it is neither ids nor (B, I)."""
        if x.dim() == 1 and x.dtype == torch.int64:
            return True
        if x.dim() < 2 or x.shape[-1] != self.input_size:
            raise UserError(
                f"{type(self).__name__} expected steps of x (B, {self.input_size}), got steps of {tuple(x.shape)}"
            )
        return False

    def _dense(self, x: Tensor, one_hot: bool) -> Tensor:
        return F.one_hot(x, self.input_size).to(next(self.parameters()).dtype) if one_hot else x

    def extra_repr(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{self.input_size}, {self.hidden_size}{options}"


def _register(cls: type[Cell]) -> None:
    if cls.__module__.startswith("torch."):  # torch.nn.utils.parametrize subclasses the cells it touches
        return
    name = cls.__name__.lower()
    known = _REGISTRY.get(name)
    if known is not None and known.__module__ != cls.__module__:
        if known.__module__.startswith(f"{__package__}.cells."):
            if not cls.__module__.startswith(_OF_A_FILE):  # which is asked for by the file's name
                warnings.warn(
                    f"Elman has a cell named {name!r}, and the name goes on meaning that one; hand your own "
                    f"{cls.__name__} over as the class itself, or rename it",
                    stacklevel=4,
                )
            return
        raise UserError(
            f"a cell named {name!r} exists in {known.__module__} already; "
            f"rename the class {cls.__name__} in {cls.__module__}"
        )
    _REGISTRY[name] = cls


def cells() -> dict[str, type[Cell]]:
    """Every known cell by its command-line name, sorted.

    >>> import elman
    >>> "lstm" in cells()
    True
    """
    return dict(sorted(_REGISTRY.items()))


def find_cell(name: str) -> type[Cell]:
    """The cell class of a name (case, ``-`` and ``_`` ignored) or of ``file.py:ClassName``.

    Raises ``UserError`` naming the nearest cell, or what is wrong with the file.

    >>> import elman
    >>> find_cell("Peephole-LSTM").__name__
    'PeepholeLSTM'
    """
    if ".py:" in name:
        path, _, class_name = name.rpartition(":")
        return _cell_of_file(Path(path), class_name)
    key = name.lower().replace("-", "").replace("_", "")
    if key not in _REGISTRY:
        raise UserError(f"unknown cell {name!r}; {nearest(key, _REGISTRY)}")
    return _REGISTRY[key]


def cells_of_file(path: Path) -> list[type[Cell]]:
    """The cells that a Python file defines, in its order, after running it.

    Raises ``UserError`` where there is no such file, where it cannot be run, and where it defines no cell.
    """
    module = _module_of_file(path)
    found = [each for each in _cells_in(module).values() if each.__module__ == module.__name__]
    if not found:
        raise UserError(f"{path} defines no cell; write a class in it that has elman.Cell as its base, and a step")
    return found


def _cell_of_file(path: Path, class_name: str) -> type[Cell]:
    own = _cells_in(_module_of_file(path))
    if class_name not in own:
        raise UserError(f"{path} has no cell {class_name!r}; {nearest(class_name, own) if own else 'it defines none'}")
    return own[class_name]


def _cells_in(module: ModuleType) -> dict[str, type[Cell]]:
    """The cells that can step among a module's names."""
    classes = {name: each for name, each in vars(module).items() if isinstance(each, type) and issubclass(each, Cell)}
    return {name: each for name, each in classes.items() if each.step is not Cell.step}


class _Source(SourceFileLoader):
    """Reads a file as it stands: bytecode kept beside it hides a change within a second that leaves the size alone."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"no such file: {str(path)!r} (a cell of your own is named file.py:ClassName)")
    module_name = f"{_OF_A_FILE}{path.resolve().stem}"
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_Source(module_name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[module_name]
        raise
    except Exception as error:
        del sys.modules[module_name]
        raise UserError(f"{path} could not be run: {type(error).__name__}: {error}") from error
    return module
