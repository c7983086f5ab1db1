"""The watch for NaN and infinity: says at which step and in which tensor training broke down."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import UserError


class NotFiniteError(UserError):
    """Training met NaN or infinity and stopped, its checkpoints sound; ``step`` and ``tensor`` say where.

    >>> NotFiniteError(7, "the loss", "NaN").step
    7
    """

    def __init__(self, step: int, tensor: str, what: str, advice: str = "") -> None:
        super().__init__(f"step {step}: {tensor} became {what}, so training stopped{advice}")
        self.step = step
        self.tensor = tensor


def find_not_finite(model: nn.Module, loss: float) -> tuple[str, str]:
    """The name of the first tensor that is not finite, and whether it holds NaN or infinity.

    Looked at in the order of cause: a parameter (spoilt by the update before), the loss, then the gradients.

    >>> layer = nn.Linear(1, 1)
    >>> layer.weight.grad = torch.tensor([[float("inf")]])
    >>> find_not_finite(layer, loss=1.0)
    ("the gradient of 'weight'", 'infinite')
    """
    spoilt = spoilt_parameter(model)
    if spoilt:
        return spoilt
    if not math.isfinite(loss):
        return "the loss", _kind(torch.tensor(loss))
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            return f"the gradient of '{name}'", _kind(parameter.grad)
    return "the norm of all gradients", "infinite"


def spoilt_parameter(model: nn.Module) -> tuple[str, str] | None:
    """The first parameter that is not finite and what it holds, or None when all are sound.

    >>> spoilt_parameter(nn.Linear(1, 1)) is None
    True
    """
    for name, parameter in model.named_parameters():
        if not parameter.detach().isfinite().all():
            return f"the parameter '{name}'", _kind(parameter.detach())
    return None


def _kind(tensor: Tensor) -> str:
    return "NaN" if tensor.isnan().any() else "infinite"
