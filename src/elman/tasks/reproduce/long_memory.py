"""The long-memory experiment: which cells bridge how many steps, and the gradients that say why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from ...cell import Cell
from ...data.long_memory import PROBLEMS, LongMemory, Sequences
from ...diagnostics.gradient_flow import SMALLEST, GradientFlow, draw_norms, end_at_float32, gradient_flow
from ...errors import UserError, nearest
from ...layers import Recurrent
from ...training import NotFiniteError, RunFolder, TrainSettings, check_types, load_weights, read_metrics, train
from ...training.files import replace_file

BRIDGED, SOLVED = 0.06, 0.006
"""A net bridges the steps where its loss is below 6 % of chance's (0.01 for adding); at a tenth of it training ends."""

RESULT = "result.json"
VALID_SEED, TEST_SEED = 10**9, 2 * 10**9  # apart from any seed a person gives
TEST_BATCHES, FLOW_ROWS = 40, 20  # of 50 sequences, the error of guessing is then known to 3 %


@dataclass(frozen=True)
class Contender:
    """One cell of the comparison, with the learning rate that suits it and how its gates start."""

    name: str
    about: str
    learning_rate: float
    chrono: dict[str, int] = field(default_factory=dict)
    """Gates that start with time scales up to T, see ``start_chrono``."""


CONTENDERS = (
    Contender("rnn", "RNN (tanh)", 1e-3),
    Contender("irnn", "IRNN", 1e-3),
    Contender("scrn", "SCRN (alpha 0.95)", 4e-3),
    Contender("lstm", "LSTM, chrono start", 4e-3, {"f": 1, "i": -1}),
    Contender("gru", "GRU, chrono start", 4e-3, {"z": 1}),
    Contender("lem", "LEM", 4e-3),
)


@dataclass(frozen=True)
class MemorySettings:
    """One run of the experiment; every value is checked when the object is made."""

    cell: str
    problem: Literal["adding", "copy", "order"] = "adding"
    time: int = 1000
    steps: int = 10_000
    minutes: float | None = 45.0
    hidden_size: int = 64
    batch_size: int = 50
    learning_rate: float | None = None
    clip: float = 1.0
    evaluate_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        select([self.cell])
        for name in ("steps", "hidden_size", "batch_size", "evaluate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; expected a whole number of at least 1")
        self.batches(self.seed)

    @property
    def name(self) -> str:
        """What the run's folder is called."""
        return f"{self.problem}-{self.time}-{self.cell}"

    def batches(self, seed: int, size: int | None = None, **options: Any) -> LongMemory:
        """The problem, from a seed."""
        return PROBLEMS[self.problem](self.time, size or self.batch_size, seed, **options)


class MemoryNet(nn.Module):
    """One recurrent layer and a linear read-out: what is said at every step of x (T, B, ...), (T, B, O)."""

    def __init__(self, layer: Recurrent, outputs: int) -> None:
        super().__init__()
        self.layer = layer
        self.readout = nn.Linear(layer.output_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.layer(x)[0])


def select(names: Sequence[str]) -> list[Contender]:
    """The contenders of these names, in the order of the table; all for none.

    >>> [contender.name for contender in select(["lstm", "rnn"])]
    ['rnn', 'lstm']
    """
    known = [contender.name for contender in CONTENDERS]
    for name in names:
        if name not in known:
            raise UserError(f"the long-memory experiment has no cell {name!r}; {nearest(name, known)}")
    return [contender for contender in CONTENDERS if not names or contender.name in names]


def build_net(settings: MemorySettings) -> MemoryNet:
    """The net of a run as it starts: the same for the same seed."""
    (contender,) = select([settings.cell])
    problem = settings.batches(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        layer = Recurrent(contender.name, problem.input_size, settings.hidden_size)
        start_chrono(layer.layers[0][0], contender.chrono, settings.time)  # type: ignore[index]
        return MemoryNet(layer, problem.output_size)


@torch.no_grad()
def start_chrono(cell: Cell, gates: dict[str, int], longest: int) -> None:
    """Starts the biases of gates at ln u times the number given, u uniform in [1, ``longest`` - 1], one u a unit.

    With 1 for the gate that keeps and -1 for the one that admits, a unit holds what it has for about u steps: the
    chrono start of Tallec and Ollivier 2018, arXiv:1804.11188.

    >>> cell = Recurrent("lstm", 2, 3).layers[0][0]
    >>> start_chrono(cell, {"f": 1, "i": -1}, 100)
    >>> i, f, *_ = cell.bias_ih.chunk(4)
    >>> bool(f.min() >= 0 and f.max() <= 4.6), torch.equal(i, -f)
    (True, True)
    """
    scale = torch.empty(cell.hidden_size).uniform_(1, max(1, longest - 1)).log()
    for gate, sign in gates.items():
        row = cell.gates.index(gate)
        for bias, start in ((cell.bias_ih, sign * scale), (cell.bias_hh, 0 * scale)):
            assert bias is not None
            bias.chunk(len(cell.gates))[row].copy_(start)


def answers(problem: LongMemory, said: Tensor, batch: Sequences) -> tuple[Tensor, Tensor]:
    """What was said (N, O) and what is right (N,), where the problem asks: at the end, or for copy at every step."""
    if problem.name == "copy":
        return said.flatten(0, 1), batch.y.flatten()
    return said[batch.lengths - 1, torch.arange(said.shape[1])], batch.y


def loss_of(problem: LongMemory, said: Tensor, y: Tensor) -> Tensor:
    """Mean square error for adding, else cross-entropy in nats, from (N, O) and (N,)."""
    return F.mse_loss(said.squeeze(-1), y) if problem.name == "adding" else F.cross_entropy(said, y)


def right(problem: LongMemory, said: Tensor, y: Tensor) -> Tensor:
    """Which answers are right (N,): sums within 0.04 (Hochreiter and Schmidhuber 1997), or the likeliest symbol."""
    if problem.name == "adding":
        return (said.squeeze(-1) - y).abs() < 0.04
    return said.argmax(-1) == y


@torch.no_grad()
def judge(net: MemoryNet, problem: LongMemory, batches: int = 5) -> dict[str, float]:
    """Loss, and the share of right answers, on the first batches of a problem; for copy, of the symbols kept."""
    losses, rights = [], []
    for number in range(batches):
        batch = problem.batch(number)
        said, y = answers(problem, net(batch.x), batch)
        losses.append(float(loss_of(problem, said, y)))
        kept = y != 8 if problem.name == "copy" else torch.ones_like(y, dtype=torch.bool)
        rights.append(float(right(problem, said, y)[kept].float().mean()))
    return {"loss": sum(losses) / batches, "right": sum(rights) / batches}


def run_experiment(
    settings: MemorySettings, folder: Path, command: str, console: Console | None = None
) -> dict[str, Any]:
    """Trains one cell in ``folder``/NAME, or goes on where an earlier call stopped; returns and keeps its row.

    ``command`` is what asked for it. Training ends when the problem is solved, at the latest after ``steps`` updates or
    ``minutes``. A run that is finished is not run again.

    Raises ``UserError`` where the folder holds a run with other settings; more steps or minutes may be asked for.
    """
    run = RunFolder(folder / settings.name)
    _claim(run, settings)
    net = build_net(settings)
    diverged = _train(net, settings, run, console)
    records = read_metrics(run.metrics)
    start = flow_of(build_net(settings), settings)
    load_weights(net, run.checkpoint("best"))
    problem = settings.batches(TEST_SEED)
    tested = judge(net, problem, TEST_BATCHES)
    bound = BRIDGED * problem.chance
    row: dict[str, Any] = {
        "name": settings.name,
        "command": command,
        **dataclasses.asdict(settings),
        "about": select([settings.cell])[0].about,
        "learning_rate": _rate(settings),
        "weights": sum(parameter.numel() for parameter in net.parameters()),
        "updates": max(run.steps()),
        "minutes_trained": round(records[-1]["seconds"] / 60, 2) if records else 0.0,
        "chance": problem.chance,
        "chance_here": _chance_here(problem),
        "lag": problem.lag,
        "test_loss": tested["loss"],
        "test_right": tested["right"],
        "bridged": tested["loss"] < bound,
        "bridged_at": bridged_at(records, bound) if tested["loss"] < bound else None,
        "diverged": diverged,
        "curve": [[r["step"], r["train_loss"], r["valid_loss"], r["gradient_norm"]] for r in records],
        "flow": {"start": _measured(start, settings), "trained": _measured(flow_of(net, settings), settings)},
    }
    row["why"] = why(row)
    replace_file(run.path / RESULT, (json.dumps(row, indent=1) + "\n").encode())
    return row


def bridged_at(records: Sequence[Mapping[str, Any]], bound: float) -> int:
    """After how many updates a net bridged: at its first evaluation below the bound, else at its best.

    The test has other sequences than the evaluations, so that it may be below the bound where none of them is.

    >>> records = [{"step": 100, "valid_loss": 0.3}, {"step": 200, "valid_loss": 0.2}]
    >>> bridged_at(records, 0.25), bridged_at(records, 0.1)
    (200, 200)
    """
    below = (record["step"] for record in records if record["valid_loss"] < bound)
    return next(below, min(records, key=itemgetter("valid_loss"))["step"])


def finished_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of all runs in ``folder``, by problem, steps and cell, so that runs of several calls make one table."""
    rows = [json.loads(path.read_text("utf-8")) for path in folder.glob(f"*/{RESULT}")]
    cells = [contender.name for contender in CONTENDERS]
    return sorted(rows, key=lambda row: (list(PROBLEMS).index(row["problem"]), row["time"], cells.index(row["cell"])))


def flow_of(net: MemoryNet, settings: MemorySettings) -> GradientFlow:
    """The gradient of the problem's loss at the last step, over all earlier ones, on sequences of one length."""
    same_length = {"spread": 0.0} if settings.problem == "order" else {}
    problem = settings.batches(TEST_SEED, FLOW_ROWS, **same_length)
    batch = problem.batch(0)
    y = batch.y[-1] if problem.name == "copy" else batch.y
    return gradient_flow(net.layer, batch.x, loss=lambda output: loss_of(problem, net.readout(output), y))


def why(row: dict[str, Any]) -> str:
    """Whether the cell bridges the steps, and why, in words made of what was measured."""
    start, trained = row["flow"]["start"], row["flow"]["trained"]
    measure = "MSE" if row["problem"] == "adding" else "cross-entropy"
    done = f"{measure} {row['test_loss']:.4g} after {row['updates']:,} updates"
    said = [
        f"It bridges {row['time']:,} steps: {done}."
        if row["bridged"]
        else f"It does not bridge {row['time']:,} steps: {done}, where not looking at the input gives "
        f"{row['chance']:.4g} ({row['chance_here']:.4g} on these very sequences)."
    ]
    if row["diverged"]:
        said.append(f"Training broke down: {row['diverged']}.")
    said.append(
        f"What has to be kept lies {row['lag']:,} steps back or more. At the start the gradient changes by a factor of "
        f"{start['rate']:.3g} a step, and {_share(start)} of it arrives there{_nothing(start)}."
    )
    if row["updates"]:
        said.append(f"After training the factor is {trained['rate']:.3g}, and {_share(trained)} arrives there.")
    said += [start["matrix"]] * bool(start["matrix"])
    if not row["bridged"] and row["updates"]:
        said.append(_conclusion(row))
    before, after = start["gradient"], min(start["gradient"], row["clip"])
    said.append(
        f"Clipping at {row['clip']:g} leaves the first gradient, of norm {before:.3g}, as it is."
        if after == before
        else f"Clipping shortens the first gradient from {before:.3g} to {after:g}, every lag alike: what has vanished "
        "stays so."
    )
    return " ".join(said)


def write_results(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Writes long-memory.json, long-memory.md and long-memory.png, as measured; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Callable[[], bytes]] = {
        "long-memory.json": lambda: (json.dumps({"runs": list(rows)}, indent=1) + "\n").encode(),
        "long-memory.md": lambda: markdown(rows).encode(),
    }
    for name, content in contents.items():
        replace_file(folder / name, content())
    draw(rows, folder / "long-memory.png")
    return [folder / name for name in (*contents, "long-memory.png")]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table of who bridges how many steps, one with all numbers, and the words to each run."""
    tasks = list(dict.fromkeys((row["problem"], row["time"]) for row in rows))
    lines = [
        "# Long memory",
        "",
        "One recurrent layer with a linear read-out, on problems that need a long memory. Every update has new "
        "sequences, the curve others, and the losses below are of further ones. A net bridges the steps where its loss "
        "is below 6 % of what not looking at the input gives: on adding, 0.01 where always answering 1 gives "
        "1/6 = 0.1667 (the 0.1767 often printed is no variance of such a sum).",
        "",
        "| cell | " + " | ".join(f"{problem} {time:,}" for problem, time in tasks) + " |",
        "| --- |" + " ---: |" * len(tasks),
    ]
    for about in dict.fromkeys(row["about"] for row in rows):
        found = {(row["problem"], row["time"]): row for row in rows if row["about"] == about}
        lines.append(f"| {about} | " + " | ".join(_cell(found.get(task)) for task in tasks) + " |")
    lines += [
        "",
        "| run | weights | rate | updates | minutes | loss | chance | right | factor a step: start | trained "
        "| arrives from the lag: start | trained |",
        "| --- |" + " ---: |" * 11,
    ]
    for row in rows:
        start, trained = row["flow"]["start"], row["flow"]["trained"]
        lines.append(
            f"| {row['name']} | {row['weights']:,} | {row['learning_rate']:g} | {row['updates']:,} | "
            f"{row['minutes_trained']:g} | {row['test_loss']:.3g} | {row['chance']:.3g} | {row['test_right']:.1%} | "
            f"{start['rate']:.3g} | {trained['rate']:.3g} | {start['share']:.1g} | {trained['share']:.1g} |"
        )
    lines += ["", *(f"- {command}" for command in dict.fromkeys(f"`{row['command']}`" for row in rows))]
    for row in rows:
        lines += ["", f"## {row['about']}, {row['problem']} {row['time']:,}", "", row["why"]]
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A line of pictures for each problem and T: learning curves, gradient norms at the start, and after training."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys((row["problem"], row["time"]) for row in rows))
    figure = Figure(figsize=(15, 4.4 * len(tasks) + 0.4), layout="constrained")
    for line, (problem, time) in zip(figure.subplots(len(tasks), 3, squeeze=False), tasks, strict=True):
        shown = [row for row in rows if (row["problem"], row["time"]) == (problem, time)]
        learning, *flows = line
        for row in shown:
            colour = _colour(row)
            steps, losses = [point[0] for point in row["curve"]], [point[2] for point in row["curve"]]
            learning.plot(steps, losses, color=colour, linewidth=1.3, label=row["about"])
            for axes, moment in zip(flows, ("start", "trained"), strict=True):
                draw_norms(axes, row["flow"][moment]["lags"], row["flow"][moment]["norms"], color=colour)
        learning.axhline(shown[0]["chance"], color="#8a8a8a", linewidth=0.8, linestyle="--", label="not looking")
        learning.axhline(BRIDGED * shown[0]["chance"], color="#8a8a8a", linewidth=0.8, linestyle=":", label="bridged")
        measure = "mean square error" if problem == "adding" else "cross-entropy (nats)"
        learning.set(title=f"{problem}, T = {time:,}", xlabel="updates", ylabel=measure, yscale="log")
        learning.grid(alpha=0.25)
        for axes, moment in zip(flows, ("at the start", "after training"), strict=True):
            axes.set(title=f"gradient norm {moment}", xlabel="steps back", yscale="log", ylabel="||dL/d state||")
            end_at_float32(axes)
            axes.axvline(shown[0]["lag"], color="#444", linewidth=0.8, linestyle="-.", label="what has to be kept")
    handles = {
        text: handle for row in figure.axes for handle, text in zip(*row.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=9, frameon=False)
    figure.savefig(path, dpi=100)


def _claim(run: RunFolder, settings: MemorySettings) -> None:
    """Notes what the folder's run is, or checks that it is this one; steps and minutes may change."""
    wanted = {**dataclasses.asdict(settings), "learning_rate": _rate(settings)}
    if run.settings.exists():
        there = run.load_settings()
        for name, value in wanted.items():
            if name not in ("steps", "minutes") and there.get(name) != value:
                raise UserError(
                    f"{run.path} holds a run with {name}={there.get(name)!r}, not {value!r}; choose another folder "
                    "with --runs, or move that one away"
                )
    run.save_settings(wanted)


def _train(net: MemoryNet, settings: MemorySettings, run: RunFolder, console: Console | None) -> str:
    """Trains until solved or the budget is used up, from evaluation to evaluation; returns what broke it, if anything.

    ``train`` resumes bit for bit, so that these stretches are one run.
    """
    problem, held_out = settings.batches(settings.seed), settings.batches(VALID_SEED)

    def backward(batch: Sequences) -> Tensor:
        loss = loss_of(problem, *answers(problem, net(batch.x), batch))
        loss.backward()
        return loss

    every = settings.evaluate_every
    while (done := max(run.steps(), default=0)) < settings.steps:
        records = read_metrics(run.metrics)
        if records and records[-1]["valid_loss"] <= SOLVED * problem.chance:
            break
        stretch = TrainSettings(
            steps=min((done // every + 1) * every, settings.steps),
            minutes=settings.minutes,
            learning_rate=_rate(settings),
            clip=settings.clip,
            evaluate_every=every,
            seed=settings.seed,
        )
        try:
            result = train(
                net,
                problem,
                backward,
                lambda: judge(net, held_out),
                stretch,
                run,
                tokens=lambda batch: settings.batch_size,
                resume=bool(run.steps()),
                console=console,
                silent=console is None,
            )
        except NotFiniteError as broke:
            return str(broke).partition(";")[0]
        if result.stopped_by == "interrupted":
            raise KeyboardInterrupt  # Ctrl-C ends the whole experiment, not this run of it; the run is saved
        if result.stopped_by == "minutes":
            break
    return ""


def _rate(settings: MemorySettings) -> float:
    return settings.learning_rate or select([settings.cell])[0].learning_rate


def _chance_here(problem: LongMemory) -> float:
    """The loss of the best constant answer on the very sequences of the test; for symbols, what is expected of it."""
    if problem.name != "adding":
        return problem.chance
    return float(torch.cat([problem.batch(number).y for number in range(TEST_BATCHES)]).var(correction=0))


def _measured(flow: GradientFlow, settings: MemorySettings) -> dict[str, Any]:
    """A flow as plain numbers, of at most 200 lags; ``share`` and ``norm`` are those at the problem's lag."""
    lag, total = settings.batches(0).lag, flow.total
    every = -(-len(total) // 200)
    return {
        "rate": flow.rate,
        "share": flow.share(lag),
        "norm": float(total[lag - 1]),
        "verdict": flow.verdict,
        "summary": flow.summary,
        "matrix": flow.matrix_note,
        "gradient": flow.parameters,
        "lags": list(range(1, len(total) + 1, every)),
        "norms": [float(f"{norm:.4g}") for norm in total[::every].tolist()],
    }


def _conclusion(row: dict[str, Any]) -> str:
    """What the gradients have to do with the failure."""
    if max(row["flow"]["start"]["share"], row["flow"]["trained"]["share"]) < 1e-3:
        return (
            "That is why it fails: what the loss sends back is lost long before it reaches the first of what has to be "
            "kept, so that the weights learn from the last steps alone."
        )
    return "A gradient does arrive, so that it is not its vanishing alone that stands in the way."


def _share(flow: dict[str, Any]) -> str:
    return "nothing" if not flow["share"] else f"{flow['share']:.2g}"


def _nothing(flow: dict[str, Any]) -> str:
    return ", less than any float32 number can hold: nothing can be learned from it" if flow["norm"] < SMALLEST else ""


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return (
        f"**{row['test_loss']:.2g}** ({row['bridged_at']:,} updates)" if row["bridged"] else f"{row['test_loss']:.2g}"
    )


def _colour(row: dict[str, Any]) -> str:
    return f"C{[contender.name for contender in CONTENDERS].index(row['cell'])}"
