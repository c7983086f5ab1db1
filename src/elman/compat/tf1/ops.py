"""The functions beside the cells: split_squeeze, sequence_loss, clip_by_global_norm, get_variable_scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError

_TINY = 1e-12  # TF1's guard against weights that are all zero


class _VariableScope:
    """What TF1 code asks to share weights between steps, which a cell does here by being one object."""

    def reuse_variables(self) -> None:
        """Does nothing: a cell that is called twice uses its weights twice."""


def get_variable_scope() -> _VariableScope:
    """A scope whose ``reuse_variables()`` does nothing, for loops that call it.

    >>> get_variable_scope().reuse_variables()
    """
    return _VariableScope()


def split_squeeze(dim: int, num_split: int, tensor_in: Tensor) -> list[Tensor]:
    """The slices of a tensor along one axis, as a list of tensors without that axis (skflow's ``split_squeeze``).

    Args:
        dim: the axis.
        num_split: how many slices, which has to be the size of that axis: each is to be one thick.
        tensor_in: any tensor.

    Raises ``UserError`` where ``num_split`` is another number, or there is no such axis.

    >>> [step.shape for step in split_squeeze(1, 3, torch.zeros(2, 3, 4))]
    [torch.Size([2, 4]), torch.Size([2, 4]), torch.Size([2, 4])]
    """
    shape = tuple(tensor_in.shape)
    if not -len(shape) <= dim < len(shape):
        raise UserError(f"split_squeeze got dim={dim} for a tensor {shape}; give one of its {len(shape)} axes")
    if num_split != shape[dim]:
        raise UserError(
            f"split_squeeze got num_split={num_split}, but axis {dim} of {shape} has size {shape[dim]}; a slice loses "
            "its axis only if it is one thick, so num_split is that size"
        )
    return list(tensor_in.unbind(dim))


def sequence_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    softmax_loss_function: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Weighted cross entropy of a batch of sequences in nats: ``tf.contrib.seq2seq.sequence_loss``.

    Args:
        logits: (B, T, V).
        targets: whole numbers (B, T).
        weights: (B, T), e.g. 1 for steps that count and 0 for padding.
        average_across_timesteps: sum over time and divide by the sum of the weights.
        average_across_batch: the same over the batch.
        softmax_loss_function: ``fn(targets (N,), logits (N, V)) -> losses (N,)`` in place of cross entropy.

    Returns:
        A scalar if averaged over both, (B,) over time only, (T,) over the batch only, else (B, T).

    Raises ``UserError`` for shapes that do not fit.

    >>> logits, targets = torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    >>> round(float(sequence_loss(logits, targets, torch.ones(2, 3))), 4)  # log 4
    1.3863
    """
    if logits.dim() != 3 or targets.shape != logits.shape[:2] or weights.shape != logits.shape[:2]:
        shapes = ", ".join(str(tuple(each.shape)) for each in (logits, targets, weights))
        raise UserError(f"sequence_loss got logits, targets and weights {shapes}; expected (B, T, V), (B, T), (B, T)")
    flat = logits.flatten(0, 1), targets.flatten()
    if softmax_loss_function is None:
        losses = F.cross_entropy(*flat, reduction="none")
    else:
        losses = softmax_loss_function(flat[1], flat[0])
    weights = weights.to(losses.dtype)
    losses = losses.view(targets.shape) * weights
    axes = [axis for axis, average in enumerate((average_across_batch, average_across_timesteps)) if average]
    return losses.sum(axes) / (weights.sum(axes) + _TINY) if axes else losses


def clip_by_global_norm(
    t_list: Iterable[Tensor | None], clip_norm: float, use_norm: Tensor | float | None = None
) -> tuple[list[Tensor | None], Tensor]:
    """The tensors scaled so that their joint norm is at most ``clip_norm``, and the norm they had: Pascanu et al. 2013.

    Args:
        t_list: gradients, e.g. ``[p.grad for p in model.parameters()]``; ``None`` stays ``None``.
        clip_norm: the bound, above 0.
        use_norm: the joint norm, where it is known already.

    Returns:
        New tensors and the joint norm. They are NaN where the norm is not finite, so that it does not go unseen.

    Raises ``UserError`` for a single tensor, a list without any gradient, and a bound that is not above 0.

    >>> clipped, norm = clip_by_global_norm([torch.tensor([3.0, 0.0]), None, torch.tensor([4.0])], 2.5)
    >>> clipped, norm
    ([tensor([1.5000, 0.0000]), None, tensor([2.])], tensor(5.))
    """
    if isinstance(t_list, Tensor):
        raise UserError("clip_by_global_norm takes a list of tensors, got one tensor; put it in a list")
    if not clip_norm > 0:
        raise UserError(f"clip_norm={clip_norm}; give a number above 0")
    given = list(t_list)
    tensors = [each for each in given if each is not None]
    if not tensors:
        raise UserError(f"none of the {len(given)} gradients exists; call backward() before clipping")
    norm = torch.nn.utils.get_total_norm(tensors) if use_norm is None else torch.as_tensor(use_norm)
    scale = torch.where(norm.isfinite(), clip_norm / norm.clamp(min=clip_norm), torch.nan)
    return [None if each is None else each * scale.to(each.dtype) for each in given], norm
