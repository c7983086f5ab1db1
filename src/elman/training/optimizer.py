"""The optimiser a run asks for, and the clipping of its gradients."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from torch.optim import SGD, Adam, AdamW, Optimizer

from .settings import TrainSettings


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimiser of ``settings`` over the trainable parameters of ``model``; matrices decay, vectors do not.

    >>> optimizer = build_optimizer(nn.Linear(2, 1), TrainSettings(optimizer="adamw"))
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.01, 0.0]
    """
    decay = settings.weight_decay
    if decay is None:
        decay = 0.01 if settings.optimizer == "adamw" else 0.0
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    # One kernel over all parameters: on small recurrent nets the per-parameter calls cost as much as a layer.
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    if settings.optimizer == "sgd":
        momentum = 0.9 if settings.momentum is None else settings.momentum
        return SGD(groups, lr=settings.learning_rate, momentum=momentum, fused=fused)
    rule = AdamW if settings.optimizer == "adamw" else Adam
    return rule(groups, lr=settings.learning_rate, betas=settings.betas, fused=fused)


def gradient_norm(model: nn.Module) -> Tensor:
    """The 2-norm of all gradients of ``model`` taken as one vector, a scalar tensor; 0 without gradients.

    >>> import torch
    >>> layer = nn.Linear(2, 1)
    >>> layer(torch.tensor([3.0, 0.0])).backward()
    >>> gradient_norm(layer)
    tensor(3.1623)
    """
    return get_total_norm(_gradients(model.parameters()))


def clip_gradients(model: nn.Module, settings: TrainSettings, norm: Tensor) -> None:
    """Shorten the gradients in place as ``settings`` asks; ``norm`` is their present :func:`gradient_norm`.

    By norm: all are scaled by ``clip / norm`` where that is below 1 (Pascanu et al. 2013, arXiv:1211.5063). By value:
    every entry is limited to ``[-clip, clip]``.

    >>> import torch
    >>> layer = nn.Linear(2, 1)
    >>> layer(torch.tensor([3.0, 0.0])).backward()
    >>> clip_gradients(layer, TrainSettings(clip=1.0), gradient_norm(layer))
    >>> round(gradient_norm(layer).item(), 4)
    1.0
    """
    if settings.clip is None:
        return
    parameters = [p for p in model.parameters() if p.grad is not None]
    if settings.clip_by == "norm":
        clip_grads_with_norm_(parameters, settings.clip, norm)
    else:
        clip_grad_value_(parameters, settings.clip)


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory as flat tensors named ``<what>.<parameter>``, such as ``exp_avg.rnn.weight_hh``.

    >>> import torch
    >>> layer = nn.Linear(2, 1)
    >>> optimizer = build_optimizer(layer, TrainSettings(optimizer="sgd"))
    >>> layer(torch.ones(2)).backward()
    >>> optimizer.step()
    >>> sorted(optimizer_tensors(layer, optimizer))
    ['momentum_buffer.bias', 'momentum_buffer.weight']
    """
    return {
        f"{what}.{name}": value
        for name, parameter in model.named_parameters()
        for what, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(model: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave; hyper-parameters stay as the optimiser was built.

    >>> import torch
    >>> layer = nn.Linear(2, 1)
    >>> optimizer = build_optimizer(layer, TrainSettings(optimizer="sgd"))
    >>> load_optimizer_tensors(layer, optimizer, {"momentum_buffer.bias": torch.ones(1)})
    >>> optimizer.state[layer.bias]
    {'momentum_buffer': tensor([1.])}
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    state: dict[int, dict[str, Tensor]] = {}
    for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        suffix = "." + names[parameter]
        mine = {key.split(".", 1)[0]: value for key, value in tensors.items() if key[key.index(".") :] == suffix}
        if mine:
            state[index] = mine
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]
