"""A tiny language model with carried state, for the tests; as a script one training run, for kills and torchrun.

Usage: ``python toy_training.py FOLDER [key=value ...]`` with keys of TrainSettings, and ``resume``, ``dropout``,
``pause`` (seconds a step), ``dtype``.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

import elman
from elman.training import Result, RunFolder, TrainSettings, Workers, join, train

SCRIPT = Path(__file__)
VOCABULARY, HIDDEN, BATCH, WINDOW = 7, 6, 4, 5


class ToyNet(nn.Module):
    """Embedding, tanh recurrence, dropout, tied output; ``net(x, h) -> (logits, h)``, time first."""

    def __init__(self, drop: float = 0.3) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, HIDDEN)
        self.recur = nn.Linear(HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, VOCABULARY)
        self.out.weight = self.embed.weight
        self.drop = drop

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for inputs in self.embed(x):
            h = torch.tanh(inputs + self.recur(h))
            outputs.append(h)
        return self.out(dropout(torch.stack(outputs), self.drop, self.training)), h


class ToyBatches:
    """B cursors in one cyclic text of random tokens; yields ``(x, y)`` of shape (T, B / world)."""

    def __init__(self, workers: Workers, windows_per_epoch: int = 10) -> None:
        generator = torch.Generator().manual_seed(5)
        self.windows_per_epoch = windows_per_epoch
        length = windows_per_epoch * WINDOW
        text = torch.randint(VOCABULARY, (length + 1, BATCH), generator=generator)
        self.text = workers.share(text, 1)
        self.window = 0

    @property
    def epoch(self) -> float:
        return self.window / self.windows_per_epoch

    def __iter__(self) -> ToyBatches:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        start = self.window % self.windows_per_epoch * WINDOW
        self.window += 1
        return self.text[start : start + WINDOW], self.text[start + 1 : start + WINDOW + 1]

    def state_dict(self) -> dict[str, int]:
        return {"window": self.window}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.window = state["window"]


class ToyCarry:
    """Carries h from window to window, and the last inputs, batch first and second."""

    def __init__(self, net: nn.Module, rows: int) -> None:
        self.net = net
        self.h = torch.zeros(rows, HIDDEN, dtype=torch.get_default_dtype())
        self.x = torch.zeros(WINDOW, rows, dtype=torch.int64)

    def backward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.x, y = batch
        logits, h = self.net(self.x, self.h)
        loss = cross_entropy(logits.flatten(0, 1), y.flatten())
        loss.backward()
        self.h = h.detach()
        return loss.detach()

    def state_dict(self) -> dict[str, Tensor]:
        return {"state.0": self.h, "history.x": self.x, "history.flag": self.x > 3}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.h, self.x = state["state.0"], state["history.x"]
        assert torch.equal(state["history.flag"], self.x > 3)


def toy_run(
    folder: Path,
    settings: TrainSettings,
    *,
    resume: bool | str = False,
    drop: float = 0.3,
    pause: float = 0.0,
    workers: Workers | None = None,
    spoil: int | None = None,
    **options: object,
) -> tuple[Result, ToyNet]:
    """One run on the toy data; ``spoil`` puts NaN into a gradient at that call of backward."""
    workers = workers or Workers()
    torch.manual_seed(1)
    net = ToyNet(drop)
    batches = ToyBatches(workers)
    carry = ToyCarry(workers.wrap(net), workers.rows(BATCH))
    calls = 0

    def backward(batch: tuple[Tensor, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        time.sleep(pause)
        loss = carry.backward(batch)
        if calls == spoil:
            net.recur.weight.grad[1, 2] = float("nan")
        return loss

    def evaluate() -> dict[str, float]:
        torch.rand(3)
        assert not net.training and not torch.is_grad_enabled()
        logits, _ = net(torch.arange(VOCABULARY).unsqueeze(1), torch.zeros(1, HIDDEN, dtype=torch.get_default_dtype()))
        loss = cross_entropy(logits.flatten(0, 1), torch.arange(VOCABULARY)).item()
        return {"loss": loss, "perplexity": torch.tensor(loss).exp().item()}

    result = train(
        net,
        batches,
        backward,
        evaluate,
        settings,
        folder,
        tokens=lambda batch: batch[1].numel(),
        carried={"carry": carry},
        resume=resume,
        workers=workers,
        **{"silent": True, **options},
    )
    return result, net


def environment() -> dict[str, str]:
    """For a process of its own, which is to use one thread."""
    return {**os.environ, "PYTHONPATH": str(Path(elman.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def wait_for_checkpoint(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the run of ``process`` has saved ``step`` or a later one."""
    while max(RunFolder(folder).steps(), default=-1) < step:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.005)


def main() -> None:
    folder, *pairs = sys.argv[1:]
    options = {}
    for pair in pairs:
        key, value = pair.split("=", 1)
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, options.pop("dtype", "float32")))
    known = {name: options.pop(name) for name in ("resume", "drop", "pause", "silent") if name in options}
    with join("cpu") as workers:
        result, _ = toy_run(Path(folder), TrainSettings(**options), workers=workers, **known)
    if workers.first:
        print(result.sentence)


if __name__ == "__main__":
    main()
