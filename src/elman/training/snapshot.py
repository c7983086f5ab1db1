"""All that a run has to remember, gathered from every process into tensors and plain facts, and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import UserError
from .averaging import Average
from .checkpoint import Checkpoint, distinct_tensors, fill_weights
from .distributed import Workers
from .optimizer import load_optimizer_tensors, optimizer_tensors
from .randomness import random_state, set_random_state
from .schedule import Schedule


class Batches(Protocol):
    """An endless iterator of training batches that knows where it is.

    ``epoch`` counts the passes completed, a fraction included; ``windows_per_epoch`` batches make one pass. The state
    is made of JSON values and is the same on every process: the place of the global batch.
    """

    @property
    def epoch(self) -> float: ...

    @property
    def windows_per_epoch(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


class Carried(Protocol):
    """Something with tensors of its own that live from step to step, such as the state that TBPTT carries.

    Names that begin with ``state.`` have the batch at dimension 0, with ``history.`` at dimension 1; every process
    holds its own rows. Other tensors are the same on all.
    """

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor], /) -> None: ...


@dataclass
class Position:
    """Where a run is, in plain numbers; the sums are over the steps since the last evaluation."""

    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    tokens: float = 0.0
    norm_sum: float = 0.0
    norms: int = 0
    best_step: int | None = None
    best: dict[str, float] = field(default_factory=dict)
    stale: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what ``dataclasses.asdict`` gave.

        >>> Position.from_dict({"step": 5}).step
        5
        """
        return cls(**values)


@dataclass
class Snapshot:
    """The parts of a run that a checkpoint holds, alive."""

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    batches: Batches
    carried: Mapping[str, Carried]
    workers: Workers
    average: Average

    def take(self, position: Position) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """Weights, other tensors and facts, of the global batch; every process must call it.

        Where weights are averaged the mean is to be shown, so that it is what the weights of a checkpoint are.
        """
        train = {f"optimizer.{name}": t for name, t in optimizer_tensors(self.model, self.optimizer).items()}
        for name, owner in self.carried.items():
            for key, tensor in owner.state_dict().items():
                dim = _batch_dimension(key)
                train[f"carried.{name}.{key}"] = tensor if dim is None else self.workers.gather(tensor, dim)
        for kind, state in random_state(self.workers.device).items():
            train[f"random.{kind}"] = self.workers.gather(state.unsqueeze(0), 0)
        train |= {f"hidden.{name}": tensor for name, tensor in self.average.hidden.items()}
        facts = {
            "step": position.step,
            "epoch": self.batches.epoch,
            "optimizer": self.schedule.settings.optimizer,
            "world": self.workers.world,
            "cursor": self.batches.state_dict(),
            "schedule": self.schedule.state_dict(),
            "position": asdict(position),
            "averaged": self.average.count,
            "torch": str(torch.__version__),
        }
        return distinct_tensors(self.model), train, facts

    def restore(self, checkpoint: Checkpoint) -> Position:
        """Put everything back where ``checkpoint`` has it and return the position; every process must call it.

        With another number of processes the random numbers of those that are new start from the seed.

        Raises:
            UserError: the checkpoint is of another model or optimiser, or its rows cannot be shared by the processes.
        """
        facts, workers = checkpoint.facts, self.workers
        wanted = self.schedule.settings.optimizer
        if facts["optimizer"] != wanted:
            raise UserError(
                f"checkpoint {checkpoint.path} was trained with optimizer='{facts['optimizer']}', not '{wanted}'; "
                "resume with the optimizer it was trained with"
            )
        fill_weights(self.model, checkpoint.model, checkpoint.path)
        self.average.load(facts.get("averaged", 0), _below("hidden.", checkpoint.train))
        load_optimizer_tensors(self.model, self.optimizer, _below("optimizer.", checkpoint.train))
        for name, owner in self.carried.items():
            tensors = _below(f"carried.{name}.", checkpoint.train)
            owner.load_state_dict({key: self._mine(key, tensor) for key, tensor in tensors.items()})
        states = _below("random.", checkpoint.train)
        if workers.rank < facts["world"]:
            set_random_state({kind: state[workers.rank] for kind, state in states.items()}, workers.device)
        self.schedule.load_state_dict(facts["schedule"])
        self.batches.load_state_dict(facts["cursor"])
        return Position.from_dict(facts["position"])

    def _mine(self, key: str, tensor: Tensor) -> Tensor:
        dim = _batch_dimension(key)
        return tensor if dim is None else self.workers.share(tensor, dim)


def _batch_dimension(key: str) -> int | None:
    return {"state": 0, "history": 1}.get(key.split(".", 1)[0]) if "." in key else None


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
