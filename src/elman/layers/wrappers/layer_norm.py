"""Layer normalisation of the gates of any cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...cell import Cell, Gated, Recurrence
from ...errors import UserError
from ...structure import State, map_leaves
from .wrapper import Inputs, Wrapper


class LayerNorm(Wrapper):
    """Normalises what a cell's gates get from the input and from the state (Ba et al. 2016, arXiv:1607.06450).

    For every gate, W x_t and U h_{t-1} each get mean 0 and variance 1 over the H units of the gate and then a gain of
    their own, before the biases are added: x.f = LN((W x_t)_f) ``gain_ih``_f + ``bias_ih``_f, and
    self.recur.f(v) = LN((U v)_f) ``gain_hh``_f + ``bias_hh``_f. These are equations 20 and 21 of the paper with the
    statistics taken gate by gate; the shift of each norm is the cell's own bias. The paper also normalises the LSTM's c
    on its way to the output (eq. 22), which is inside the cell and left as it is. Weights that a cell has beside
    ``weight_ih`` and ``weight_hh`` are left alone. Gains start at 1.

    Args:
        cell: an ``elman.Cell`` with gates. Other wrappers go around this one: ``Zoneout(LayerNorm(cell), 0.1)``.
        eps: added to the variance.

    Raises ``UserError`` for a cell that is no ``elman.Cell``, has no gates, or makes its recurrent product without
    ``self.recur`` (AntisymmetricRNN, ClockworkRNN and MinimalRNN do).

    >>> import elman
    >>> y, (h, c) = elman.scan(LayerNorm(elman.cells.LSTM(3, 4)), torch.randn(7, 2, 3))
    >>> y.shape
    torch.Size([7, 2, 4])
    """

    def __init__(self, cell: Cell, *, eps: float = 1e-5) -> None:
        super().__init__(cell)
        if not isinstance(cell, Cell):
            order = "; put it inside, LayerNorm on the cell itself" if isinstance(cell, Wrapper) else ""
            raise UserError(f"LayerNorm got a {type(cell).__name__}; it normalises the gates of an elman.Cell{order}")
        if not cell.gates:
            raise UserError(f"{type(cell).__name__} has no gates (its weights are its own); LayerNorm needs some")
        if cell.recurrent_matrix and not _asks_for_recur(cell):
            raise UserError(
                f"{type(cell).__name__} makes its recurrent product without self.recur, where LayerNorm comes in; "
                "normalise inside a cell of your own"
            )
        self.eps = eps
        ones = torch.ones_like(cell.weight_ih[:, 0])
        self.gain_ih = nn.Parameter(ones)
        self.gain_hh = nn.Parameter(ones.clone()) if cell.recurrent_matrix else None

    def step(self, x: Inputs, state: State, *drawn: Tensor) -> tuple[Tensor, State]:
        cell: Any = self.cell
        bare = cell.with_parameters({"bias_ih": None})

        def project(x: Tensor, one_hot: bool) -> Tensor:
            return self._normal(bare.project(x, one_hot), cell.gates, self.gain_ih, cell.bias_ih)

        normed = cell.bound()
        vars(normed)["project"] = project
        if self.gain_hh is not None:
            vars(normed)["recur"] = _NormedRecurrence(self, cell, self.gain_hh)
        result: tuple[Tensor, State] = normed.forward(x, state)
        return result

    def _normal(self, z: Tensor, gates: Sequence[str], gain: Tensor, bias: Tensor | None) -> Tensor:
        """Norm, gain and bias of the pre-activations (..., R) of these gates, each by itself."""
        count = len(gates)
        size = (z.shape[-1] // count,)
        gains, biases = gain.chunk(count), (None,) * count if bias is None else bias.chunk(count)
        parts = zip(z.chunk(count, -1), gains, biases, strict=True)
        normed = [F.layer_norm(each, size, g, b, self.eps) for each, g, b in parts]
        return normed[0] if count == 1 else torch.cat(normed, -1)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


class _NormedRecurrence:
    """In the place of a cell's ``recur``: U v of all gates or of one, normalised."""

    def __init__(self, norm: LayerNorm, cell: Cell, gain: Tensor) -> None:
        self._norm, self._cell, self._gain = norm, cell, gain
        self._product = Recurrence(cell.weight_hh, None, cell.gates)

    def __call__(self, v: Tensor) -> Gated:
        cell = self._cell
        z = F.linear(v, cell.weight_hh)
        return Gated(self._norm._normal(z, cell.gates, self._gain, cell.bias_hh), cell.gates)

    def __getattr__(self, gate: str) -> Callable[[Tensor], Tensor]:
        product = getattr(self._product, gate)  # raises for what is no gate
        cell, norm, count = self._cell, self._norm, len(self._cell.gates)
        row = cell.gates.index(gate)
        gain, bias = self._gain.chunk(count)[row], None if cell.bias_hh is None else cell.bias_hh.chunk(count)[row]
        return lambda v: norm._normal(product(v), (gate,), gain, bias)


class _Noted:
    """A cell's ``recur`` that notes whether it is asked for."""

    def __init__(self, recur: Recurrence) -> None:
        self._recur = recur
        self._asked = False

    def __call__(self, v: Tensor) -> Gated:
        self._asked = True
        return self._recur(v)

    def __getattr__(self, gate: str) -> Callable[[Tensor], Tensor]:
        self._asked = True
        product: Callable[[Tensor], Tensor] = getattr(self._recur, gate)
        return product


def _asks_for_recur(cell: Cell) -> bool:
    """Whether the cell's step makes its recurrent product by ``self.recur``: tried on zeros."""
    noted = _Noted(Recurrence(cell.weight_hh, cell.bias_hh, cell.gates))
    tried = cell.bound()
    vars(tried)["recur"] = noted
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        x = map_leaves(torch.zeros_like, cell.example_inputs(1, 1))
        tried.forward(map_leaves(lambda each: each[0], x), cell.initial_state(1))
    return noted._asked
