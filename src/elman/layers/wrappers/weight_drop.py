"""DropConnect on the weights of a cell."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...engine.steps import begun
from ...errors import UserError, nearest
from ...structure import State
from .masks import check_probability, dropout_mask
from .wrapper import Inputs, Wrapper, light_copy


class WeightDrop(Wrapper):
    """Drops weights of a cell in training, the same for all steps and rows of a call of ``elman.scan``.

    DropConnect on the recurrent weights, as in the AWD-LSTM (Merity et al. 2018, arXiv:1708.02182): each number of the
    named weights becomes 0 with probability p, the others are scaled by 1 / (1 - p). The loop itself costs nothing
    more. In evaluation the weights are whole.

    Args:
        cell: any cell.
        p: probability of dropping a weight.
        weights: names of parameters, as in ``cell.named_parameters()``; those of wrapped cells are found without the
            leading ``cell.``. Default: the recurrent weight of ``elman.Cell`` and of PyTorch's cells.

    Raises ``UserError`` for a probability outside [0, 1] and for a name that no parameter has.

    >>> import torch, elman
    >>> cell = WeightDrop(elman.cells.LSTM(3, 4), 1.0)
    >>> elman.scan(cell, torch.randn(7, 2, 3))[0].sum().backward()
    >>> bool(cell.cell.weight_hh.grad.any()), bool(cell.cell.weight_ih.grad.any())
    (False, True)
    """

    def __init__(self, cell: nn.Module, p: float = 0.5, *, weights: str | Sequence[str] = ("weight_hh",)) -> None:
        super().__init__(cell)
        self.p = check_probability("WeightDrop", "p", p)
        known = {_short(name): name for name, _ in cell.named_parameters()}
        self.weights = (weights,) if isinstance(weights, str) else tuple(weights)
        if not self.weights:
            raise UserError("WeightDrop got no names of weights; give at least one")
        for name in self.weights:
            if _short(name) not in known:
                hint = nearest(_short(name), known) if known else "it has none"
                raise UserError(f"{type(cell).__name__} has no parameter {name!r}; {hint}")
        self._paths = tuple(known[_short(name)] for name in self.weights)

    def begin_scan(self, x: Inputs, state: State, lead: tuple[int, ...]) -> tuple[nn.Module, Inputs]:
        cell = self.cell
        if self.training and self.p:
            for path in self._paths:
                weight = cell.get_parameter(path)
                cell = _with_tensor(cell, path, weight * dropout_mask(self.p, weight.shape, weight.detach(), ()))
        return begun(cell, x, state, lead)

    def extra_repr(self) -> str:
        return f"p={self.p}, weights={self.weights}"


def _short(name: str) -> str:
    """A parameter's name without the wrappers around its cell."""
    while name.startswith("cell."):
        name = name.removeprefix("cell.")
    return name


def _with_tensor(module: nn.Module, path: str, tensor: Tensor) -> nn.Module:
    """A light copy of a module with another tensor in the place of a parameter."""
    copy = light_copy(module)
    name, _, rest = path.partition(".")
    if rest:
        vars(copy)["_modules"] = {**module._modules, name: _with_tensor(module._modules[name], rest, tensor)}  # type: ignore[arg-type]
    else:
        vars(copy)["_parameters"] = {**module._parameters, name: tensor}
    found: nn.Module = copy
    return found
