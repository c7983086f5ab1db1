"""LSTM whose output is a projection to fewer features."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class ProjectedLSTM(Cell):
    """LSTM with a recurrent projection, "LSTMP": Sak et al. 2014, arXiv:1402.1128.

    i, f, o = sigmoid and g = tanh of W x_t + U h_{t-1} + b, gate by gate; c_t = f c_{t-1} + i g;
    h_t = R (o tanh(c_t)). The state h and the output have P features, c has H; ``weight_hh`` is (4H, P) and R is
    ``weight_hr`` (P, H), without a bias. With the defaults this is ``torch.nn.LSTM(proj_size=P)``, name for name.
    The paper's diagonal peepholes are an option: i and f then see c_{t-1}, o sees c_t, as in ``PeepholeLSTM``. Its
    second projection, which does not recur, is a linear layer and left out. Clips are those of TensorFlow's
    ``LSTMCell``: c is clipped before it is read and kept.

    Args:
        projection_size: features P of the output; default half of ``hidden_size``, rounded up.
        cell_clip: c is held within plus and minus this; default no bound.
        projection_clip: so is h; default no bound.
        peepholes: whether the gates see the cell state, one weight a unit; default False.

    Raises ``UserError`` for a size below 1 or a clip that is not above 0.

    >>> y, (h, c) = ProjectedLSTM(3, 8, projection_size=2)(torch.zeros(1, 3))
    >>> h.shape, c.shape
    (torch.Size([1, 2]), torch.Size([1, 8]))
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        projection_size: int | None = None,
        cell_clip: float | None = None,
        projection_clip: float | None = None,
        peepholes: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        size: Any = (hidden_size + 1) // 2 if projection_size is None else projection_size
        if not isinstance(size, int) or size < 1:
            raise UserError(f"ProjectedLSTM got projection_size={size!r}; give a whole number of at least 1")
        for name, clip in {"cell_clip": cell_clip, "projection_clip": projection_clip}.items():
            if clip is not None and not clip > 0:
                raise UserError(f"ProjectedLSTM got {name}={clip}; give a number above 0, or None for no bound")
        self.projection_size = size
        self.cell_clip = cell_clip
        self.projection_clip = projection_clip
        self.peepholes = peepholes
        place: dict[str, Any] = {"device": self.weight_ih.device, "dtype": self.weight_ih.dtype}
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, size, **place))
        self.weight_hr = nn.Parameter(torch.empty(size, hidden_size, **place))
        if peepholes:
            self.weight_ci = nn.Parameter(torch.empty(hidden_size, **place))
            self.weight_cf = nn.Parameter(torch.empty(hidden_size, **place))
            self.weight_co = nn.Parameter(torch.empty(hidden_size, **place))

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.projection_size, self.hidden_size

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = x + self.recur(h)
        i, f, o = z.i, z.f, z.o
        if self.peepholes:
            i, f = i + self.weight_ci * c, f + self.weight_cf * c
        c = sigmoid(f) * c + sigmoid(i) * tanh(z.g)
        if self.cell_clip is not None:
            c = c.clamp(-self.cell_clip, self.cell_clip)
        if self.peepholes:
            o = o + self.weight_co * c
        h = F.linear(sigmoid(o) * tanh(c), self.weight_hr)
        if self.projection_clip is not None:
            h = h.clamp(-self.projection_clip, self.projection_clip)
        return h, c
