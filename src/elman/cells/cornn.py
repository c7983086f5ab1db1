"""Coupled oscillatory recurrent network: every unit a driven, damped oscillator."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn, tanh

from ..cell import Cell, Gated
from ..errors import UserError


class CoRNN(Cell):
    """Coupled oscillatory RNN: Rusch and Mishra 2021, arXiv:2010.00951, equation 3.

    z_t = z_{t-1} + dt (tanh(U y_{t-1} + V z_{t-1} + W x_t + b) - gamma y_{t-1} - epsilon z_{t-1});
    y_t = y_{t-1} + dt z_t. y is the place and the output, z the velocity; U is ``weight_hh``, V ``velocity.weight``.
    The damping is taken at the old velocity, as in the authors' code; the paper also allows the new one, z_t.
    Libraries whose defaults are gamma = epsilon = 0 have an oscillator without spring and damping.

    Args:
        dt: time step; default 0.042, which like the next two is the paper's choice for sequential MNIST.
        gamma: stiffness; default 2.7.
        epsilon: damping; default 4.7.

    Raises ``UserError`` for a dt that is not above 0, and a gamma or epsilon below 0.

    >>> import torch
    >>> y, (_, z) = CoRNN(3, 4)(torch.zeros(2, 3))
    >>> y.shape, z.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    gates = ("z",)
    states = ("y", "z")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if not (dt > 0 and gamma >= 0 and epsilon >= 0):
            raise UserError(
                f"CoRNN got dt={dt}, gamma={gamma}, epsilon={epsilon}; give a dt above 0, the others not below 0"
            )
        self.dt = dt
        self.gamma = gamma
        self.epsilon = epsilon
        like = self.weight_hh
        self.velocity = nn.Linear(hidden_size, hidden_size, bias=False, device=like.device, dtype=like.dtype)

    def step(self, x: Gated, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        force = tanh(x.z + self.recur.z(y) + self.velocity(z))
        z = z + self.dt * (force - self.gamma * y - self.epsilon * z)
        return y + self.dt * z, z
