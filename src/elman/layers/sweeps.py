"""``Sweeps``: any cell over an image, along its rows and its columns, in both directions each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from .recurrent import CellMaker, Recurrent, run_layer


class Sweeps(nn.Module):
    """A stack of layers that read an image in four directions, after ReNet (Visin et al. 2015, arXiv:1505.00393).

    ``y = layer(x)`` with x (B, height, width, I) and y (B, height, width, output size). A layer reads every row from
    the left and from the right, concatenates both outputs, and then every column of these from above and from below, so
    that each place of its output depends on the whole image. (ReNet reads the columns first.) All lines of all images
    are rows of one batch.

    Args:
        cell, hidden_size, num_layers: as in ``elman.Recurrent``; units are those of one direction.
        input_size: features of x.
        dropout: probability of dropping an output between two layers, in training.
        **cell_options: ``init``, options of the cells, and ``bias``, ``device``, ``dtype``.

    Raises ``UserError`` for contradictory sizes, an unknown cell or option, and an x without four axes.

    >>> import torch
    >>> layer = Sweeps("rnn", 3, 5, num_layers=2)
    >>> layer(torch.randn(2, 6, 7, 3)).shape
    torch.Size([2, 6, 7, 10])
    """

    def __init__(
        self,
        cell: CellMaker | Sequence[CellMaker],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int | None = None,
        *,
        dropout: float = 0.0,
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}; give the probability of dropping, 0 or more and below 1")
        self.dropout = dropout
        listed = isinstance(cell, list | tuple) or not isinstance(hidden_size, int)
        # Layer 2k goes along the rows, layer 2k + 1 along the columns.
        self.recurrent = Recurrent(
            _twice(cell),
            input_size,
            _twice(hidden_size),
            2 * (num_layers or 1) if num_layers is not None or not listed else None,
            bidirectional=True,
            **cell_options,
        )

    @property
    def output_size(self) -> int:
        """Features of y."""
        return self.recurrent.output_size

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise UserError(f"x is {tuple(x.shape)}; expected images, (B, height, width, {self._input_size})")
        lines: list[tuple[nn.Module, ...]] = [tuple(layer) for layer in self.recurrent.layers]  # type: ignore[arg-type]
        for depth, (along_rows, along_columns) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
            if depth:
                x = F.dropout(x, self.dropout, self.training)
            x = _sweep(along_rows, x.permute(2, 0, 1, 3)).permute(1, 2, 0, 3)
            x = _sweep(along_columns, x.permute(1, 0, 2, 3)).permute(1, 0, 2, 3)
        return x

    @property
    def _input_size(self) -> Any:
        return getattr(self.recurrent.layers[0][0], "input_size", "features")  # type: ignore[index]


def _sweep(cells: tuple[nn.Module, ...], x: Tensor) -> Tensor:
    """Both directions of x (T, B, lines, I), each line a row of the batch."""
    y, _, _ = run_layer(cells, x.flatten(1, 2), None)
    return y.unflatten(1, x.shape[1:3])


def _twice(each: Any) -> Any:
    """The members of a list one after the other twice; what is no list as it is.

    >>> _twice(["gru", "lstm"]), _twice(3)
    (['gru', 'gru', 'lstm', 'lstm'], 3)
    """
    return [one for one in each for _ in range(2)] if isinstance(each, list | tuple) else each
