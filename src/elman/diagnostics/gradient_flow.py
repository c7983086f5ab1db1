"""Gradient flow: how much of a loss reaches the states of earlier steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..bridge import from_torch
from ..cell import Cell
from ..cells.rnn import RNN
from ..engine.steps import begun, default_state, step_over_time
from ..errors import UserError
from ..layers import Recurrent
from ..structure import State, leaves, map_leaves, rebuild

VANISHED, EXPLODED = 1e-3, 1e3
SMALLEST = 2.0**-149
"""The smallest number above 0 in float32: below it a gradient is exactly nothing."""


class Clipped(NamedTuple):
    """What clipping does: the norm of the parameters' gradient before and after, and the factor between them."""

    before: float
    after: float
    factor: float


@dataclass(frozen=True)
class Matrix:
    """The recurrent matrix U of a plain RNN: its spectral radius, and its largest and smallest singular value."""

    radius: float
    largest: float
    smallest: float

    @property
    def is_orthogonal(self) -> bool:
        """Whether U changes no vector's length: all singular values are 1."""
        return abs(self.largest - 1) < 1e-3 and abs(self.smallest - 1) < 1e-3


@dataclass(frozen=True)
class GradientFlow:
    """What ``gradient_flow`` measured; ``print`` tells it in words, ``plot`` draws it.

    - ``norms``: by the state's name, ||dL/ds|| for the states 1, 2, ... steps back from step ``at``, the last of them
      the one the sequence starts from; float64, (at + 1,).
    - ``output``: ||dL/dy|| of the output at step ``at``: what the loss sends out.
    - ``parameters``: the norm of the gradient of all the layer's parameters, which clipping looks at.
    - ``matrices``: for plain RNNs, their recurrent matrices.
    """

    norms: dict[str, Tensor]
    output: float
    parameters: float
    at: int
    matrices: dict[str, Matrix]

    @property
    def total(self) -> Tensor:
        """The norm of all states together, by lag (at + 1,): a gradient may change from one state to the other."""
        return _norm(torch.stack(list(self.norms.values()), 1))

    @property
    def rate(self) -> float:
        """The factor a step, by least squares on the logarithm of ``total``; 0 where nothing arrives."""
        total = self.total
        known = (total > 0) & total.isfinite()
        if known.sum() < 2:
            return 0.0
        lag = torch.arange(1.0, len(total) + 1, dtype=total.dtype)[known]
        log = total[known].log()
        lag = lag - lag.mean()
        return math.exp(float((lag * log).sum() / lag.square().sum()))

    def share(self, lag: int) -> float:
        """``total`` at a lag, as part of that one step back.

        Raises ``UserError`` for a lag that was not measured.
        """
        if not 1 <= lag <= self.at + 1:
            raise UserError(f"lag is {lag}; this flow was measured from 1 to {self.at + 1} steps back")
        total = self.total
        return float(total[lag - 1] / total[0]) if total[0] > 0 else 0.0

    def reach(self, share: float = 0.01) -> int:
        """The largest lag at which at least this share arrives; 0 where nothing does."""
        total = self.total
        arrives = (total >= share * total[0]) & (total > 0)
        return int(arrives.nonzero().max()) + 1 if arrives.any() else 0

    @property
    def verdict(self) -> str:
        """ "vanishing" where less than a thousandth arrives at the start, "exploding" above 1,000, else "carried"."""
        share = self.share(self.at + 1)
        return "vanishing" if share < VANISHED else "carried" if share <= EXPLODED else "exploding"

    def clip(self, largest: float) -> Clipped:
        """What clipping the norm of the parameters' gradient to ``largest`` does to it, and so to every lag alike.

        Raises ``UserError`` unless ``largest`` is above 0.
        """
        if not largest > 0:
            raise UserError(f"clip is {largest}; give a norm above 0")
        factor = min(1.0, largest / self.parameters) if self.parameters else 1.0
        return Clipped(self.parameters, self.parameters * factor, factor)

    @property
    def summary(self) -> str:
        """The finding in words."""
        last = self.at + 1
        share = self.share(last)
        if self.total[0] == 0:
            return "The gradient vanishes at once: nothing of the loss reaches even the state one step back."
        said = {
            "vanishing": f"The gradient vanishes: {_number(share)} of it is left {last:,} steps back",
            "exploding": f"The gradient explodes: it is {_number(share)} times as large {last:,} steps back",
            "carried": f"The gradient is carried: {_number(share)} of it arrives {last:,} steps back",
        }[self.verdict]
        lines = [f"{said}, a factor of {self.rate:.3g} a step{_half(self.rate)}."]
        if self.verdict == "vanishing":
            lines.append(f"Beyond {self.reach():,} steps less than a hundredth is left.")
            if float(self.total[-1]) < SMALLEST:
                lag = self.reach(SMALLEST / float(self.total[0]))
                lines.append(f"Beyond {lag:,} steps it is smaller than any float32 number: there nothing is learned.")
        return " ".join([*lines, self.matrix_note]).strip()

    @property
    def matrix_note(self) -> str:
        """What the recurrent matrices of plain RNNs say about the flow; empty for other cells."""
        return " ".join(_about(matrix, name) for name, matrix in self.matrices.items())

    def __str__(self) -> str:
        lags = [lag for lag in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if lag <= self.at + 1]
        lines = [self.summary, "", "steps back  " + "".join(f"{name:>10}" for name in self.norms)]
        for lag in lags:
            lines.append(f"{lag:>10,}  " + "".join(f"{float(norm[lag - 1]):>10.2g}" for norm in self.norms.values()))
        return "\n".join(lines)

    def plot(self, path: str | Path) -> None:
        """Draws every state's norm over the lag, on a log scale that ends where float32 does.

        Raises ``UserError`` where the file cannot be written, or its ending names no kind of picture.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4.8), dpi=120, layout="constrained")
        axes = figure.subplots()
        for name, norm in self.norms.items():
            draw_norms(axes, range(1, self.at + 2), norm.tolist(), label=f"||dL/d{name}||")
        axes.plot([0], [self.output], "k.", label="||dL/dy||", clip_on=False)
        axes.set_title(f"{self.verdict}: a factor of {self.rate:.3g} a step", loc="left", fontsize=11)
        axes.set(xlabel=f"steps back from step {self.at}", ylabel="norm of the gradient", yscale="log")
        end_at_float32(axes)
        axes.legend(frameon=False)
        try:
            figure.savefig(path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}; choose another file") from error
        except ValueError as error:
            raise UserError(f"cannot write {path}: {error}") from error


def gradient_flow(
    layer: Callable[..., Any],
    x: Tensor | tuple[Tensor, ...],
    state: Any = None,
    *,
    loss: Callable[[Tensor], Tensor] | None = None,
    at: int = -1,
) -> GradientFlow:
    """Measures the gradient of the loss at one step with respect to the states of all steps before it.

    The state s_t is what step t hands to step t + 1, and the gradient with respect to one of its tensors is that of the
    loss when this tensor alone changes on its way: with s_t = (h_t, c_t), dL/dc_t holds the change of c_t in step
    t + 1 and later, along all paths through time. It is exact: by backpropagation to zeros added to every state between
    two steps, in float64 and in evaluation mode, on a copy of the layer. Norms are over the batch and the units.

    A gradient that shrinks or grows by a factor at every step vanishes or explodes (Hochreiter 1991; Bengio et al.
    1994; Pascanu et al. 2013, arXiv:1211.5063).

    Args:
        layer: an ``elman.Cell``, a ``Recurrent``, any step that ``elman.scan`` takes, or ``torch.nn``'s and our RNN,
            LSTM and GRU, of one direction. The states of a stack are named after their layer, "0.h", "1.h".
        x: (T, B, ...), ids (T, B), or a tuple of inputs, as the layer takes it; (B, T, ...) if it is ``batch_first``.
        state: what the layer starts from; default: its own start.
        loss: a scalar from the output (B, ...) at step ``at``, in the dtype of the layer; default: the sum over the
            units, averaged over the batch.
        at: the step whose output the loss is of; negative ones count from the end.

    Raises ``UserError`` for a layer of two directions, a step that is not there or is the first, and a loss that is no
    scalar made from the output.

    >>> cell = RNN(2, 3, nonlinearity="identity")
    >>> _ = nn.init.orthogonal_(cell.weight_hh.data).mul_(0.5)
    >>> flow = gradient_flow(cell, torch.zeros(12, 1, 2))
    >>> round(flow.rate, 6), flow.verdict
    (0.5, 'vanishing')
    """
    if isinstance(layer, nn.Module):
        layer = copy.deepcopy(layer).eval()
    if isinstance(layer, nn.RNNBase):
        batch_first = layer.batch_first
        if state is not None:
            state = [map_leaves(lambda leaf, k=k: leaf[k], state) for k in range(layer.num_layers)]  # type: ignore[misc]
        layer = from_torch(layer)
        assert isinstance(layer, Recurrent)
        layer.batch_first = batch_first
    dtype = _dtype(layer)
    if isinstance(layer, nn.Module):
        layer = layer.double()
    inputs = x if isinstance(x, tuple) else (x,)
    if getattr(layer, "batch_first", False):
        inputs = tuple(each.transpose(0, 1) for each in inputs)
    at = _step(at, len(inputs[0]))
    inputs = tuple(_wide(each[: at + 1]) if isinstance(layer, nn.Module) else each[: at + 1] for each in inputs)
    cells = _cells(layer)
    if state is None and isinstance(layer, Recurrent):
        state = layer.initial_state(inputs[0].shape[1])
    states = list(state) if isinstance(layer, Recurrent) else [state]

    nudges: dict[str, Tensor] = {}
    y, *extras = inputs
    with torch.enable_grad():
        for depth, (cell, start) in enumerate(zip(cells, states, strict=True)):
            given = (y, *extras)
            y, added = _run(cell, given, start, is_tuple=isinstance(x, tuple))
            prefix = f"{depth}." if len(cells) > 1 else ""
            nudges |= {prefix + name: nudge for name, nudge in zip(_names(cell, len(added)), added, strict=True)}
        output = y[at] if dtype is None else y[at].to(dtype)
        value: Any = output.flatten(1).sum(-1).mean() if loss is None else loss(output)
        if not isinstance(value, Tensor) or value.dim() or not value.requires_grad:
            raise UserError("loss has to make one number, a tensor without axes, from the output (B, ...) it is given")
        parameters = list(layer.parameters()) if isinstance(layer, nn.Module) else []
        wanted = [output, *nudges.values(), *(each for each in parameters if each.requires_grad)]
        gradients = torch.autograd.grad(value, wanted, materialize_grads=True)
    norms = {
        name: _norm(gradient.flatten(1)).flip(0).cpu() for name, gradient in zip(nudges, gradients[1:], strict=False)
    }
    return GradientFlow(
        norms=norms,
        output=float(gradients[0].double().norm()),
        parameters=math.hypot(*(float(each.double().norm()) for each in gradients[1 + len(nudges) :])),
        at=at,
        matrices={
            f"layer {k}" if len(cells) > 1 else "": _matrix(cell)
            for k, cell in enumerate(cells)
            if isinstance(cell, RNN | nn.RNNCell)
        },
    )


def draw_norms(axes: Any, lags: Sequence[int], norms: Sequence[float], **style: Any) -> None:
    """Norms by lag as a line on axes of matplotlib; what is exactly nothing is left out."""
    shown = [(lag, norm) for lag, norm in zip(lags, norms, strict=True) if norm > 0]
    axes.plot([lag for lag, _ in shown], [norm for _, norm in shown], linewidth=1.4, **style)


def end_at_float32(axes: Any) -> None:
    """Ends a log axis of gradients just below the smallest float32 number, marked where it is in sight."""
    low, _ = axes.get_ylim()
    if low < SMALLEST:
        # The margin of a log axis is a share of all of it, the part out of sight included.
        axes.set_ylim(SMALLEST * 1e-3, 10 * max(max(line.get_ydata(), default=0.0) for line in axes.lines))
        axes.axhline(SMALLEST, color="#8a8a8a", linewidth=0.8, linestyle=":")
        axes.text(0.99, SMALLEST, "smallest float32", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
                  fontsize=8, color="#666")  # fmt: skip
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _run(
    cell: Callable[..., Any], inputs: tuple[Tensor, ...], state: State, *, is_tuple: bool
) -> tuple[Tensor, list[Tensor]]:
    """The outputs (T, B, ...), and the zeros (T, B, ...) added to every tensor of the state before each step."""
    if state is None:
        state = default_state(cell, inputs[0].shape[1])
    elif isinstance(cell, nn.Module):
        state = rebuild(state, map(_wide, leaves(state)))
    step, begun_x = begun(cell, inputs if is_tuple else inputs[0], state, (len(inputs[0]),))
    sequences = begun_x if isinstance(begun_x, tuple) else (begun_x,)
    run = step_over_time(step, sequences, is_tuple=isinstance(begun_x, tuple))
    nudges = [leaf.new_zeros(len(inputs[0]), *leaf.shape).requires_grad_() for leaf in leaves(state)]
    outputs = []
    for t, added in enumerate(zip(*(nudge.unbind(0) for nudge in nudges), strict=True)):
        y, state = run(t, rebuild(state, [leaf + zero for leaf, zero in zip(leaves(state), added, strict=True)]))
        outputs.append(y)
    return torch.stack(outputs), nudges


def _norm(rows: Tensor) -> Tensor:
    """The 2-norm of every row, in float64; scaled first, as the square of 1e-200 would be nothing."""
    rows = rows.double()
    largest = rows.abs().amax(1, keepdim=True)
    scaled = torch.where(largest > 0, rows / largest, rows)
    return largest.squeeze(1) * scaled.norm(dim=1)


def _cells(layer: Any) -> list[Any]:
    """The layers of a stack bottom up, or the one step given."""
    if not isinstance(layer, Recurrent):
        return [layer]
    if any(len(each) > 1 for each in layer.layers):  # type: ignore[arg-type]
        raise UserError(
            "the layer runs in both directions, so that a state has no one lag; give the cells of one direction, as "
            "Recurrent.from_cells([...])"
        )
    return [each[0] for each in layer.layers]  # type: ignore[index]


def _names(cell: Any, count: int) -> tuple[str, ...]:
    """What the tensors of a cell's state are called."""
    if isinstance(cell, Cell):
        return cell.states
    if isinstance(cell, nn.LSTMCell):
        return ("h", "c")
    return ("h",) if count == 1 else tuple(f"s{k}" for k in range(count))


def _dtype(layer: Any) -> torch.dtype | None:
    parameter = next(layer.parameters(), None) if isinstance(layer, nn.Module) else None
    return None if parameter is None else parameter.dtype


def _wide(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _step(at: int, time: int) -> int:
    """The step counted from 0, checked."""
    step = at + time if at < 0 else at
    if not 0 <= step < time:
        raise UserError(f"at is {at}, but x has {time} steps; give one of them, or count from the end with -1")
    if step == 0:
        raise UserError(f"at is {at}, the first step, with no step before it; give more steps or a later one")
    return step


def _matrix(cell: Any) -> Matrix:
    weight = cell.weight_hh.detach().double()
    values = torch.linalg.svdvals(weight)
    return Matrix(float(torch.linalg.eigvals(weight).abs().max()), float(values.max()), float(values.min()))


def _about(matrix: Matrix, name: str) -> str:
    """What the recurrent matrix says about the flow, and no more than it says."""
    of = f" of {name}" if name else ""
    if matrix.is_orthogonal:
        return f"The recurrent matrix{of} is orthogonal, which keeps lengths: what changes them are the derivatives."
    values = f"spectral radius {matrix.radius:.3g}, singular values {matrix.smallest:.2g} to {matrix.largest:.3g}"
    if matrix.largest < 1:
        means = "below 1 even for the largest, so that it must vanish where derivatives are at most 1"
    elif matrix.radius < 1:
        means = "a radius below 1 shrinks in the long run, derivatives below 1 more so"
    else:
        means = "a radius of 1 or more can carry it, or make it explode, where derivatives stay near 1"
    return f"The recurrent matrix{of} has {values}: {means}."


def _half(rate: float) -> str:
    """How many steps halve or double it."""
    if not 0 < rate < math.inf or abs(math.log(rate)) < 1e-4:
        return ""
    steps = math.log(2) / abs(math.log(rate))
    shown = f"{steps:,.0f}" if steps >= 10 else f"{steps:.1f}"
    return f" ({'halved' if rate < 1 else 'doubled'} every {shown} steps)"


def _number(value: float) -> str:
    """A share as a person writes it.

    >>> _number(0.25), _number(1234.5), _number(3e-20), _number(0.0)
    ('0.25', '1,234', '3e-20', 'nothing')
    """
    if not value:
        return "nothing"
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.2g}"
