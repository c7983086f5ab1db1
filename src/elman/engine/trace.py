"""Trace: a function of tensors as a straight-line list of core ATen operators, the number of rows left open."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from . import lines
from .decompositions import decompositions

# Two row counts that hardly are a network's sizes too: where the two traces differ by just these, there are the rows.
_ROW_COUNTS = (1009, 2003)
# Where a slice's first bound stands among its arguments; its axis stands before.
_BOUNDS = {torch.ops.aten.slice.Tensor: 2, torch.ops.aten.slice_scatter.default: 3}
_PLACEMENT = ("device", "layout", "pin_memory")  # of new tensors, the same for all: not printed


class _Rows:
    """Stands in shapes and arguments for the number of rows."""

    def __repr__(self) -> str:
        return "B"


ROWS = _Rows()


class Refused(Exception):
    """Why a step cannot be compiled, in words, with the place in the code where it is known."""


@dataclass(eq=False)
class Value:
    """One tensor of a graph: an input, or the result of an operator on values, numbers and lists of these.

    ``op`` is an ATen operator, ``None`` for an input; ``shape`` holds ``ROWS`` where the batch is; ``source`` is the
    line of Python it comes from.
    """

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[Any, ...]
    dtype: torch.dtype
    name: str
    source: str = ""

    @property
    def inputs(self) -> list[Value]:
        """The values this one is computed from, in order."""
        return [leaf for leaf in flat((self.args, tuple(self.kwargs.values()))) if isinstance(leaf, Value)]

    @property
    def by_row(self) -> bool:
        """Whether the first axis is the batch."""
        return bool(self.shape) and self.shape[0] is ROWS

    @property
    def call(self) -> str:
        """The operator and its arguments as a program has them: ``mul(f, h)``."""
        named = [f"{name}={value}" for name, value in self.kwargs.items() if name not in _PLACEMENT]
        arguments = [*map(str, self.args), *named]
        return f"{operator_name(self)}({', '.join(arguments)})"

    def __repr__(self) -> str:
        return self.name


@dataclass
class Graph:
    """Values in an order in which each comes after what it is computed from; ``print`` shows it as a program."""

    inputs: list[Value]
    values: list[Value]
    outputs: list[Value]

    def __str__(self) -> str:
        lines = [f"{v}: {_shape(v)}" for v in self.inputs] + [f"{v}: {_shape(v)} = {v.call}" for v in self.values]
        return "\n".join([*lines, f"return {', '.join(map(str, self.outputs))}"])


def operator_name(value: Value) -> str:
    """The operator's name without namespace and overload, "input" for an input."""
    return "input" if value.op is None else str(value.op).removeprefix("aten.").partition(".")[0]


def trace(
    fn: Callable[..., Sequence[Tensor]], examples: Callable[[int], Sequence[Tensor]], names: Sequence[str] = ()
) -> Graph:
    """The graph of ``fn(*tensors)``: traced on ``examples(rows)`` for two row counts, the results merged into one.

    ``names`` are what the inputs are called when the graph is printed.

    Raises ``Refused`` for a function that branches on values, draws random numbers, computes with the batch size, or
    uses tensors that are not among its arguments.

    >>> examples = lambda rows: [torch.zeros(rows, 3), torch.zeros(3, 2)]
    >>> print(trace(lambda x, w: [torch.sigmoid(x @ w)], examples, ["x", "w"]))
    x: (B, 3)
    w: (3, 2)
    mm: (B, 2) = mm(x, w)
    sigmoid: (B, 2) = sigmoid(mm)
    return sigmoid
    """
    graphs = [_capture(fn, examples(rows)) for rows in _ROW_COUNTS]
    ours, theirs = (list(graph.nodes) for graph in graphs)
    for node, twin in zip_longest(ours, theirs, fillvalue=ours[-1]):
        if (node.op, str(node.target)) != (twin.op, str(twin.target)):
            raise Refused(f"the step does different things for different batch sizes at {lines.of_node(node)}")
    known: dict[fx.Node, Any] = {}
    graph = Graph([], [], [])
    taken: set[str] = set()
    for node, twin in zip(ours, theirs, strict=True):
        if node.op == "output":
            graph.outputs = [known[leaf] for leaf in flat(node.args)]
        elif node.op == "get_attr":
            place = lines.of_node(next(iter(node.users)))
            raise Refused(f"the step uses a tensor that is not a parameter, buffer, input or state of it, at {place}")
        elif node.target is operator.getitem:
            known[node] = known[node.args[0]][node.args[1]]
        else:
            made = known[node] = _values(node, twin, known)
            if isinstance(node.meta["val"], Tensor):
                (known[node],) = made
            else:
                made = [made[k] for k in sorted({user.args[1] for user in node.users})]
            for value in made:
                given = node.op == "placeholder" and len(graph.inputs) < len(names)
                value.name = names[len(graph.inputs)] if given else _name(value)
                while value.name in taken:
                    value.name += "'"
                taken.add(value.name)
            (graph.inputs if node.op == "placeholder" else graph.values).extend(made)
    return graph


def flat(arguments: Any) -> list[Any]:
    """The leaves of nested tuples and lists.

    >>> flat((1, [2, (3,)]))
    [1, 2, 3]
    """
    if isinstance(arguments, tuple | list):
        return [leaf for argument in arguments for leaf in flat(argument)]
    return [arguments]


def _capture(fn: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor]) -> fx.Graph:
    try:
        # functionalize turns what is done in place (add_) into values of their own.
        pure = functionalize(lambda *args: tuple(fn(*args)))
        with lines.recorded():
            module = make_fx(pure, decompositions(), "fake", True)(*tensors)
        if any(_changes(node) and node.target is not torch.ops.aten.copy_.default for node in module.graph.nodes):
            # Some operators (gru_cell) have in-place pieces that come to light only now.
            with fx.traceback.preserve_node_meta():  # the lines
                module = make_fx(functionalize(fx.Interpreter(module).run), decompositions(), "fake", True)(*tensors)
    except Exception as error:
        # Here, as it imports SymPy, which takes as long as importing all of Elman.
        from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

        said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if isinstance(error, GuardOnDataDependentSymNode | DataDependentOutputException):
            said = "what it does depends on the value of a tensor"
        raise Refused(f"the step cannot be traced: {said} at {lines.of_error(error)}") from error
    graph: fx.Graph = module.graph
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if _changes(node):
            made = node.args[1] if node.target is torch.ops.aten.copy_.default else node  # copied back at the very end
            place = lines.of_node(made)
            raise Refused(f"the step changes a tensor it is given, a buffer perhaps ({node.target}) at {place}")
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise Refused(f"the step draws random numbers ({node.target}) at {lines.of_node(node)}")
    return graph


def _changes(node: fx.Node) -> bool:
    return getattr(getattr(node.target, "_schema", None), "is_mutable", False)


def _values(node: fx.Node, twin: fx.Node, known: dict[fx.Node, Any]) -> list[Value]:
    """One node of both traces as values, several for a split: each piece a slice of its own."""
    args, kwargs = _merged(node.args, twin.args, known, node), _merged(node.kwargs, twin.kwargs, known, node)
    if any(each is ROWS for each in (*args, *kwargs.values())):
        raise Refused(f"the step computes with the batch size at {lines.of_node(node)}")
    op = None if node.op == "placeholder" else node.target
    args = _bounded(args, _BOUNDS[op]) if op in _BOUNDS else args
    metas, twins = ([each] if isinstance(each, Tensor) else list(each) for each in (node.meta["val"], twin.meta["val"]))
    shapes = [_merged(tuple(a.shape), tuple(b.shape), known, node) for a, b in zip(metas, twins, strict=True)]
    made = [
        Value(op, args, kwargs, shape, meta.dtype, node.name, lines.of_node(node))
        for shape, meta in zip(shapes, metas, strict=True)
    ]
    if isinstance(node.meta["val"], Tensor):
        return made
    if op is not torch.ops.aten.split_with_sizes.default:
        raise Refused(f"the step uses {op}, which gives several tensors, at {lines.of_node(node)}")
    whole, sizes = args[:2]
    axis = (args[2] if len(args) > 2 else 0) % len(whole.shape)
    begin = 0
    for piece, size in zip(made, sizes, strict=True):
        piece.op, piece.args, piece.kwargs = torch.ops.aten.slice.Tensor, (whole, axis, begin, begin + size), {}
        begin += size
    return made


def _bounded(args: tuple[Any, ...], place: int) -> tuple[Any, ...]:
    """The arguments of a slice with its bounds between 0 and the size; PyTorch also counts from the end, or past it."""
    size = args[0].shape[args[place - 1]] if len(args) > place else None
    if not isinstance(size, int):
        return args
    begin, end, _ = slice(*args[place : place + 2]).indices(size)
    return (*args[:place], begin, max(begin, end), *args[place + 2 :])


def _name(value: Value) -> str:
    """Its name in PyTorch's trace, or as Python would write it: ``weight_hh[0:4].T``."""
    if value.op is torch.ops.aten.slice.Tensor and len(value.args) == 4:
        whole, axis, begin, end = value.args
        return f"{whole}[{':, ' * (axis % len(whole.shape))}{begin}:{min(end, whole.shape[axis])}]"
    if value.op is torch.ops.aten.permute.default and value.args[1] == (1, 0):
        name = str(value.args[0])
        return name.removesuffix(".T") if name.endswith(".T") else f"{name}.T"
    return value.name


def _merged(ours: Any, theirs: Any, known: dict[fx.Node, Any], node: fx.Node) -> Any:
    """An argument of a node in both traces as one: nodes become values, the two row counts become ``ROWS``."""
    if isinstance(ours, fx.Node):
        return known[ours]
    if isinstance(ours, tuple | list):
        return tuple(_merged(a, b, known, node) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, dict):
        return {name: _merged(ours[name], theirs[name], known, node) for name in ours}
    if (ours, theirs) == _ROW_COUNTS:
        return ROWS
    if ours != theirs and not (ours != ours and theirs != theirs):  # NaN is no other than NaN
        raise Refused(f"the step computes with the batch size at {lines.of_node(node)}")
    return ours


def _shape(value: Value) -> str:
    return f"({', '.join(map(str, value.shape))}{',' * (len(value.shape) == 1)})"
