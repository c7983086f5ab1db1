"""Explain: which backend runs a scan and why not a faster one, and the compiled loop in words and numbers."""

from __future__ import annotations

import inspect
import linecache
import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..errors import UserError
from ..structure import State, leaves, map_leaves
from .cpu.kernel import compiled, variant_for
from .kinds import COLUMNS, FILLS, PRODUCTS, SAME, operand, weight, width
from .plan import Plan, Stage
from .program import Program
from .scan import Planned, scan, watch
from .split import Split, needed
from .steps import default_state
from .trace import ROWS, Value, operator_name

aten = torch.ops.aten
_FREE = {*COLUMNS, *SAME, *FILLS, aten.permute.default}  # views, and numbers that stand in the code
_BY_EAGER = (
    "Second derivatives (create_graph=True) take the loop again in PyTorch; under vmap, jvp and grad of torch.func "
    "the whole scan is eager."
)


@dataclass(frozen=True)
class ProductFacts:
    """A matrix product in every step of a loop: ``left`` (rows, terms) times ``right`` (terms, columns)."""

    name: str
    left: str
    right: str
    rows: int
    terms: int
    columns: int

    @property
    def flops(self) -> int:
        """A multiplication and an addition for each term."""
        return 2 * self.rows * self.terms * self.columns

    def __str__(self) -> str:
        return f"{self.left} ({self.rows}, {self.terms}) times {self.right} ({self.terms}, {self.columns})"


@dataclass(frozen=True)
class StageFacts:
    """What a stage does in every step: its products, then, for each tile of its columns, all the rest.

    ``computes`` are the operators on each element, ``writes`` the results that go to memory and what for.
    """

    columns: int
    products: tuple[ProductFacts, ...]
    computes: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class LoopFacts:
    """A compiled loop and what PyTorch does around it, for all steps together.

    ``once`` needs parameters only. ``flops`` are those of the loop's products, ``bytes`` what the loop reads and
    writes, weights included, both in one step; ``all_flops`` are those of the products of all steps, around the loop
    too.
    ``seconds`` is what the machine code took to make, or to load where ``cached`` says that the disk had it.
    """

    once: tuple[str, ...]
    before: tuple[str, ...]
    stages: tuple[StageFacts, ...]
    after: tuple[str, ...]
    steps: int
    flops: int
    bytes: int
    all_flops: int
    threads: int
    share: str
    seconds: float
    cached: bool

    @property
    def products(self) -> tuple[ProductFacts, ...]:
        """Those of all stages, in order; a product that two stages need is done in both."""
        return tuple(product for stage in self.stages for product in stage.products)


@dataclass(frozen=True)
class Saved:
    """A value of the forward loop kept for the gradient: its shape in one step, and the line it comes from."""

    name: str
    shape: tuple[int, ...]
    source: str


@dataclass(frozen=True, repr=False)
class Explanation:
    """How a scan would run; ``print`` tells it in words.

    ``reason`` says why nothing faster than the eager loop runs; it is empty where ``backend`` is "cpu", and only there
    is the rest known. ``saved`` are the values kept for the gradient, ``saved_bytes`` what they and the states that are
    kept take for all steps, ``redone`` the operators that the gradient repeats instead. ``backward`` is ``None`` where
    no gradient is wanted: under ``torch.no_grad()``, or where nothing requires one. ``planning_seconds`` is what
    tracing and planning took, when that was first done. The graphs are in ``program``, to be printed:
    ``explanation.program.parts.core``.
    """

    name: str
    backend: str
    reason: str
    inputs: tuple[tuple[int, ...], ...]
    states: tuple[tuple[int, ...], ...]
    dtype: torch.dtype
    forward: LoopFacts | None = None
    backward: LoopFacts | None = None
    saved: tuple[Saved, ...] = ()
    saved_bytes: int = 0
    redone: tuple[str, ...] = ()
    planning_seconds: float = 0.0
    program: Program | None = field(default=None, compare=False)

    def __str__(self) -> str:
        shapes = f"x {_listed(self.inputs)}, state {_listed(self.states)}, {str(self.dtype).removeprefix('torch.')}"
        lines = [f"{self.name}: backend {self.backend}; {shapes}"]
        if self.forward is None:
            lines += _line("why", f"the loop runs step by step in PyTorch: {self.reason}") + _quoted(self.reason)
            return "\n".join(lines)
        lines += _told("forward", self.forward)
        if self.backward is None:
            lines += _line("gradient", "none is wanted here: nothing is saved")
        else:
            saved = [f"{each.name} {each.shape} of {Path(each.source).name}" for each in self.saved]
            lines += _line("saved", f"{_amount(self.saved_bytes, 'B')}: {', '.join(saved) or 'states only'}")
            lines += _line("redone", _counted(self.redone) or "nothing")
            lines += _told("gradient", self.backward)
        lines += _line(
            "made", f"plan in {self.planning_seconds:.2f} s; machine code {_made(self.forward, self.backward)}"
        )
        return "\n".join([*lines, *_line("eager", _BY_EAGER)])

    __repr__ = __str__


class Explanations(tuple[Explanation, ...]):
    """One explanation for each scan of a layer or model, in the order in which they run; ``print`` tells them all."""

    def __str__(self) -> str:
        return "\n\n".join(f"{number}. {each}" for number, each in enumerate(self, 1))

    __repr__ = __str__


def explain(
    cell: Callable[..., Any], x: Tensor | tuple[Tensor, ...], state: State = None, **options: Any
) -> Explanation | Explanations:
    """Says which backend ``scan`` would use, why not a faster one, and what the compiled loop does; runs no loop.

    Args:
        cell: what ``scan`` takes; or a layer or model that takes whole sequences: ``elman.Recurrent``, ``elman.LSTM``,
            or any module that contains these or calls ``scan``.
        x: (T, B, ...), or a tuple of such tensors; for a layer or model its input.
        state: as for ``scan``; for a layer or model its second argument.
        **options: keywords of ``scan``, or of the layer or model.

    Returns an `Explanation`; for a layer or model one a scan, `Explanations`. A layer or model is called once, with
    zeros in place of what its scans give. Machine code is made, or taken from the cache, and kept for the run to come.
    Raises what ``scan`` raises.

    >>> import elman
    >>> explanation = elman.explain(elman.cells.LSTM(3, 5), torch.zeros(7, 2, 3))
    >>> explanation.backend, explanation.forward.flops, [each.name for each in explanation.saved]
    ('cpu', 400, ['sigmoid', 'sigmoid_1', 'sigmoid_2', 'tanh'])
    >>> elman.explain(lambda x, s: s + x, torch.ones(3, 1), torch.zeros(1)).backend
    'eager'
    """
    found: list[Explanation] = []
    names = {each: name for name, each in cell.named_modules()} if isinstance(cell, nn.Module) else {}

    def report(planned: Planned) -> Any:
        watch.report = None
        try:
            found.append(_explained(planned, names))
            return _zeros(planned, requires_grad=found[-1].backward is not None)
        finally:
            watch.report = report

    watch.report = report
    try:
        with torch.random.fork_rng(devices=[]):  # a cell or a model may draw dropout masks
            if _is_step(cell, state):
                scan(cell, x, state, **options)
                return found[0]
            cell(x, *(() if state is None else (state,)), **options)
    finally:
        watch.report = None
    if not found:
        name = type(cell).__name__
        raise UserError(f"{name} ran no scan; pass state= if it is a step, or give a model that has elman's layers")
    return Explanations(found)


def _is_step(cell: Callable[..., Any], state: State) -> bool:
    """Whether ``cell`` is for ``scan`` to call, or to be called itself with the whole sequence."""
    if not isinstance(cell, nn.Module) or isinstance(cell, Cell):
        return True
    if any(getattr(module, "takes_sequences", False) for module in cell.modules()):
        return False
    try:
        if state is None:
            inspect.signature(cell.forward).bind(None)
            default_state(cell, 1)
    except UserError:
        return False
    except TypeError:  # it wants more than a sequence: a step whose state is missing
        pass
    return True


def _zeros(planned: Planned, *, requires_grad: bool) -> Any:
    """What the scan would return, but for the values."""
    nothing = tuple(each[:0] for each in planned.inputs)
    x = nothing if planned.is_tuple else nothing[0]
    y, *states = scan(planned.step, x, planned.state, return_states=planned.return_states, backend="eager")
    time = len(planned.inputs[0])

    def long(tensor: Tensor) -> Tensor:
        return tensor.new_zeros(time, *tensor.shape[1:]).requires_grad_(requires_grad)

    return long(y), states[0], *(map_leaves(long, each) for each in states[1:])


# Facts


def _explained(planned: Planned, names: dict[nn.Module, str]) -> Explanation:
    choice, state = planned.choice, leaves(planned.state)
    common: dict[str, Any] = {
        "name": _name(planned, names),
        "inputs": tuple(tuple(each.shape) for each in planned.inputs),
        "states": tuple(tuple(each.shape) for each in state),
        "dtype": state[0].dtype if state else planned.inputs[0].dtype,
    }
    if choice.prepared is None:
        return Explanation(backend="eager", reason=choice.reason, **common)
    program = choice.prepared.program
    values = [*program.parameters, *program.inputs, *program.states]
    tensors = [*choice.prepared.parameters, *planned.inputs, *state]
    moving = {value for value, tensor in zip(values, tensors, strict=True) if tensor.requires_grad}
    common |= {"backend": "cpu", "reason": "", "planning_seconds": program.seconds, "program": program}
    if not (torch.is_grad_enabled() and moving):
        return Explanation(forward=_facts(planned, program, program.inference, program.kept_inference), **common)
    gradient = program.gradient
    read = set(needed(gradient.parts.post.values, [value for value in gradient.results if value is not None]))
    time, batch = planned.inputs[0].shape[:2]
    saved = gradient.saved.values()
    histories = [value for value, kept in zip(program.states, program.kept_training, strict=True) if kept]
    return Explanation(
        forward=_facts(planned, program, program.training, program.kept_training),
        backward=_facts(planned, program, program.backward, [value in read for value in gradient.carried], moving),
        saved=tuple(Saved(value.name, _shape(value, batch), value.source) for value in saved),
        saved_bytes=time * sum(_bytes(value, batch) for value in (*saved, *histories)),
        redone=tuple(operator_name(value) for value in gradient.redone if value.op not in _FREE),
        **common,
    )


def _name(planned: Planned, names: dict[nn.Module, str]) -> str:
    cell = planned.cell
    if isinstance(cell, nn.Module):
        path = names.get(cell)
        name = f"{path} ({type(cell).__name__})" if path else type(cell).__name__
    else:
        name = getattr(cell, "__name__", repr(cell))
    return f"{name} in reverse" if planned.reverse else name


def _facts(
    planned: Planned, program: Program, plan: Plan, kept: Sequence[bool], moving: Iterable[Value] = ()
) -> LoopFacts:
    """``kept``: of which states all steps are wanted; ``moving``: for the gradient, what requires one."""
    time, batch = planned.inputs[0].shape[:2]
    backward = plan is program.backward
    variant, threads = variant_for(
        plan,
        batch,
        program.states[0].dtype,
        [not each or time == 1 for each in kept],
        reverse=planned.reverse is not backward,
        ragged=planned.has_lengths,
        resets=planned.has_resets,
        backward=backward,
    )
    code = compiled(plan, variant).code
    parts = program.gradient.parts if backward else program.parts
    stages = tuple(_stage(plan, stage, program, batch) for stage in plan.stages)
    flops = sum(product.flops for stage in stages for product in stage.products)
    touched = [*plan.states, *plan.stepped, *plan.whole, *plan.scratch]  # read, then written:
    touched += [*plan.core.outputs[: len(plan.states)], *plan.outputs, *plan.scratch]
    around = sum(_flops(value, time * batch) for value in _around(parts))
    after = _calls(parts.post.values)
    if backward:
        around += _autograd_flops(program, set(moving), time * batch)
        after += tuple(f"the gradient of {call}" for call in _calls(_around(program.parts)))
    return LoopFacts(
        once=_calls(parts.once.values),
        before=_calls(parts.pre.values),
        stages=stages,
        after=after,
        steps=time,
        flops=flops,
        bytes=sum(_bytes(value, batch) for value in touched),
        all_flops=time * flops + around,
        threads=threads,
        share="the columns" if variant.shared else "the rows",
        seconds=code.seconds,
        cached=code.cached,
    )


def _stage(plan: Plan, stage: Stage, program: Program, batch: int) -> StageFacts:
    products = []
    for value in dict.fromkeys(value for value, _ in stage.products):
        columns = stage.width * sum(each is value for each, _ in stage.products)
        left, right = operand(value), weight(value)
        products.append(ProductFacts(value.name, left.name, right.name, batch, width(left), columns))
    saved = set(program.gradient.saved.values())
    writes: dict[str, None] = {}
    for store in stage.stores:
        if store.kind == "state":
            writes[f"the new {plan.states[store.index]}"] = None
        elif store.kind == "scratch":
            writes[f"{store.value} for a later stage"] = None
        else:
            writes[f"{store.value} for {'the gradient' if store.value in saved else 'after the loop'}"] = None
    computes = tuple(operator_name(value) for value in plan.computed(stage) if value.op not in _FREE)
    return StageFacts(stage.width, tuple(products), computes, tuple(writes))


def _around(parts: Split) -> list[Value]:
    return [*parts.once.values, *parts.pre.values, *parts.post.values]


def _calls(values: Iterable[Value]) -> tuple[str, ...]:
    return tuple(value.call for value in values if value.op not in _FREE)


def _flops(value: Value, rows: int) -> int:
    """Of a product of so many rows; 0 for any other operator."""
    if value.op not in {*PRODUCTS, aten.bmm.default}:
        return 0
    return 2 * math.prod(_shape(value, rows)) * _shape(operand(value), rows)[-1]


def _autograd_flops(program: Program, moving: set[Value], rows: int) -> int:
    """Of PyTorch's gradients of the products around the forward loop: a product for each factor that wants one."""
    moving = {*moving, *program.parts.core.outputs}
    total = 0
    for value in _around(program.parts):
        if moving.intersection(value.inputs):
            moving.add(value)
        if flops := _flops(value, rows):
            total += flops * sum(factor in moving for factor in (operand(value), weight(value)))
    return total


def _shape(value: Value, rows: int) -> tuple[int, ...]:
    return tuple(rows if size is ROWS else size for size in value.shape)


def _bytes(value: Value, rows: int) -> int:
    return math.prod(_shape(value, rows)) * value.dtype.itemsize


# Words


def _told(title: str, loop: LoopFacts) -> list[str]:
    shared = f"{loop.threads} threads share {loop.share}" if loop.threads > 1 else "one thread"
    steps = "1 step" if loop.steps == 1 else f"{loop.steps} steps"
    lines = _line(title, f"{steps}, {shared}; products {_amount(loop.all_flops, 'FLOP')} in all")
    for word, calls in (("once", loop.once), ("before", loop.before)):
        lines += _line(f"  {word}", ", ".join(calls))
    lines += _line("  loop", f"in each step {_amount(loop.flops, 'FLOP')}, {_amount(loop.bytes, 'B')} read and written")
    for number, stage in enumerate(loop.stages, 1):
        lines += _line(f"  stage {number}", f"{stage.columns} columns")
        for product in stage.products:
            lines += _line("    product", f"{product}, {_amount(product.flops, 'FLOP')}")
        lines += _line("    compute", _counted(stage.computes))
        lines += _line("    write", ", ".join(stage.writes))
    return lines + _line("  after", ", ".join(loop.after))


def _line(title: str, text: str) -> list[str]:
    """One fact, wrapped; none for no text."""
    return textwrap.wrap(text, 116, initial_indent=f"  {title:13} ", subsequent_indent=" " * 16)


def _made(*loops: LoopFacts | None) -> str:
    return ", ".join(
        f"{'from the cache' if each.cached else 'compiled'} in {each.seconds:.2f} s"
        for each in loops
        if each is not None
    )


def _listed(things: Iterable[Any]) -> str:
    return ", ".join(map(str, things))


def _counted(names: Iterable[str]) -> str:
    """Names with how often each comes.

    >>> _counted(["mul", "tanh", "mul"])
    '2 mul, tanh'
    """
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in Counter(names).items())


def _amount(number: float, unit: str) -> str:
    """A number with a prefix for thousands.

    >>> _amount(8_388_608, "FLOP"), _amount(640, "B")
    ('8.39 MFLOP', '640 B')
    """
    for prefix in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {prefix}{unit}"
        number /= 1000
    return f"{number:.3g} T{unit}"


def _quoted(reason: str) -> list[str]:
    """The line of code that a reason names."""
    named = re.search(r"([^\s(]+\.py):(\d+)", reason)
    code = linecache.getline(named[1], int(named[2])).strip() if named else ""
    return _line("", code) if code else []
