"""Who computes a problem: Elman, and its peers. Each is made for one problem and then called again and again."""

from __future__ import annotations

import importlib
import time
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..cells import LSTM
from ..engine import scan
from .cases import FORWARD, RAGGED, STREAM, TRAIN, Case, Problem


class Peer:
    """One way to compute a problem, made once and called again and again.

    ``forward`` and ``train`` are what is timed; ``read`` turns what either returned into tensors by name: the output
    "y" and, after ``train``, the gradients of "x" and of the cell's parameters.
    """

    kinds: ClassVar[tuple[str, ...]] = (TRAIN, FORWARD)

    @classmethod
    def refuses(cls, case: Case) -> str:
        """Why it has nothing for this case; empty where it has."""
        return "" if case.kind in cls.kinds else f"nothing for {case.kind}"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def forward(self) -> Any:
        raise NotImplementedError

    def train(self) -> Any:
        raise NotImplementedError

    def read(self, made: Any) -> dict[str, Tensor]:
        raise NotImplementedError

    def results(self) -> dict[str, Tensor]:
        """What one call makes."""
        return self.read(self.train() if self.problem.case.trains else self.forward())

    def seconds(self, calls: int) -> float:
        """How long so many calls take."""
        call = self.train if self.problem.case.trains else self.forward
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - begin

    def close(self) -> None:
        """Ends what the peer has started."""


class TorchPeer(Peer):
    """A peer on PyTorch: subclasses give ``call`` and the parameters they compute with, by name."""

    parameters: dict[str, Tensor]

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.x = problem.x.clone().requires_grad_(problem.case.trains)
        self.output_gradient = problem.output_gradient
        self.parameters = {name: each.detach().requires_grad_() for name, each in problem.cell.named_parameters()}

    def call(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self) -> Any:
        with torch.no_grad(), self.problem.autocast():
            return (self.call(self.x),)

    def train(self) -> Any:
        with self.problem.autocast():
            y = self.call(self.x)
        if y.dtype != self.output_gradient.dtype:
            self.output_gradient = self.output_gradient.to(y.dtype)
        return y, *torch.autograd.grad(y, [self.x, *self.parameters.values()], self.output_gradient)

    def read(self, made: Any) -> dict[str, Tensor]:
        return dict(zip(["y", "x", *self.parameters], made, strict=False))


class Ours(TorchPeer):
    """``elman.scan`` by the fastest backend there is."""

    kinds = (TRAIN, FORWARD, RAGGED)
    backend = "auto"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.parameters = dict(problem.cell.named_parameters())

    def call(self, x: Tensor) -> Tensor:
        y: Tensor = scan(self.problem.cell, x, lengths=self.problem.lengths, backend=self.backend)[0]
        return y


class Eager(Ours):
    """The same cell's loop in Python, the input projection of all steps done as one product."""

    backend = "eager"


class TorchModule(TorchPeer):
    """``torch.nn``'s module of the name; packs sequences where they are ragged."""

    kinds: ClassVar[tuple[str, ...]] = (TRAIN, FORWARD, RAGGED)
    MODULES: ClassVar[dict[str, Any]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

    @classmethod
    def refuses(cls, case: Case) -> str:
        return super().refuses(case) or ("" if case.cell in cls.MODULES else "no such module")

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        hidden = problem.case.shape.hidden
        self.module = self.MODULES[problem.case.cell](hidden, hidden).to(problem.x.dtype)
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(self.parameters[name.removesuffix("_l0")])
        self.parameters = {name.removesuffix("_l0"): each for name, each in self.module.named_parameters()}

    def call(self, x: Tensor) -> Tensor:
        lengths = self.problem.lengths
        if lengths is None:
            whole: Tensor = self.module(x)[0]
            return whole
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y: Tensor = pad_packed_sequence(self.module(packed)[0], total_length=len(x))[0]
        return y


class TorchModuleFloat32(TorchModule):
    """The same in float32 where everybody else runs in bfloat16."""

    @classmethod
    def refuses(cls, case: Case) -> str:
        return super().refuses(case) or ("" if case.dtype == "bf16" else "for bf16 rows only")

    def forward(self) -> Any:
        with torch.no_grad():
            return (self.call(self.x),)

    def train(self) -> Any:
        y = self.call(self.x)
        return y, *torch.autograd.grad(y, [self.x, *self.parameters.values()], self.output_gradient)


class TorchRecurrent(TorchPeer):
    """``torchrecurrent``'s layer where it computes the same. Its SCRN is a cell with more weights, and left out."""

    LAYERS = {"peepholelstm": "PeepholeLSTM", "mgu": "MGU"}
    JOINED = {"weight_ph": ("weight_ci", "weight_cf", "weight_co")}
    """Its parameters that are several of ours, one below the other."""

    @classmethod
    def refuses(cls, case: Case) -> str:
        return super().refuses(case) or ("" if case.cell in cls.LAYERS else "no such cell")

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        hidden = problem.case.shape.hidden
        layers = importlib.import_module("torchrecurrent")
        self.module = getattr(layers, self.LAYERS[problem.case.cell])(hidden, hidden).to(problem.x.dtype)
        theirs = dict(self.module.cells[0].named_parameters())
        with torch.no_grad():
            for name, parameter in theirs.items():
                parameter.copy_(torch.cat([self.parameters[part] for part in self.JOINED.get(name, (name,))]))
        self.parameters = theirs

    def call(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x)[0]
        return y

    def read(self, made: Any) -> dict[str, Tensor]:
        tensors = super().read(made)
        for name, parts in self.JOINED.items():
            if name in tensors:
                tensors |= dict(zip(parts, tensors.pop(name).chunk(len(parts)), strict=True))
        return tensors


class OneStepAtATime(TorchPeer):
    """A sequence that comes step by step: ``call`` takes x (T, 1, I) apart and carries the state itself."""

    kinds = (STREAM,)

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.steps = list(problem.x)

    def step_by_step(self) -> list[Tensor]:
        raise NotImplementedError

    def forward(self) -> Any:
        with torch.no_grad(), self.problem.autocast():
            return self.step_by_step()

    def read(self, made: Any) -> dict[str, Tensor]:
        return {"y": torch.stack(list(made))}


class OurStream(OneStepAtATime):
    """``elman.Stream``."""

    @classmethod
    def refuses(cls, case: Case) -> str:
        return super().refuses(case) or ("" if hasattr(_elman(), "Stream") else "elman.Stream does not exist yet")

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.stream = _elman().Stream(problem.cell, batch_size=problem.case.shape.batch)

    def step_by_step(self) -> list[Tensor]:
        self.stream.reset()
        return [self.stream(x) for x in self.steps]


class TorchCell(OneStepAtATime):
    """``torch.nn.LSTMCell``, called for every step."""

    @classmethod
    def refuses(cls, case: Case) -> str:
        return super().refuses(case) or ("" if case.cell == "lstm" else "no such module")

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        cell = problem.cell
        assert isinstance(cell, LSTM)
        self.module = nn.LSTMCell(cell.input_size, cell.hidden_size).to(problem.x.dtype)
        self.module.load_state_dict(cell.state_dict())

    def step_by_step(self) -> list[Tensor]:
        outputs, state = [], None
        for x in self.steps:
            state = self.module(x, state)
            outputs.append(state[0])
        return outputs


class TorchModuleSteps(TorchModule):
    """``torch.nn``'s module, called for a sequence of one step at every step."""

    kinds = (STREAM,)

    def forward(self) -> Any:
        outputs, state = [], None
        with torch.no_grad(), self.problem.autocast():
            for x in self.x.split(1):
                y, state = self.module(x, state)
                outputs.append(y)
        return outputs

    def read(self, made: Any) -> dict[str, Tensor]:
        return {"y": torch.cat(made)}


def _elman() -> Any:
    """The package itself, which may or may not have a name yet."""
    return importlib.import_module(__name__.partition(".")[0])
