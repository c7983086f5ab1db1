"""The net that writes texts from what is no text: a class, a vector of features, or a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..initialisation import start_linear
from ..layers.recurrent import CellMaker, place_of
from .decoder import DecoderNet, DecoderState


class PictureMap(nn.Module):
    """``places = net(x)``: a picture as a map of places, by convolutions of 3 x 3 with rectifiers.

    x (N, height, width, C) and places (N, size, rows, columns); each of ``halvings`` convolutions takes every second
    place, a last one all of them. Two numbers a pixel, how far right and how far down it is from -1 to 1, go in beside
    the channels, so that a place knows where it is (Liu et al. 2018, arXiv:1807.03247).

    >>> PictureMap(3, 16, halvings=2)(torch.randn(2, 16, 20, 3)).shape
    torch.Size([2, 16, 4, 5])
    """

    def __init__(self, channels: int, size: int, halvings: int = 2, **place: Any) -> None:
        super().__init__()
        if halvings < 1:
            raise UserError(f"halvings is {halvings}; expected a whole number of at least 1")
        # The first convolution sees most pixels, so it has half of the features where there is another.
        sizes = [channels + 2, *[max(size // 2, 1)] * (halvings > 1), *[size] * max(1, halvings - 1)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1, **place) for before, after in pairwise(sizes)
        )
        self.convolutions.append(nn.Conv2d(size, size, 3, padding=1, **place))
        for convolution in self.convolutions:
            # He et al. 2015, arXiv:1502.01852: with PyTorch's own start a picture hardly shows after some rectifiers.
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        rows, height, width, _ = x.shape
        down = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype).view(1, height, 1, 1)
        right = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).view(1, 1, width, 1)
        where = [each.expand(rows, height, width, 1) for each in (down, right)]
        y = torch.cat([x, *where], -1).permute(0, 3, 1, 2)
        for convolution in self.convolutions:
            y = torch.relu(convolution(y))
        return y


class CaptionNet(nn.Module):
    """A decoder that is told a class, a vector, or a picture.

    ``logits, state = net(x, text)`` with text (T, N) token ids, each the one before the one to be scored, and logits
    (T, N, V); ``net.begin(x)`` is the decoder's state before the first. x is (N,) class numbers, (N, features), or
    (N, height, width, channels). A class has a learned vector; vectors are turned into others by a linear layer and a
    rectifier; both start the decoder's state and are read beside every token (Vinyals et al. 2015, arXiv:1411.4555,
    has the first of these). A picture becomes a map of places (``PictureMap``), to which the decoder attends at every
    token (Xu et al. 2015, arXiv:1502.03044, soft attention), and their mean takes the vector's part.

    Args:
        vocab_size: token types V.
        cell, hidden_size, num_layers: as in ``elman.Recurrent``.
        classes, features, channels: exactly one of them says what x is.
        input_size: features of what the decoder is told: of a class's vector, of a place.
        halvings: how often the convolutions halve the picture's sides.
        attention, embedding_size, tied, init: as in ``DecoderNet``.
        dropout: probability of dropping, on what the decoder is told and as in ``DecoderNet``.
        **cell_options: options of the cells; ``device`` and ``dtype`` are for the whole net.

    Raises ``UserError`` unless exactly one of ``classes``, ``features`` and ``channels`` is given.

    >>> net = CaptionNet(10, "gru", 8, channels=3)
    >>> net(torch.randn(2, 16, 16, 3), torch.randint(10, (5, 2)))[0].shape
    torch.Size([5, 2, 10])
    """

    def __init__(
        self,
        vocab_size: int,
        cell: CellMaker | Sequence[CellMaker] = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int | None = None,
        *,
        classes: int | None = None,
        features: int | None = None,
        channels: int | None = None,
        input_size: int = 64,
        halvings: int = 2,
        attention: str = "additive",
        embedding_size: int = 64,
        tied: bool = False,
        dropout: float = 0.0,
        init: str = "torch",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        given = {"classes": classes, "features": features, "channels": channels}
        if sum(value is not None for value in given.values()) != 1:
            said = ", ".join(f"{name}={value}" for name, value in given.items())
            raise UserError(f"{said}; give one, for a class, a vector or a picture")
        self.dropout = dropout
        place = place_of(cell_options)
        self.told: nn.Module
        if classes is not None:
            self.told = nn.Embedding(classes, input_size, **place)
        elif features is not None:
            self.told = nn.Linear(features, input_size, **place)
        else:
            assert channels is not None
            self.told = PictureMap(channels, input_size, halvings, **place)
        if not isinstance(self.told, PictureMap):
            start_linear(self.told, init)
        self.decoder = DecoderNet(
            vocab_size,
            cell,
            hidden_size,
            num_layers,
            memory_size=input_size if channels is not None else None,
            vector_size=input_size,
            vector_fed=True,
            attention=attention,
            embedding_size=embedding_size,
            tied=tied,
            dropout=dropout,
            init=init,
            **cell_options,
        )

    def begin(self, x: Tensor) -> DecoderState:
        """The decoder's state before the first token."""
        if isinstance(self.told, PictureMap):
            places = F.dropout(self.told(x), self.dropout, self.training).flatten(2)  # (N, M, S)
            return self.decoder.begin(places.permute(2, 0, 1), vector=places.mean(2))
        vector = self.told(x)
        if isinstance(self.told, nn.Linear):
            vector = torch.relu(vector)
        return self.decoder.begin(vector=F.dropout(vector, self.dropout, self.training))

    def forward(self, x: Tensor, text: Tensor) -> tuple[Tensor, DecoderState]:
        return self.decoder(text, self.begin(x))
