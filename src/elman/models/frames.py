"""A small convolutional net that turns every frame of a clip into a vector, before the recurrence over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import UserError

SMALLEST = 4  # pixels a side


class FrameEncoder(nn.Module):
    """``vectors = encoder(x)``: every frame by itself through two convolutions and a linear layer.

    x (T, B, F) has in a step the numbers of one frame, rows first and the channels of a pixel together, F = height
    width channels; vectors are (T, B, ``size``), 0 or more. The convolutions, of 5 x 5 and 3 x 3 pixels, take steps of
    2 on a frame padded with zeros, so that each halves its sides (in place of pooling, which costs more: Springenberg
    et al. 2015, arXiv:1412.6806); a relu follows each layer.

    Args:
        shape: height and width of a frame, and its channels where there are several.
        size: features of a frame's vector.
        channels: channels of the first and the second convolution.

    Raises ``UserError`` for a shape of other axes, and for frames smaller than 4 x 4.

    >>> import torch
    >>> FrameEncoder((8, 8), size=5)(torch.randn(7, 2, 64)).shape
    torch.Size([7, 2, 5])
    """

    def __init__(
        self, shape: Sequence[int], size: int = 64, channels: tuple[int, int] = (16, 32), **place: Any
    ) -> None:
        super().__init__()
        if len(shape) not in (2, 3) or min(shape[:2]) < SMALLEST:
            raise UserError(
                f"a step has the axes {tuple(shape)}; the convolutional net reads frames, (height, width) or "
                f"(height, width, channels), of at least {SMALLEST} x {SMALLEST}"
            )
        self.shape = (*shape[:2], math.prod(shape[2:]))
        first, second = channels
        self.first = nn.Conv2d(self.shape[2], first, 5, stride=2, padding=2, **place)
        self.second = nn.Conv2d(first, second, 3, stride=2, padding=1, **place)
        self.project = nn.Linear(second * -(-shape[0] // 4) * -(-shape[1] // 4), size, **place)

    @property
    def output_size(self) -> int:
        """Features of a frame's vector."""
        return self.project.out_features

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.reshape(-1, *self.shape).movedim(-1, 1)
        maps = self.second(self.first(pixels).relu()).relu()
        return self.project(maps.flatten(1)).relu().view(*x.shape[:2], -1)


def frame_encoder(frames: str | None, shape: Sequence[int], size: int, **place: Any) -> FrameEncoder | None:
    """The encoder of a net's option ``frames``: "cnn" or None; `UserError` for another name."""
    if frames not in (None, "cnn"):
        raise UserError(f"frames is {frames!r}; expected 'cnn', or None for steps as they are")
    return None if frames is None else FrameEncoder(shape, size, **place)
