"""How the parameters of a cell start: five named schemes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .cell import Cell


_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def _norms(cell: Cell) -> list[nn.Module]:
    return [module for module in cell.modules() if isinstance(module, _NORMS)]


def start_norms(cell: Cell) -> None:
    """Gain 1 and shift 0 in every normalisation layer of the cell: they start so under every scheme."""
    for norm in _norms(cell):
        norm.reset_parameters()  # type: ignore[operator]


def _parameters(cell: Cell) -> list[Tensor]:
    """What a scheme starts: every parameter but those of normalisation layers."""
    kept = {id(parameter) for norm in _norms(cell) for parameter in norm.parameters()}
    return [parameter for parameter in cell.parameters() if id(parameter) not in kept]


def _gate_blocks(cell: Cell) -> dict[int, int]:
    """How many blocks each of the cell's own weights stacks by rows, by the parameter's id; other weights count 1.

    A block is a gate's rows, or in recurrent weights those of a gate's head, where the cell has heads.
    """
    gates = len(cell.gates)
    recurrent = {id(weight): gates * getattr(cell, "heads", 1) for weight in cell.recurrent_weights}
    return {id(cell.weight_ih): gates, **recurrent}


def _weights(cell: Cell) -> list[tuple[Tensor, bool]]:
    """Every matrix of the cell, gate by gate, and whether it is a block of a recurrent weight."""
    blocks = _gate_blocks(cell)
    recurrent = {id(weight) for weight in cell.recurrent_weights}
    return [
        (block, id(parameter) in recurrent)
        for parameter in _parameters(cell)
        if parameter.dim() >= 2
        for block in parameter.detach().chunk(blocks.get(id(parameter), 1))
    ]


def _zero_vectors(cell: Cell) -> None:
    for parameter in _parameters(cell):
        if parameter.dim() < 2:
            nn.init.zeros_(parameter)


def torch_start(cell: Cell) -> None:
    """Uniform in +-1/sqrt(H) for everything, as ``torch.nn``'s recurrent modules."""
    bound = 1 / math.sqrt(cell.hidden_size)
    for parameter in _parameters(cell):
        nn.init.uniform_(parameter, -bound, bound)


def xavier_start(cell: Cell) -> None:
    """Glorot-uniform input weights, orthogonal recurrent weights, both gate by gate; zero biases, forget bias 1.

    Glorot and Bengio 2010; Saxe et al. 2014 (arXiv:1312.6120); Jozefowicz et al. 2015 for the forget bias.
    """
    for block, recurrent in _weights(cell):
        (nn.init.orthogonal_ if recurrent else nn.init.xavier_uniform_)(block)
    _zero_vectors(cell)
    set_forget_bias(cell, 1.0)


def identity_start(cell: Cell) -> None:
    """Identity recurrent weights gate by gate, other weights normal of sigma 0.001, zero biases: arXiv:1504.00941."""
    for block, recurrent in _weights(cell):
        if recurrent:
            nn.init.eye_(block)
        else:
            nn.init.normal_(block, std=0.001)
    _zero_vectors(cell)


def normal_start(cell: Cell) -> None:
    """Truncated normal of sigma 0.02 (cut at two sigmas) for every matrix, zero vectors: the textbook's start."""
    for block, _ in _weights(cell):
        truncated_normal_(block, 0.02)
    _zero_vectors(cell)


def uniform_start(cell: Cell) -> None:
    """Uniform in +-0.1 for everything, as Zaremba et al. 2014 (arXiv:1409.2329) start their small net."""
    for parameter in _parameters(cell):
        nn.init.uniform_(parameter, -0.1, 0.1)


SCHEMES: dict[str, Callable[[Cell], None]] = {
    "torch": torch_start,
    "xavier": xavier_start,
    "identity": identity_start,
    "normal": normal_start,
    "uniform": uniform_start,
}


def set_forget_bias(cell: Cell, value: float) -> None:
    """Sets the first of the cell's ``forget_biases`` to ``value`` and the others to zero; does nothing without any."""
    with torch.no_grad():
        for position, bias in enumerate(cell.forget_biases):
            bias.fill_(0.0 if position else value)


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Fills in place with a normal of mean 0, redrawing what lies beyond two standard deviations; zeros for std 0.

    >>> truncated_normal_(torch.empty(1000), 0.01).abs().max() <= 0.02
    tensor(True)
    """
    if std == 0:
        return nn.init.zeros_(tensor)
    return nn.init.trunc_normal_(tensor, std=std, a=-2 * std, b=2 * std, generator=generator)


def start_linear(linear: nn.Linear | nn.Embedding, init: str) -> None:
    """Starts a layer around the recurrence by the same named scheme; "torch" and "identity" leave PyTorch's own."""
    if init == "xavier":
        nn.init.xavier_uniform_(linear.weight)
    elif init == "normal":
        truncated_normal_(linear.weight, 0.02)
    elif init == "uniform":
        for parameter in linear.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)
    if init in ("xavier", "normal") and isinstance(linear, nn.Linear) and linear.bias is not None:
        nn.init.zeros_(linear.bias)
