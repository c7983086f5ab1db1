"""The net that labels scenes: an image in, scores of the classes of every pixel out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers import Sweeps
from ..layers.recurrent import CellMaker, place_of


class SceneNet(nn.Module):
    """Patches of pixels as vectors, sweeps over them in four directions, and for every pixel of a patch its scores.

    ``scores = net(x)`` with x (B, height, width, channels) and scores (B, height, width, C) before the softmax. Sizes
    that patches do not divide are filled up with the pixels of the edge. The scores of a pixel depend on the whole
    image.

    Args:
        classes: classes C.
        cell, hidden_size, num_layers: as in ``elman.layers.Sweeps``.
        channels: numbers a pixel.
        patch: pixels along the side of a patch; larger ones are faster and coarser.
        embedding_size: features of a patch's vector, a linear layer and a rectifier.
        dropout: probability of dropping, on the patches' vectors, between layers and before the scores.
        init: start of cells, embedding and output layer alike, see ``elman.Cell``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    Raises ``UserError`` for a patch below 1 and for x of other channels.

    >>> net = SceneNet(4, "rnn", 8, patch=2)
    >>> net(torch.randn(2, 5, 6, 3)).shape
    torch.Size([2, 5, 6, 4])
    """

    def __init__(
        self,
        classes: int,
        cell: CellMaker | Sequence[CellMaker] = "lstm",
        hidden_size: int | Sequence[int] = 64,
        num_layers: int | None = None,
        *,
        channels: int = 3,
        patch: int = 2,
        embedding_size: int = 64,
        dropout: float = 0.0,
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if patch < 1:
            raise UserError(f"patch is {patch}; expected pixels, a whole number of at least 1")
        self.classes = classes
        self.channels = channels
        self.patch = patch
        self.dropout = dropout
        place = place_of(cell_options)
        self.embedding = nn.Linear(patch * patch * channels, embedding_size, **place)
        self.sweeps = Sweeps(cell, embedding_size, hidden_size, num_layers, dropout=dropout, init=init, **cell_options)
        self.head = nn.Linear(self.sweeps.output_size, patch * patch * classes, **place)
        for layer in (self.embedding, self.head):
            start_linear(layer, init)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[-1] != self.channels:
            raise UserError(f"x is {tuple(x.shape)}; expected images, (B, height, width, {self.channels})")
        height, width = x.shape[1:3]
        y = torch.relu(self.embedding(patches(x, self.patch)))
        y = self.sweeps(F.dropout(y, self.dropout, self.training))
        y = self.head(F.dropout(y, self.dropout, self.training))
        return pixels(y, self.patch)[:, :height, :width]


def patches(x: Tensor, side: int) -> Tensor:
    """Pixels (B, height, width, C) as patches (B, rows, columns, side * side * C), filled up from the edges.

    >>> patches(torch.arange(6.0).view(1, 2, 3, 1), 2).tolist()
    [[[[0.0, 1.0, 3.0, 4.0], [2.0, 2.0, 5.0, 5.0]]]]
    """
    down, right = -x.shape[1] % side, -x.shape[2] % side
    if down or right:
        x = F.pad(x.permute(0, 3, 1, 2), (0, right, 0, down), mode="replicate").permute(0, 2, 3, 1)
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3).flatten(3)


def pixels(y: Tensor, side: int) -> Tensor:
    """Patches (B, rows, columns, side * side * C) as pixels (B, rows * side, columns * side, C).

    >>> x = torch.arange(24.0).view(1, 4, 6, 1)
    >>> bool((pixels(patches(x, 2), 2) == x).all())
    True
    """
    return y.unflatten(3, (side, side, -1)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
