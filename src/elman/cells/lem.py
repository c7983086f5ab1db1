"""Long expressive memory: two states, each with a time step of its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class LEM(Cell):
    """Long expressive memory (Rusch et al. 2022, arXiv:2110.04744, equation 3): learned time steps for two states.

    d_z = dt sigmoid(W_1 x_t + U_1 y_{t-1} + b_1); d_y = dt sigmoid(W_2 x_t + U_2 y_{t-1} + b_2);
    z_t = (1 - d_z) z_{t-1} + d_z tanh(W_z x_t + U_z y_{t-1} + b_z);
    y_t = (1 - d_y) y_{t-1} + d_y tanh(W_y x_t + U_y z_t + b_y). Rows d_z, d_y, z, y; ``weight_hh`` holds all four U.
    y_t sees the new z_t, as in the paper and its authors' code; some libraries give it z_{t-1}, which is another cell.

    Args:
        dt: the largest time step, above 0; default 1.

    Raises ``UserError`` for another dt.

    >>> import torch
    >>> y, (_, z) = LEM(3, 4)(torch.zeros(2, 3))
    >>> y.shape, z.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    gates = ("dz", "dy", "z", "y")
    states = ("y", "z")

    def __init__(self, input_size: int, hidden_size: int, *, dt: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        if not dt > 0:
            raise UserError(f"LEM got dt={dt}; give a number above 0")
        self.dt = dt

    def step(self, x: Gated, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        dz = self.dt * sigmoid(x.dz + self.recur.dz(y))
        dy = self.dt * sigmoid(x.dy + self.recur.dy(y))
        z = (1 - dz) * z + dz * tanh(x.z + self.recur.z(y))
        y = (1 - dy) * y + dy * tanh(x.y + self.recur.y(z))
        return y, z
