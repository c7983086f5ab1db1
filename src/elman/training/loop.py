"""The training loop: step, evaluate, save, stop; for any model, any batches and any loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Tensor, nn

from ..errors import UserError
from .averaging import Average
from .checkpoint import checkpoint_name, read_checkpoint
from .curves import draw_curves
from .distributed import Workers
from .interrupt import Interrupt
from .metrics import MetricsLog
from .optimizer import build_optimizer, clip_gradients, gradient_norm
from .progress import Display, perplexity
from .randomness import undisturbed
from .run_folder import RunFolder
from .schedule import Schedule
from .sentry import NotFiniteError, find_not_finite, spoilt_parameter
from .settings import TrainSettings
from .snapshot import Batches, Carried, Position, Snapshot

SECONDS_BETWEEN_PICTURES = 60.0

StoppedBy = Literal["steps", "epochs", "minutes", "patience", "interrupted"]


@dataclass(frozen=True)
class Result:
    """How a run ended: by what, after how much, with which metrics, and where its checkpoints are.

    ``metrics`` is the last record of ``metrics.jsonl``, ``best_metrics`` what ``evaluate`` gave at ``best_step``;
    ``best`` and ``last`` are checkpoint folders (the same until there was an evaluation). ``seconds`` counts all
    resumes.
    """

    stopped_by: StoppedBy
    steps: int
    epochs: float
    seconds: float
    metrics: dict[str, Any]
    best_step: int | None
    best_metrics: dict[str, float]
    best: Path
    last: Path

    @property
    def sentence(self) -> str:
        """The end of the run in words, and after Ctrl-C how to go on."""
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        done = f"after {steps} ({self.epochs:.2f} epochs, {self.seconds:.0f} s of training)"
        if self.stopped_by == "interrupted":
            return f"interrupted {done}; saved as {self.last}; go on with --resume"
        why = {"patience": "nothing better in as many evaluations as patience allows"}
        return f"stopped {done}: {why.get(self.stopped_by, f'the budget of {self.stopped_by} is used up')}"


def train(
    model: nn.Module,
    batches: Batches,
    backward: Callable[[Any], Tensor],
    evaluate: Callable[[], dict[str, float]],
    settings: TrainSettings,
    run: RunFolder | str | Path,
    *,
    tokens: Callable[[Any], int],
    share: Callable[[Any], float] | None = None,
    carried: Mapping[str, Carried] | None = None,
    resume: bool | str = False,
    judge: Callable[[Mapping[str, float]], Any] = itemgetter("loss"),
    counted: str = "tokens",
    workers: Workers | None = None,
    console: Console | None = None,
    silent: bool = False,
    picture: bool = True,
) -> Result:
    """Train ``model`` until the budget of ``settings`` is used up, in a run folder that can be resumed bit for bit.

    ``batches`` yields batches without end. ``backward(batch)`` returns the mean loss of the batch and leaves gradients
    in ``.grad``; ``tokens(batch)`` says over how many targets that mean is, and ``counted`` what they are called.
    ``share(batch)``, where given, is what the learning rate of its update is multiplied by. ``evaluate()`` returns
    numbers about the validation data, among them ``"loss"``; it is called in evaluation mode without gradients, and
    random numbers it draws are given back. The lowest ``judge`` of these numbers is the best, for plateau and early
    stop too: the loss unless given; a tuple compares by its first difference. ``carried`` names the objects whose
    tensors live from step to step. ``resume`` is True for the last checkpoint or names one (``"best"``, ``"1200"``).

    With several ``workers`` every process calls this with its own rows, ``backward`` going through
    ``workers.wrap(model)``; what rank 0's ``evaluate`` returns counts, and only rank 0 writes. The random numbers of
    PyTorch are seeded with ``settings.seed`` plus the rank; ``model`` ends with the last weights, :func:`load_weights`
    brings the best. Where ``settings`` average the weights, evaluations and checkpoints have the mean. ``picture`` says
    whether the curves are drawn.

    Raises:
        UserError: the folder already holds a run, cannot be written, or the checkpoint does not fit or is damaged.
        NotFiniteError: the loss, a gradient or a parameter became NaN or infinite; the last checkpoint is sound.

    >>> import itertools, tempfile
    >>> class Ones(itertools.repeat):
    ...     epoch, windows_per_epoch = 0.0, 10
    ...     def state_dict(self): return {}
    ...     def load_state_dict(self, state): pass
    >>> model = nn.Linear(1, 1)
    >>> def loss(): return (model(torch.ones(1)) - 2.0).square().sum()
    >>> def backward(batch):
    ...     value = loss()
    ...     value.backward()
    ...     return value
    >>> settings = TrainSettings(steps=200, learning_rate=0.1)
    >>> result = train(model, Ones(1), backward, lambda: {"loss": loss().item()}, settings, tempfile.mkdtemp(),
    ...                tokens=lambda batch: 1, silent=True)
    >>> result.stopped_by, result.steps, result.best_metrics["loss"] < 1e-3
    ('steps', 200, True)
    """
    workers = workers or Workers()
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    optimizer = build_optimizer(model, settings)
    schedule = Schedule(settings)
    average = Average(model, settings.average_after)
    snapshot = Snapshot(model, optimizer, schedule, batches, carried or {}, workers, average)
    torch.manual_seed(settings.seed + workers.rank)
    position = _resume(run, snapshot, "last" if resume is True else resume) if resume else _start(run, workers)
    steps_per_epoch = batches.windows_per_epoch
    evaluate_every = settings.evaluation_interval(steps_per_epoch)
    saved: int | None = position.step if resume else None
    started, seconds_before = time.monotonic(), position.seconds
    drawn = interval_started = started
    interval_tokens = 0.0

    def save() -> None:
        nonlocal saved
        if saved == position.step:
            return
        with average.shown():
            spoilt = spoilt_parameter(model)
            if spoilt:
                raise NotFiniteError(position.step, *spoilt, _advice(run, settings))
            contents = snapshot.take(position)
            if workers.first:
                run.save(position.step, *contents, best=position.best_step, keep=settings.keep)
        saved = position.step

    with (
        Interrupt(patient=workers.world > 1) as interrupt,
        Display(console, silent or not workers.first, counted) as display,
    ):
        log = MetricsLog(run.path, position.step) if workers.first else None
        record = log.records[-1] if log and log.records else {}
        save()
        while not (stopped_by := _finished(position, settings, steps_per_epoch)):
            progress = _progress(position, settings, steps_per_epoch)
            rate = schedule.rate(position.step, progress, batches.epoch)
            batch = next(batches)
            for group in optimizer.param_groups:
                group["lr"] = rate if share is None else rate * share(batch)
            model.train()
            optimizer.zero_grad(set_to_none=True)
            loss = backward(batch).detach()
            norm = gradient_norm(model)

            # One look at the device for both, and one message between the processes for all they have to agree on.
            local_loss, local_norm = torch.stack((loss.double(), norm.double().to(loss.device))).tolist()
            sound = math.isfinite(local_loss) and math.isfinite(local_norm)
            count = tokens(batch)
            mine = [local_loss * count, local_norm] if sound else [0.0, 0.0]
            clock = seconds_before + time.monotonic() - started if workers.first else 0.0
            loss_sum, norm_sum, weight, bad, stop, position.seconds = workers.total(
                [*mine, count, not sound, interrupt.requested, clock]
            )
            if bad:
                raise NotFiniteError(position.step + 1, *find_not_finite(model, local_loss), _advice(run, settings))
            if not math.isclose(norm_sum, workers.world * local_norm, rel_tol=1e-4):
                raise RuntimeError("the processes have different gradients; backward must call workers.wrap(model)")
            clip_gradients(model, settings, norm)
            optimizer.step()
            average.update()

            position.step += 1
            position.loss_sum += loss_sum
            position.tokens += weight
            position.norm_sum += local_norm
            position.norms += 1
            interval_tokens += weight
            speed = interval_tokens / (time.monotonic() - interval_started)
            display.stepped(position.step, batches.epoch, progress, position.loss_sum / position.tokens, speed)

            ended = _finished(position, settings, steps_per_epoch) is not None
            judged = ended or position.step % evaluate_every == 0
            if judged or settings.looks(position.step, steps_per_epoch):
                with average.shown():
                    record, metrics = _evaluate(model, evaluate, position, workers)
                if judged:
                    _note(metrics, judge, schedule, position)
                    average.observe(position.stale)
                record |= {"epoch": batches.epoch, "learning_rate": rate}
                record |= {"seconds": round(position.seconds, 3), f"{counted}_per_second": round(speed, 1)}
                if judged and not math.isfinite(record["valid_loss"]):
                    culprit = spoilt_parameter(model) or ("the validation loss", str(record["valid_loss"]))
                    raise NotFiniteError(position.step, *culprit, _advice(run, settings))
                if log:
                    log.append(record)
                if judged:
                    display.evaluated(record)
                    save()
                if log and picture and time.monotonic() - drawn > SECONDS_BETWEEN_PICTURES:
                    draw_curves(log.records, run.curves, position.best_step)
                    drawn = time.monotonic()
                interval_started, interval_tokens = time.monotonic(), 0.0
            if settings.checkpoint_every and position.step % settings.checkpoint_every == 0:
                save()
            # After the evaluation that is due at this step: a resumed run would not make it up.
            if stop and not ended:
                save()
                stopped_by = "interrupted"
                break

        if log:
            if picture:
                draw_curves(log.records, run.curves, position.best_step)
            log.close()
    # The others must not read the last checkpoint before rank 0 has written it.
    workers.wait()
    last = run.checkpoints / checkpoint_name(position.step)
    return Result(
        stopped_by=stopped_by,
        steps=position.step,
        epochs=batches.epoch,
        seconds=position.seconds,
        metrics=dict(record),
        best_step=position.best_step,
        best_metrics=dict(position.best),
        best=last if position.best_step is None else run.checkpoints / checkpoint_name(position.best_step),
        last=last,
    )


def _start(run: RunFolder, workers: Workers) -> Position:
    if workers.first:
        steps = run.steps()
        if steps:
            raise UserError(f"{run.path} already holds a run of {steps[-1]} steps; resume it or choose another folder")
        run.create()
    workers.wait()
    return Position()


def _resume(run: RunFolder, snapshot: Snapshot, which: str) -> Position:
    position = snapshot.restore(read_checkpoint(run.checkpoint(which)))
    if position.best_step is not None and position.best_step not in run.steps():
        position.best_step, position.best = None, {}
    snapshot.workers.wait()
    if snapshot.workers.first:
        run.create()
        run.point_best(position.best_step)
    return position


def _progress(position: Position, settings: TrainSettings, steps_per_epoch: int) -> float:
    """The part of the budget that is used up: of steps or time, whichever is further."""
    steps = settings.step_limit(steps_per_epoch)
    by_steps = 0.0 if steps is None else position.step / steps
    by_time = 0.0 if settings.minutes is None else position.seconds / (60 * settings.minutes)
    return max(by_steps, by_time)


def _finished(position: Position, settings: TrainSettings, steps_per_epoch: int) -> StoppedBy | None:
    """What ends the run at this position, if anything."""
    steps = settings.step_limit(steps_per_epoch)
    if steps is not None and position.step >= steps:
        return "steps" if settings.steps == steps else "epochs"
    if settings.minutes is not None and position.seconds >= 60 * settings.minutes:
        return "minutes"
    if settings.patience is not None and position.stale >= settings.patience:
        return "patience"
    return None


def _evaluate(
    model: nn.Module, evaluate: Callable[[], dict[str, float]], position: Position, workers: Workers
) -> tuple[dict[str, Any], dict[str, float]]:
    """One evaluation: the record for the metrics, and what was found; the sums start anew."""
    with undisturbed(workers.device), torch.no_grad():
        model.eval()
        found = {name: float(value) for name, value in evaluate().items()}
        model.train()
    metrics = dict(zip(found, workers.from_first(list(found.values())), strict=True))
    train_loss = position.loss_sum / position.tokens
    record: dict[str, Any] = {"step": position.step, "train_loss": train_loss}
    if "perplexity" in metrics:
        record["train_perplexity"] = perplexity(train_loss)
    record |= {f"valid_{name}": value for name, value in metrics.items()}
    record["gradient_norm"] = position.norm_sum / position.norms
    position.loss_sum = position.tokens = position.norm_sum = 0.0
    position.norms = 0
    return record, metrics


def _note(
    metrics: dict[str, float], judge: Callable[[Mapping[str, float]], Any], schedule: Schedule, position: Position
) -> None:
    """Best, plateau and early stop take note of an evaluation."""
    improved = not position.best or judge(metrics) < judge(position.best)
    if improved:
        position.best_step, position.best = position.step, metrics
    position.stale = 0 if improved else position.stale + 1
    schedule.observe(improved)


def _advice(run: RunFolder, settings: TrainSettings) -> str:
    steps = run.steps()
    kept = f"; the last good checkpoint is {run.checkpoint('last')}" if steps else ""
    return f"{kept}; try a lower learning_rate (now {settings.learning_rate:g}) or a lower clip (now {settings.clip})"
