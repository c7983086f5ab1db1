"""The forecaster: a window of a series in, quantiles of the next values out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Recurrent
from ..layers.recurrent import CellMaker, place_of

Subtract = Literal["nothing", "last", "mean", "season", "difference"]
FOLDS = 5
PENALTIES = tuple(10.0**k for k in range(-5, 4))  # of the mean square of a standardised input
SMALLEST_UNIT = 1e-2  # of the training part's standard deviation; a window flatter than that is not blown up further


class Frame(NamedTuple):
    """How a window was made relative: ``base`` (N, B, D, 1) was subtracted, the rest divided by ``unit`` (B, D, 1)."""

    base: Tensor
    unit: Tensor

    def relative(self, values: Tensor) -> Tensor:
        """Values (N, B, D, ...) as the net sees them."""
        return (values - self.base) / self.unit

    def absolute(self, values: Tensor) -> Tensor:
        """The way back."""
        return values * self.unit + self.base


class ForecastNet(nn.Module):
    """A stack of any cells over the window, a linear autoregression beside it, and a head for all steps at once.

    ``quantiles, frame = net(history, future)`` with history (W, B, C), targets first, future (N, B, K) the covariates
    known ahead (their past is in the last K columns of history), and quantiles (N, B, D, Q) ascending over Q, relative
    to the window; ``frame.absolute(quantiles)`` are values of the series.

    The linear autoregression maps a target's window straight to its N steps, with the same weights for every target;
    the recurrent net adds what is not linear (the autoregressive component of Lai et al. 2018, arXiv:1703.07015). It is
    not trained: ``fit_linear`` sets it by least squares, and the rest starts from zero; until then it gives zero.

    Args:
        columns: C.
        targets: D.
        known: K.
        context: rows of history the net reads.
        steps: N.
        quantiles: Q, how many levels.
        cell: as in ``elman.Recurrent``.
        hidden_size: units, or a list, one a layer.
        num_layers: layers.
        subtract: what is taken off a window's targets and added to the forecasts again: "nothing", the "last" value,
            the "mean" of the window, a "season" (the net reads changes over a season and starts from the seasonal naive
            forecast) or the "difference" (it reads changes from step to step, and forecasts the change since the last).
        season: steps of a season, for ``subtract="season"``.
        divide: divide what is left by its mean absolute value.
        linear: have the linear autoregression.
        dropout: probability of dropping, between layers and before the head.
        init: start of cells and head, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    ``history_needed`` says how many rows ``history`` must have: W and, for changes, the rows before them.

    >>> net = ForecastNet(3, targets=2, known=1, context=8, steps=4, quantiles=3, hidden_size=5)
    >>> quantiles, frame = net(torch.randn(8, 6, 3), torch.randn(4, 6, 1))
    >>> quantiles.shape, frame.absolute(quantiles).shape
    (torch.Size([4, 6, 2, 3]), torch.Size([4, 6, 2, 3]))
    """

    def __init__(
        self,
        columns: int,
        targets: int,
        known: int,
        context: int,
        steps: int,
        quantiles: int,
        cell: CellMaker | Sequence[CellMaker] = "gru",
        hidden_size: int | Sequence[int] = 32,
        num_layers: int | None = None,
        *,
        subtract: Subtract = "last",
        season: int = 1,
        divide: bool = False,
        linear: bool = True,
        dropout: float = 0.0,
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}; give the probability of dropping, 0 or more and below 1")
        self.targets, self.context, self.steps, self.quantiles = targets, context, steps, quantiles
        self.subtract, self.divide, self.dropout = subtract, divide, dropout
        self.lag = {"season": season, "difference": 1}.get(subtract, 0)
        place = place_of(cell_options)
        self.recurrent = Recurrent(cell, columns, hidden_size, num_layers, init=init, **cell_options)
        # Set here: given to a stack of one layer it warns that nothing is dropped, but this net drops after the stack.
        self.recurrent.dropout = dropout
        size = self.recurrent.output_size
        # Without covariates known ahead the last state says all; with them it has to meet what they say of each step.
        self.meet = nn.Linear(size + steps * known, size, **place) if known else None
        self.head = nn.Linear(size, steps * targets * quantiles, **place)
        self.linear = nn.Linear(context, steps, **place) if linear else None
        for layer in (self.meet, self.head):
            if layer is not None:
                start_linear(layer, init)
        if self.linear is not None:
            for parameter in self.linear.requires_grad_(False).parameters():
                nn.init.zeros_(parameter)

    @property
    def history_needed(self) -> int:
        """Rows of history the net must be given."""
        return self.context + self.lag

    def forward(self, history: Tensor, future: Tensor | None = None) -> tuple[Tensor, Frame]:
        inputs, frame = self._relative(history)
        y, _ = self.recurrent(inputs)
        last = nn.functional.dropout(y[-1], self.dropout, self.training)  # (B, H)
        if self.meet is not None:
            if future is None:
                raise UserError("this net knows covariates of the future; give future (steps, B, covariates)")
            last = torch.tanh(self.meet(torch.cat([last, future.transpose(0, 1).flatten(1)], 1)))
        batch = last.shape[0]
        quantiles = self.head(last).view(batch, self.steps, self.targets, self.quantiles).transpose(0, 1)
        if self.linear is not None:
            line = self.linear(inputs[..., : self.targets].permute(1, 2, 0))  # (B, D, N)
            quantiles = quantiles + line.permute(2, 0, 1).unsqueeze(-1)
        # Sorted, since two quantiles that cross are further from the truth than swapped (Chernozhukov et al. 2010).
        return quantiles.sort(-1).values, frame

    @torch.no_grad()
    def fit_linear(self, history: Tensor, target: Tensor) -> None:
        """Sets the linear autoregression to the ridge solution on windows (W, B, C) and what came (N, B, D).

        The windows are in order of time; the penalty is the one that errs least on fifths of them left out in turn, so
        that where the past tells nothing little is believed. Targets with a missing value (NaN) are left out. The head
        starts at zero: training begins from a linear forecast without spread. A net without the linear part is left as
        it is.
        """
        if self.linear is None:
            return
        inputs, frame = self._relative(history)
        windows = inputs[..., : self.targets].permute(1, 2, 0).flatten(0, 1).double()  # (B D, W)
        ahead = frame.relative(target.unsqueeze(-1)).squeeze(-1).permute(1, 2, 0).flatten(0, 1).double()  # (B D, N)
        whole = ~ahead.isnan().any(1)
        weights = _ridge(torch.nn.functional.pad(windows[whole], (0, 1), value=1.0), ahead[whole])
        self.linear.weight.copy_(weights[:-1].T)
        self.linear.bias.copy_(weights[-1])
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _relative(self, history: Tensor) -> tuple[Tensor, Frame]:
        """The window as the net reads it (W, B, C), and the frame that leads back."""
        targets, others = history[..., : self.targets], history[self.lag :, :, self.targets :]
        last = targets[-1:]
        if self.subtract == "season":
            repeats = -(-self.steps // self.lag)
            base = targets[-self.lag :].repeat(repeats, 1, 1)[: self.steps]
            targets = targets[self.lag :] - targets[: -self.lag]
        elif self.subtract == "difference":
            base, targets = last, targets[1:] - targets[:-1]
        elif self.subtract == "last":
            base, targets = last, targets - last
        elif self.subtract == "mean":
            base = targets.mean(0, keepdim=True)
            targets = targets - base
        else:
            base = torch.zeros_like(last)
        unit = torch.ones_like(last[0])
        if self.divide:
            unit = targets.abs().mean(0).clamp_min(SMALLEST_UNIT)
            targets = targets / unit
        return torch.cat([targets, others], -1), Frame(base.unsqueeze(-1), unit.unsqueeze(-1))


def _ridge(left: Tensor, right: Tensor) -> Tensor:
    """Ridge weights (W + 1, N) from rows left (n, W + 1), the last column ones and not penalised, to right (n, N).

    >>> x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    >>> _ridge(torch.nn.functional.pad(x, (0, 1), value=1.0), 2 * x + 3).ravel().round(decimals=2).tolist()
    [2.0, 3.0]
    """
    folds = list(zip(left.chunk(FOLDS), right.chunk(FOLDS), strict=True))
    squares, products = ([x.T @ y for x, y in pairs] for pairs in ([(x, x) for x, _ in folds], folds))
    square, product = (torch.stack(parts).sum(0) for parts in (squares, products))
    penalised = torch.eye(left.shape[1], dtype=left.dtype, device=left.device)
    penalised[-1, -1] = 0.0

    def solved(square: Tensor, product: Tensor, penalty: float) -> Tensor:
        return torch.linalg.pinv(square + penalty * len(left) * penalised, hermitian=True) @ product

    def error(penalty: float) -> float:
        return sum(
            float((y - x @ solved(square - own, product - mine, penalty)).square().sum())
            for (x, y), own, mine in zip(folds, squares, products, strict=True)
        )

    return solved(square, product, min(PENALTIES, key=error))


def pinball(quantiles: Tensor, values: Tensor, levels: Tensor) -> Tensor:
    """Mean pinball loss of ``quantiles`` (..., Q) at ``levels`` (Q,) against ``values`` (...), NaN values left out.

    At level a the loss is a (y - q) where y is above q and (1 - a) (q - y) below (Koenker and Bassett 1978); at the
    median it is half the absolute error.

    >>> pinball(torch.tensor([[1.0, 2.0]]), torch.tensor([3.0]), torch.tensor([0.1, 0.5]))
    tensor(0.3500)
    """
    there = ~values.isnan()
    error = values[there].unsqueeze(-1) - quantiles[there]
    return torch.maximum(levels * error, (levels - 1) * error).mean()
