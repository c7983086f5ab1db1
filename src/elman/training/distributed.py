"""Several processes under ``torchrun``: who this one is, the wrapped model, and what the processes tell each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import UserError


@dataclass(frozen=True)
class Workers:
    """This process among ``world`` equal ones; rank r owns rows ``rB/W`` to ``(r+1)B/W`` of a global batch of B rows.

    The default is a process on its own, for which every method is the identity.

    >>> Workers().first, Workers().total([1.0, 2.0])
    (True, [1.0, 2.0])
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and talks to the user."""
        return self.rank == 0

    def rows(self, batch_size: int) -> int:
        """How many rows of a global batch this process owns.

        Raises:
            UserError: the processes cannot share the rows equally.

        >>> Workers(rank=1, world=4).rows(32)
        8
        """
        if batch_size % self.world:
            raise UserError(
                f"a batch of {batch_size} rows cannot be shared by {self.world} processes; "
                f"choose a multiple of {self.world}"
            )
        return batch_size // self.world

    def wrap(self, model: nn.Module, unused: bool = False) -> nn.Module:
        """What to call in training: ``model`` itself, or DistributedDataParallel over it, which averages gradients.

        Its parameters are those of ``model``; rank 0's values are copied to all. Checkpoints and the optimiser use
        ``model``, only the forward pass goes through the result. ``unused=True`` allows parameters
        that a forward pass leaves out, such as a trained initial state while a carried one is given.
        """
        if self.world == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=unused)

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums of ``values`` over all processes, in float64."""
        if self.world == 1:
            return list(values)
        wire = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(wire)
        result: list[float] = wire.tolist()
        return result

    def from_first(self, values: Sequence[float]) -> list[float]:
        """Rank 0's ``values``, so that all processes decide alike."""
        return self.total(values if self.first else [0.0] * len(values))

    def gather(self, tensor: Tensor, dim: int) -> Tensor:
        """The processes' tensors of one shape, one after the other along ``dim``, on every process.

        >>> Workers().gather(torch.ones(2, 3), dim=0).shape
        torch.Size([2, 3])
        """
        if self.world == 1:
            return tensor
        wire = tensor.detach().to(self.device).contiguous()
        # Not every transport carries bool.
        wire = wire.view(torch.uint8) if tensor.dtype == torch.bool else wire
        parts = [torch.empty_like(wire) for _ in range(self.world)]
        dist.all_gather(parts, wire)
        whole = torch.cat(parts, dim)
        return (whole.view(torch.bool) if tensor.dtype == torch.bool else whole).to(tensor.device)

    def share(self, tensor: Tensor, dim: int) -> Tensor:
        """This process's rows of a global tensor: the inverse of :meth:`gather`.

        >>> Workers(rank=1, world=2).share(torch.arange(4), dim=0)
        tensor([2, 3])
        """
        rows = self.rows(tensor.shape[dim])
        return tensor.narrow(dim, self.rank * rows, rows).contiguous()

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.world > 1:
            # Not a sum: gloo's thread may let go of its tensor only while Python shuts down, and abort the process.
            dist.barrier()


@contextmanager
def join(device: str | torch.device = "cpu") -> Iterator[Workers]:
    """Join the processes that ``torchrun`` started (gloo on CPUs, NCCL on GPUs), or be on one's own without it.

    >>> with join("cpu") as workers:
    ...     workers.world
    1
    """
    device = torch.device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "MASTER_ADDR" not in os.environ:
        yield Workers(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    cuda = device.type == "cuda"
    dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    yield Workers(dist.get_rank(), dist.get_world_size(), device)
    # Not in a finally: after a failure the others may be waiting inside a collective, and closing could wait for them.
    dist.destroy_process_group()
