"""What the estimators of all jobs but the language model share: fit with early stopping, runs, save and load."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from ..data import Batches
from ..errors import UserError
from ..training import Result, RunFolder, Workers, distinct_tensors, load_weights, train
from ..training.files import replace_file
from .estimator import Estimator, options_of, settings_from
from .runs import (
    DIGEST,
    cell_names,
    check_resumable,
    device_at_hand,
    device_named,
    digest_of,
    new_run_folder,
    read_settings,
    write_settings,
)
from .settings import CellSettings, DataSettings, MachineSettings, TrainSettings
from .sources import is_path

LEARNED = "learned.json"  # what a model knows beside its weights, in the run folder
BatchT = TypeVar("BatchT", bound=tuple[Any, ...])
NetT = TypeVar("NetT", bound=nn.Module)


@dataclass(frozen=True)
class Lesson:
    """What one job gives the shared ``fit``: its net, its batches, and how both are judged.

    ``loss(batch)`` is the mean loss of a batch over ``count(batch)`` targets, which ``counted`` names in the plural.
    ``evaluate()`` gives numbers about the validation data, ``"loss"`` among them; the lowest ``judge`` of them is the
    best. A batch is a tuple whose tensors are moved to the net's device and type. ``about`` are the lines that tell a
    user what will be trained on what.
    """

    net: nn.Module
    batches: Batches[Any]
    loss: Callable[[Any], Tensor]
    count: Callable[[Any], int]
    evaluate: Callable[[], dict[str, float]]
    about: Mapping[str, str]
    judge: Callable[[Mapping[str, float]], Any] = itemgetter("loss")
    counted: str = "examples"


class SequenceEstimator(Estimator):
    """Base of the jobs' estimators. A job names ``task`` and ``settings_class`` and writes five methods:

    ``fit`` (checks its data and calls ``_train``), ``_learned`` and ``_relearn`` (what it knows beside the weights, as
    JSON values, and from these back), ``_build`` (the net of ``settings_`` and what was learned), ``evaluate``. Its
    settings have groups ``net`` (a ``CellSettings``), ``machine`` and ``training``. For the command line it writes
    ``show`` and ``predictions``.

    After ``fit`` or ``load``: ``net`` (with the best weights), ``settings_`` (the options it was trained with), after
    ``fit`` also ``result``, and ``run``, the run folder, where there is one.
    """

    task: ClassVar[str]
    net: nn.Module
    settings_: Any
    result: Result
    run: RunFolder
    _kept: Any
    _kept_in_file: bool = False
    _digest: str | None = None

    # What a job writes

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        run: str | Path | None = None,
        resume: bool = False,
        console: Console | None = None,
        quiet: bool = True,
    ) -> Self:
        """Trains on X and y, or on the file of the option ``data`` where X is None."""
        raise NotImplementedError

    def evaluate(self, X: Any = None, y: Any = None) -> dict[str, Any]:
        """How good it is on X and y, on a file, or on what was kept for validation where X is None."""
        raise NotImplementedError

    def show(self, result: dict[str, Any], folder: Path | None) -> str:
        """What ``evaluate`` gave, as plain lines; its picture goes to ``folder`` where one is given."""
        raise NotImplementedError

    def predictions(self, sources: list[str], top: int) -> Iterator[tuple[dict[str, Any], str]]:
        """For every example of the sources of ``elman predict`` (files, or examples as text): a record of plain values
        for ``--json``, and the line shown without it; ``top`` is how many answers of each are wanted.
        """
        raise NotImplementedError

    def _learned(self) -> dict[str, Any]:
        raise NotImplementedError

    def _relearn(self, learned: dict[str, Any]) -> None:
        raise NotImplementedError

    def _build(self) -> nn.Module:
        raise NotImplementedError

    def _read_kept(self) -> Any:
        raise NotImplementedError

    # What all share

    def settings(self) -> Any:
        """The options, checked and frozen; raises ``UserError`` for values that cannot be."""
        return settings_from(self.settings_class, self.get_params())

    def save(self, folder: str | Path) -> None:
        """Writes the model to a folder that ``load`` reads, in a run folder's layout.

        Raises ``UserError`` where the folder holds a run already, and before ``fit``.
        """
        self._require_net()
        run = RunFolder(folder)
        if run.steps():
            raise UserError(f"{run.path} holds a model already; choose another folder")
        self._open_run(run)
        run.save(0, distinct_tensors(self.net), {}, {"step": 0}, best=0, keep=1)

    @classmethod
    def load(cls, folder: str | Path, checkpoint: str = "best") -> Self:
        """The model of a run folder, with its best weights, or those of the checkpoint named ("last", a step).

        Raises ``UserError`` where there is no run of this job, or it is damaged.
        """
        run = RunFolder(folder)
        settings: Any = read_settings(run, cls.task, cls.settings_class, f"a {cls.__name__.lower()}")
        model = cls(**options_of(settings))
        model.settings_, model.run = settings, run
        learned = _read_learned(run)
        model._kept_in_file, model._digest = bool(learned.get("validation_in_file")), learned.get(DIGEST)
        model._relearn(learned)
        net = model._build().to(getattr(torch, settings.machine.dtype))
        load_weights(net, run.checkpoint(checkpoint))
        model.net = net.to(device_at_hand(settings.machine.device)).eval()
        return model

    @classmethod
    def load_settings(cls, run: RunFolder) -> Any:
        """The settings a run was trained with."""
        return read_settings(run, cls.task, cls.settings_class, f"a {cls.__name__.lower()}")

    def __sklearn_tags__(self) -> Any:
        tags = importlib.import_module("sklearn.utils")
        inputs = tags.InputTags(string=True, three_d_array=True)
        return tags.Tags(estimator_type=None, target_tags=tags.TargetTags(required=False), input_tags=inputs)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net")

    def _begin(self, options: Mapping[str, Any]) -> Any:
        """The first thing a ``fit`` does: options to ``settings_``, threads and random numbers set.

        What an earlier ``fit`` left is no model from here on: its labels and vocabulary are about to change.
        """
        settings: Any = settings_from(self.settings_class, options)
        device_named(settings.machine.device)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError(f"{type(self).__name__} trains in one process; start it without torchrun")
        if settings.machine.threads is not None:
            torch.set_num_threads(settings.machine.threads)
        torch.manual_seed(settings.training.seed)
        for left in ("net", "result", "_kept", "_digest"):
            self.__dict__.pop(left, None)
        self.settings_ = settings
        return settings

    def _begin_with(self, X: Any, valid: Any) -> Any:
        """``_begin`` with the files that ``fit`` was given in place of those of the options."""
        given = {name: str(each) for name, each in (("data", X), ("valid", valid)) if is_path(each)}
        data, judge = ({**self.get_params(), **given}.get(name) for name in ("data", "valid"))
        if data is not None and judge is not None and Path(data).absolute() == Path(judge).absolute():
            raise UserError(f"valid is {judge}, which is learned from; name another file, or leave valid out")
        self._kept_in_file = all(part is None or is_path(part) for part in (X, valid))
        return self._begin({**self.get_params(), **given})

    def _validation_part(self) -> Any:
        """What ``fit`` kept for validation; of a model that was loaded, read again from its file."""
        if not hasattr(self, "_kept"):
            if not self._kept_in_file:
                raise UserError("what was kept for validation is in no file; name data to evaluate on")
            if self._digest != digest_of(self._files()):
                raise UserError(
                    f"{' or '.join(self._files())} has changed since training: what was kept for validation can no "
                    "longer be told from what was learned; name data to evaluate on"
                )
            self._kept = self._read_kept()
        return self._kept

    def _train(
        self, lesson: Lesson, *, run: str | Path | None, resume: bool, console: Console | None, quiet: bool
    ) -> None:
        """Trains ``lesson.net``, made by ``_build``, in a run folder (one that is not kept where ``run`` is None)."""
        settings = self.settings_
        machine: MachineSettings = settings.machine
        training: TrainSettings = settings.training
        console = console or Console(quiet=quiet)
        if resume and run is None:
            raise UserError("resume=True goes on with a run folder; name it with run=")
        # Set before anything can stop the run, for whoever has to say how to go on with it.
        self.__dict__.pop("run", None)
        device = torch.device(device_named(machine.device))
        net = lesson.net.to(device, getattr(torch, machine.dtype))
        like = next(net.parameters())

        def backward(batch: Any) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=machine.precision == "bf16"):
                loss = lesson.loss(moved(batch, like))
            loss.backward()
            return loss

        # Two examples first, so that a cell that cannot run says so before anything is written.
        with judging(net):
            lesson.loss(moved(lesson.batches.collate(np.arange(min(2, len(lesson.batches.lengths)))), like))
        with nullcontext(run) if run is not None else tempfile.TemporaryDirectory(prefix="elman-") as path:
            folder = RunFolder(path)
            if run is not None:
                self.run = folder
            if resume:
                check_resumable(folder, self.load_settings(folder), settings)
                self._check_learned(folder)
            else:
                self._open_run(folder)
            if not quiet:
                console.print(self._summary(lesson, folder if run is not None else None), highlight=False, markup=False)
            self.result = train(
                net,
                lesson.batches,
                backward,
                lesson.evaluate,
                training,
                folder,
                tokens=lesson.count,
                resume=resume,
                judge=lesson.judge,
                counted=lesson.counted,
                workers=Workers(device=device),
                console=console,
                silent=quiet,
                picture=run is not None,
            )
            load_weights(net, self.result.best)
        self.net = net.eval()

    def _open_run(self, folder: RunFolder) -> None:
        net: CellSettings = self.settings_.net
        write_settings(folder, self.task, self.settings_, net.cells)
        replace_file(folder.path / LEARNED, (json.dumps(self._known(), ensure_ascii=False) + "\n").encode())

    def _check_learned(self, folder: RunFolder) -> None:
        if _read_learned(folder) != json.loads(json.dumps(self._known())):
            raise UserError(
                f"the data has changed since {folder.path} was trained; resume with the data as it was, or start a new "
                "run"
            )

    def _known(self) -> dict[str, Any]:
        """All that is kept beside settings and weights."""
        if self._digest is None and self._kept_in_file:
            self._digest = digest_of(self._files())
        return self._learned() | {"validation_in_file": self._kept_in_file, DIGEST: self._digest}

    def _files(self) -> tuple[str, ...]:
        """The files that examples are read from."""
        groups = [getattr(self.settings_, each.name) for each in dataclasses.fields(self.settings_)]
        return next((group.files for group in groups if isinstance(group, DataSettings)), ())

    def _summary(self, lesson: Lesson, folder: RunFolder | None) -> str:
        weights = sum(parameter.numel() for parameter in lesson.net.parameters())
        lines = {**lesson.about, "network": f"{cell_names(self.settings_.net.cells, ' + ')}, {weights:,} weights"}
        if folder is not None:
            lines["run"] = str(folder.path)
        return "\n".join(f"{name:<9} {line}" for name, line in lines.items())

    def _require_net(self) -> None:
        if not hasattr(self, "net"):
            name = type(self).__name__
            raise UserError(f"this {name} has not been trained; call fit(), or {name}.load(folder)")


def default_run(task: str, settings: Any) -> Path:
    """Where a run of the command line goes unless told: runs/TASK-CELL-N."""
    return new_run_folder(f"{task}-{cell_names(settings.net.cells, '-').lower()}")


def moved(batch: BatchT, like: Tensor) -> BatchT:
    """A batch with its tensors on the device of ``like``, those of floating numbers in its type too."""
    parts: Iterable[Any] = (
        part.to(like.device, like.dtype if part.is_floating_point() else None) if isinstance(part, Tensor) else part
        for part in batch
    )
    make = getattr(type(batch), "_make", type(batch))
    return make(parts)


@contextmanager
def judging(net: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients while the block runs; gives the net's device."""
    mode = net.training
    net.eval()
    try:
        with torch.no_grad():
            yield next(net.parameters()).device
    finally:
        net.train(mode)


def built(make: Callable[..., NetT], net: CellSettings, *sizes: Any, **options: Any) -> NetT:
    """``make(*sizes, cell, hidden_size, num_layers, ..., **cell_args)``: a net whose cells the settings name.

    Raises ``UserError`` for options that its cells do not take.
    """
    try:
        return make(
            *sizes,
            net.cell if isinstance(net.cell, str) else list(net.cell),
            net.hidden_size if isinstance(net.hidden_size, int) else list(net.hidden_size),
            net.num_layers,
            dropout=net.dropout,
            init=net.init,
            **options,
            **net.cell_args,
        )
    except TypeError as error:
        if not net.cell_args:
            raise
        raise UserError(f"the cell cannot be made with cell_args={net.cell_args!r}: {error}") from error


def _read_learned(run: RunFolder) -> dict[str, Any]:
    path = run.path / LEARNED
    try:
        learned = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; restore the file or train again") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore the file or train again") from error
    if not isinstance(learned, dict):
        raise UserError(f"{path} holds no JSON object; restore the file or train again")
    return learned
