"""PyTorch's random numbers: take their state, put it back, and lend them out undisturbed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of the CPU's generator, and of the GPU's where ``device`` is one, as byte tensors.

    >>> list(random_state(torch.device("cpu")))
    ['cpu']
    """
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what :func:`random_state` gave; a generator it does not name is left alone."""
    # Cloned: PyTorch 2.13 reads a view from the start of its storage and crashes.
    if "cpu" in state:
        torch.set_rng_state(state["cpu"].cpu().clone())
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu().clone(), device)


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside leaves the random numbers that follow as they were.

    >>> device = torch.device("cpu")
    >>> before = random_state(device)["cpu"]
    >>> with undisturbed(device):
    ...     _ = torch.rand(3)
    >>> torch.equal(random_state(device)["cpu"], before)
    True
    """
    state = random_state(device)
    try:
        yield
    finally:
        set_random_state(state, device)
