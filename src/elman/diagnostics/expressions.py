"""Expressions: a cell's traced step as formulas on single vectors, products by gate, normalisations in one piece."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from ..cell import Cell
from ..engine.trace import ROWS, Graph, Value, flat, operator_name, trace
from ..structure import leaves, rebuild

aten = torch.ops.aten

BARE_NORM = "layer_norm"
_INFIX = {
    aten.add.Tensor: "+",
    aten.sub.Tensor: "-",
    aten.mul.Tensor: "*",
    aten.div.Tensor: "/",
    aten.lt.Scalar: "<",
    aten.lt.Tensor: "<",
    aten.le.Scalar: "<=",
    aten.le.Tensor: "<=",
    aten.gt.Scalar: ">",
    aten.gt.Tensor: ">",
    aten.ge.Scalar: ">=",
    aten.ge.Tensor: ">=",
    aten.eq.Scalar: "==",
    aten.eq.Tensor: "==",
    aten.ne.Scalar: "!=",
    aten.ne.Tensor: "!=",
}
_FILLS = {aten.full.default: 1, aten.scalar_tensor.default: 0, aten.full_like.default: 1}
_SAME = {aten.view.default, aten._unsafe_view.default, aten.expand.default, aten.clone.default, aten.alias.default}
_SAME |= {aten.detach.default, aten.unsqueeze.default, aten.squeeze.dims, aten._to_copy.default}
_REDUCTIONS = {aten.mean.dim, aten.sum.dim_IntList, aten.amax.default, aten.amin.default}


@dataclass(eq=False)
class Node:
    """One formula: ``op`` on ``args``, which are nodes and plain values.

    ``op`` is "input" or "parameter" (args: its name), "number", an infix sign, "neg", "@" (matrix, vector), "T"
    (transposed), "slice" (node, begin, end; of a matrix: rows), "cat", or "call" (a function's name, its arguments).
    Shapes are without the batch: a vector (n,) where the trace has (B, n).
    """

    op: str
    args: tuple[Any, ...]
    shape: tuple[int, ...]
    order: int
    """Counts the nodes in the order in which the step makes them."""
    pointwise: bool = False

    @property
    def inputs(self) -> list[Node]:
        """The nodes among the arguments."""
        return [each for each in flat(self.args) if isinstance(each, Node)]

    @property
    def constant(self) -> bool:
        """Whether it depends on parameters and numbers alone."""
        return self.op != "input" and all(each.constant for each in self.inputs)

    def is_call(self, name: str) -> bool:
        """Whether it is this function of something."""
        return self.op == "call" and self.args[0] == name

    def is_number(self, value: float) -> bool:
        """Whether it is this number."""
        return self.op == "number" and self.args[0] == value


@dataclass
class Step:
    """A step as formulas: ``results`` by name, new states as ``h'``, and the author's names of what is in between.

    ``norms`` are the layer normalisations by the name of their module, with what they add to the variance; the bare one
    has no gain and shift and takes that number as an argument.
    """

    results: dict[str, Node]
    hints: dict[Node, str] = field(default_factory=dict)
    norms: dict[str, float | None] = field(default_factory=dict)

    @property
    def nodes(self) -> list[Node]:
        """All that the results are made of, each after what it is made of."""
        found: dict[Node, None] = {}
        pending = list(self.results.values())
        while pending:
            node = pending.pop()
            if node not in found:
                found[node] = None
                pending += node.inputs
        return sorted(found, key=lambda node: node.order)


def read_step(cell: Cell) -> Step:
    """The formulas of a cell's step, from its trace; raises ``Refused`` where the engine cannot trace it."""
    named = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
    with torch.random.fork_rng(devices=[]):
        given = cell.example_inputs(1, 1)
    inputs = given if isinstance(given, tuple) else (given,)
    state = cell.initial_state(1)
    first, last = len(named), len(named) + len(inputs)
    names: list[str] = []

    def step(*tensors: Tensor) -> list[Tensor]:
        x = tensors[first:last]
        seen: list[tuple[str, Tensor]] = []
        with _locals(cell, seen):
            given = dict(zip(named, tensors[:first], strict=True))
            y, new = functional_call(cell, given, (x if len(x) > 1 else x[0], rebuild(state, tensors[last:])))
        names[:] = [name for name, _ in seen]
        return [y, *leaves(new), *(tensor for _, tensor in seen)]

    def examples(rows: int) -> list[Tensor]:
        by_row = [*(each[0] for each in inputs), *leaves(state)]
        return [
            *(each.detach() for each in named.values()),
            *(each.new_zeros(rows, *each.shape[1:]) for each in by_row),
        ]

    with torch.no_grad():
        graph = trace(step, examples, [*named, *cell.inputs, *cell.states])
    reader = _Reader(graph, first, 1 + len(cell.states))
    y, *rest = map(reader.read, graph.outputs)
    new = [f"{name}'" for name in cell.states]
    results = dict(zip(new, rest[: len(new)], strict=True))
    if cell.output is not None and y not in results.values():
        results[cell.output] = y
    hints: dict[Node, str] = {}
    for node, name in zip(rest[len(new) :], names, strict=True):
        hints.setdefault(node, name)
    return Step(results, hints, reader.norms)


@contextlib.contextmanager
def _locals(cell: Cell, seen: list[tuple[str, Tensor]]) -> Iterator[None]:
    """Meanwhile, adds the local variables of the step's functions to ``seen``: the names its author chose."""
    code = getattr(inspect.unwrap(type(cell).step), "__code__", None)

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and code is not None and frame.f_code.co_filename == code.co_filename:
            for name, value in frame.f_locals.items():
                if isinstance(value, Tensor) and name.isidentifier() and not name.startswith("_"):
                    seen.append((name, value))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


class _Reader:
    """Turns the values of a trace into nodes; equal formulas become one node."""

    def __init__(self, graph: Graph, parameters: int, results: int) -> None:
        self.norms: dict[str, float | None] = {}
        # Where a number stands for a vector that is not read element by element, its size counts.
        reading = [value for value in graph.values if not _is_pointwise(value)]
        self._whole = {each for value in reading for each in value.inputs} | set(graph.outputs[:results])
        self._made: dict[Any, Node] = {}
        self._known: dict[Value, Node] = {}
        for k, value in enumerate(graph.inputs):
            self._known[value] = self._make("parameter" if k < parameters else "input", (value.name,), _shape(value))
        for value in graph.values:
            self._known[value] = self._translate(value)

    def read(self, value: Value) -> Node:
        return self._known[value]

    def _make(self, op: str, args: tuple[Any, ...], shape: tuple[int, ...], *, pointwise: bool = False) -> Node:
        key = (op, args)
        if key not in self._made:
            self._made[key] = Node(op, args, shape, len(self._made), pointwise)
        return self._made[key]

    def _translate(self, value: Value) -> Node:
        op, shape = value.op, _shape(value)
        if op in _FILLS or op is aten.zeros_like.default:
            filling = value.args[_FILLS[op]] if op in _FILLS else 0
            size = shape[0] if len(shape) == 1 else shape
            return self._call(("full", size, filling), shape) if value in self._whole else self._number(filling)
        arguments = [self._argument(each) for each in value.args]
        first: Any = arguments[0] if arguments else None
        if op in _SAME and first.shape == shape and (value.dtype.is_floating_point or op is not aten._to_copy.default):
            same: Node = first
            return same
        if op in _INFIX:
            left, right = map(self._as_node, arguments)
            scale = value.kwargs.get("alpha", 1)
            right = right if scale == 1 else self._infix("*", self._number(scale), right, right.shape)
            return self._infix(_INFIX[op], left, right, shape)
        if op is aten.neg.default:
            return self._make("neg", (first,), shape, pointwise=True)
        if op is aten.permute.default and value.args[1] == (1, 0):
            return self._transposed(first)
        if op is aten.mm.default:
            second = arguments[1]
            return self._make(
                "@", (self._transposed(second), first) if value.args[0].by_row else (first, second), shape
            )
        if op is aten.slice.Tensor and len(value.args) == 4 and _is_along(value, value.args[1]):
            return self._slice(first, *value.args[2:])
        if op is aten.cat.default and _is_along(value, value.args[1] if len(value.args) > 1 else 0):
            return self._joined(first, shape)
        if op in _REDUCTIONS and value.by_row and [axis % len(value.shape) for axis in value.args[1]] == [1]:
            return self._call((operator_name(value), first), shape)
        arguments += [f"{name}={each}" for name, each in value.kwargs.items() if each is not None]
        return self._call((operator_name(value), *arguments), shape, pointwise=_is_pointwise(value))

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, tuple):
            return tuple(map(self._argument, argument))
        return self._known[argument] if isinstance(argument, Value) else argument

    def _number(self, value: float) -> Node:
        return self._make("number", (value,), ())

    def _as_node(self, argument: Any) -> Node:
        return argument if isinstance(argument, Node) else self._number(argument)

    def _call(self, args: tuple[Any, ...], shape: tuple[int, ...], *, pointwise: bool = False) -> Node:
        return self._make("call", args, shape, pointwise=pointwise)

    def _infix(self, sign: str, left: Node, right: Node, shape: tuple[int, ...]) -> Node:
        neutral = 1 if sign in "*/" else 0
        if sign in "+-*/" and right.is_number(neutral) and left.shape == shape:
            return left
        if sign in "+*" and left.is_number(neutral) and right.shape == shape:
            return right
        if sign == "*" and _normalises(left, right):
            eps = right.args[1].args[1].args[0]
            self.norms[BARE_NORM] = None
            return self._call((BARE_NORM, left.args[0], eps), shape)
        if sign == "+" and (norm := _with_gain_and_shift(left, right)):
            name, normal = norm
            self.norms[name] = normal.args[2]
            return self._call((name, normal.args[1]), shape)
        if sign == "-" and _is_log_sigmoid(left, right):
            return self._call(("logsigmoid", left.args[2]), shape, pointwise=True)
        return self._make(sign, (left, right), shape, pointwise=True)

    def _transposed(self, matrix: Node) -> Node:
        if matrix.op == "T":
            inner: Node = matrix.args[0]
            return inner
        return self._make("T", (matrix,), matrix.shape[::-1])

    def _joined(self, pieces: Sequence[Node], shape: tuple[int, ...]) -> Node:
        left = tuple(piece for piece in pieces if piece.shape[0])
        return left[0] if len(left) == 1 else self._make("cat", left, shape)

    def _slice(self, node: Node, begin: int, end: int) -> Node:
        """``node[begin:end]``, asked of what it is made of as far as that can be."""
        end = min(end, node.shape[0])
        shape = (end - begin, *node.shape[1:])
        if shape == node.shape:
            return node
        if node.op == "slice":
            inner, start, _ = node.args
            return self._slice(inner, start + begin, start + end)
        if node.op == "@" and len(node.shape) == 1:
            matrix, vector = node.args
            return self._make("@", (self._slice(matrix, begin, end), vector), shape)
        if node.op == "cat":
            pieces, start = [], 0
            for piece in node.args:
                low, high = max(begin - start, 0), min(end - start, piece.shape[0])
                if low < high:
                    pieces.append(self._slice(piece, low, high))
                start += piece.shape[0]
            return self._joined(pieces, shape)
        if node.pointwise and all(len(each.shape) in (0, len(shape)) for each in node.inputs):
            return self._rebuilt(node, lambda each: _part(self, each, begin, end), shape)
        return self._make("slice", (node, begin, end), shape)

    def _rebuilt(self, node: Node, change: Callable[[Node], Node], shape: tuple[int, ...]) -> Node:
        args = tuple(change(each) if isinstance(each, Node) else each for each in node.args)
        return self._make(node.op, args, shape, pointwise=True)


def _part(reader: _Reader, node: Node, begin: int, end: int) -> Node:
    """The slice of one operand; one number for all stays as it is."""
    return node if not node.shape or node.shape[0] == 1 else reader._slice(node, begin, end)


def _shape(value: Value) -> tuple[int, ...]:
    return tuple(size for size in value.shape if size is not ROWS)


def _is_along(value: Value, axis: int) -> bool:
    """Whether an axis of the trace is a vector's first: the one behind the batch, if there is a batch."""
    return axis % len(value.shape) == (1 if value.by_row else 0)


def _is_pointwise(value: Value) -> bool:
    return torch.Tag.pointwise in getattr(value.op, "tags", ())


def _normalises(left: Node, right: Node) -> bool:
    """Whether left * right is (v - mean(v)) * rsqrt(mean((v - mean(v))^2) + eps)."""
    if left.op != "-" or not left.args[1].is_call("mean") or left.args[1].args[1] is not left.args[0]:
        return False
    if not right.is_call("rsqrt") or right.args[1].op != "+" or right.args[1].args[1].op != "number":
        return False
    mean = right.args[1].args[0]
    return bool(mean.is_call("mean") and mean.args[1].op == "*" and all(each is left for each in mean.args[1].args))


def _with_gain_and_shift(left: Node, right: Node) -> tuple[str, Node] | None:
    """The module's name and the bare normalisation where left + right is layer_norm(v) * m.weight + m.bias."""
    if (
        left.op != "*"
        or not left.args[0].is_call(BARE_NORM)
        or right.op != "parameter"
        or left.args[1].op != "parameter"
    ):
        return None
    module, _, gain = left.args[1].args[0].rpartition(".")
    return (
        (module, left.args[0])
        if module not in ("", BARE_NORM) and (gain, right.args[0]) == ("weight", f"{module}.bias")
        else None
    )


def _is_log_sigmoid(left: Node, right: Node) -> bool:
    """Whether left - right is min(0, v) - log1p(exp(-abs(v))), as which PyTorch computes log(sigmoid(v))."""
    if not left.is_call("minimum") or not left.args[1].is_number(0) or not right.is_call("log1p"):
        return False
    inner = right.args[1]
    if not inner.is_call("exp") or inner.args[1].op != "neg":
        return False
    size = inner.args[1].args[0]
    return bool(size.is_call("abs") and size.args[1] is left.args[2])
