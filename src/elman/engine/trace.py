"""Trace: a function of tensors as a straight-line list of core ATen operators, the number of rows left open."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

# Two row counts that hardly are a network's sizes too: where the two traces differ by just these, there are the rows.
_ROW_COUNTS = (1009, 2003)


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

    def __repr__(self) -> str:
        return self.name


@dataclass
class Graph:
    """Values in an order in which each comes after what it is computed from; ``print`` shows it as a program."""

    inputs: list[Value]
    values: list[Value]
    outputs: list[Value]

    def __str__(self) -> str:
        lines = [f"{v}: {_shape(v)}" for v in self.inputs]
        for v in self.values:
            arguments = [*map(str, v.args), *(f"{name}={value}" for name, value in v.kwargs.items())]
            lines.append(f"{v}: {_shape(v)} = {operator_name(v)}({', '.join(arguments)})")
        return "\n".join([*lines, f"return {', '.join(map(str, self.outputs))}"])


def operator_name(value: Value) -> str:
    """The operator's name without namespace and overload, "input" for an input."""
    return "input" if value.op is None else str(value.op).removeprefix("aten.").partition(".")[0]


def trace(fn: Callable[..., Sequence[Tensor]], examples: Callable[[int], Sequence[Tensor]]) -> Graph:
    """The graph of ``fn(*tensors)``: traced on ``examples(rows)`` for two row counts, the results merged into one.

    Raises ``Refused`` for a function that branches on values, draws random numbers, computes with the batch size, or
    uses tensors that are not among its arguments.

    >>> g = trace(lambda x, w: [torch.sigmoid(x @ w)], lambda rows: [torch.zeros(rows, 3), torch.zeros(3, 2)])
    >>> print(g)
    arg0_1: (B, 3)
    arg1_1: (3, 2)
    mm: (B, 2) = mm(arg0_1, arg1_1)
    sigmoid: (B, 2) = sigmoid(mm)
    return sigmoid
    """
    graphs = [_capture(fn, examples(rows)) for rows in _ROW_COUNTS]
    ours, theirs = (list(graph.nodes) for graph in graphs)
    if [(node.op, str(node.target)) for node in ours] != [(node.op, str(node.target)) for node in theirs]:
        raise Refused("the step does different things for different batch sizes")
    known: dict[fx.Node, Any] = {}
    graph = Graph([], [], [])
    names: dict[str, int] = {}
    for node, twin in zip(ours, theirs, strict=True):
        if node.op == "output":
            graph.outputs = [known[leaf] for leaf in flat(node.args)]
        elif node.op == "get_attr":
            raise Refused("the step uses a tensor that is not a parameter, buffer, input or state of it")
        elif node.target is operator.getitem:
            known[node] = known[node.args[0]][node.args[1]]
        else:
            made = _values(node, twin, known)
            for value in made:
                count = names[value.name] = names.get(value.name, -1) + 1
                value.name += f"_{count}" if len(made) > 1 else ""
            (graph.inputs if node.op == "placeholder" else graph.values).extend(made)
            known[node] = made if isinstance(node.meta["val"], tuple | list) else made[0]
    return graph


def flat(arguments: Any) -> list[Any]:
    """The leaves of nested tuples and lists.

    >>> flat((1, [2, (3,)]))
    [1, 2, 3]
    """
    if isinstance(arguments, tuple | list):
        return [leaf for argument in arguments for leaf in flat(argument)]
    return [arguments]


@functools.cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    # As a plain dict: PyTorch's own table is filled anew for every trace, at twice the cost of the trace.
    aten = torch.ops.aten
    further = [aten._softmax, aten._softmax_backward_data, aten._log_softmax, aten._log_softmax_backward_data]
    ours = {aten.native_layer_norm.default: _layer_norm, aten.var.correction: _variance}
    table = {**dict(core_aten_decompositions().items()), **get_decompositions(further), **ours}
    # In pieces their derivative is NaN where exp overflows: 0 times infinity. PyTorch's own is not.
    for whole in (aten.softplus, aten.mish, aten.elu, aten.gelu, aten.leaky_relu, aten.hardtanh):
        table.pop(whole.default, None)
    return table


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    axes = list(range(-len(shape), 0))
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    scale = torch.rsqrt((centred * centred).mean(axes, keepdim=True) + eps)
    y = centred * scale
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, scale


def _variance(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> Tensor:
    axes = list(range(x.dim())) if dim is None else list(dim)
    centred = x - x.mean(axes, keepdim=True)
    count = math.prod(x.shape[axis] for axis in axes)
    return (centred * centred).sum(axes, keepdim=keepdim) / max(count - (1 if correction is None else correction), 0)


def _capture(fn: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor]) -> fx.Graph:
    try:
        # functionalize turns what is done in place (add_) into values of their own.
        pure = functionalize(lambda *args: tuple(fn(*args)))
        module = make_fx(pure, _decompositions(), "fake", True, record_stack_traces=True)(*tensors)
        if any(_changes(node) and node.target is not torch.ops.aten.copy_.default for node in module.graph.nodes):
            # Some operators (gru_cell) have in-place pieces that come to light only now.
            module = make_fx(functionalize(module), None, "fake", True, record_stack_traces=True)(*tensors)
    except Exception as error:
        raise Refused(
            f"the step cannot be traced: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        ) from error
    graph: fx.Graph = module.graph
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if _changes(node):
            raise Refused(f"the step changes a tensor it is given, a buffer perhaps ({node.target}) at {_source(node)}")
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise Refused(f"the step draws random numbers ({node.target}) at {_source(node)}")
    return graph


def _changes(node: fx.Node) -> bool:
    return getattr(getattr(node.target, "_schema", None), "is_mutable", False)


def _values(node: fx.Node, twin: fx.Node, known: dict[fx.Node, Any]) -> list[Value]:
    """One node of both traces as values, several for a split: each piece a slice of its own."""
    args, kwargs = _merged(node.args, twin.args, known), _merged(node.kwargs, twin.kwargs, known)
    if any(each is ROWS for each in (*args, *kwargs.values())):
        raise Refused(f"the step computes with the batch size at {_source(node)}")
    op = None if node.op == "placeholder" else node.target
    metas, twins = ([each] if isinstance(each, Tensor) else list(each) for each in (node.meta["val"], twin.meta["val"]))
    made = [
        Value(op, args, kwargs, _merged(tuple(a.shape), tuple(b.shape), known), a.dtype, node.name, _source(node))
        for a, b in zip(metas, twins, strict=True)
    ]
    if isinstance(node.meta["val"], Tensor):
        return made
    if op is not torch.ops.aten.split_with_sizes.default:
        raise Refused(f"the step uses {op}, which gives several tensors, at {_source(node)}")
    whole, sizes = args[:2]
    axis = (args[2] if len(args) > 2 else 0) % len(whole.shape)
    begin = 0
    for piece, size in zip(made, sizes, strict=True):
        piece.op, piece.args, piece.kwargs = torch.ops.aten.slice.Tensor, (whole, axis, begin, begin + size), {}
        begin += size
    return made


def _merged(ours: Any, theirs: Any, known: dict[fx.Node, Any]) -> Any:
    """An argument in both traces as one: nodes become values, the two row counts become ``ROWS``."""
    if isinstance(ours, fx.Node):
        return known[ours]
    if isinstance(ours, tuple | list):
        return tuple(_merged(a, b, known) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, dict):
        return {name: _merged(ours[name], theirs[name], known) for name in ours}
    if (ours, theirs) == _ROW_COUNTS:
        return ROWS
    if ours != theirs:
        raise Refused(f"the step computes with the batch size ({ours!r} and {theirs!r} for two sizes)")
    return ours


def _source(node: fx.Node) -> str:
    """``file:line`` behind a node: the innermost frame that was recorded."""
    frames = [line.strip() for line in (node.stack_trace or "").splitlines() if line.strip().startswith('File "')]
    if not frames:
        return "an unknown line"
    file, _, rest = frames[-1].removeprefix('File "').partition('", line ')
    return f"{file}:{rest.partition(',')[0]}"


def _shape(value: Value) -> str:
    return f"({', '.join(map(str, value.shape))}{',' * (len(value.shape) == 1)})"
