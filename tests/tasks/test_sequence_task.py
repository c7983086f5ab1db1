"""The base of the jobs' estimators, through the smallest job there can be."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from elman import Recurrent, UserError
from elman.data import Batches, pad
from elman.tasks.runs import digest_of
from elman.tasks.sequence_task import Lesson, SequenceEstimator, built, judging, moved
from elman.tasks.settings import CellSettings, MachineSettings, StopSettings

ODD = """
import elman

class Odd(elman.Cell):
    gates = ("n",)

    def step(self, x, h):
        return h / None
"""


@dataclass(frozen=True)
class SumSettings:
    """What the job is told."""

    net: CellSettings = field(default=CellSettings(cell="rnn", hidden_size=12))
    machine: MachineSettings = field(default=MachineSettings())
    training: StopSettings = field(default=StopSettings())


class SumBatch(NamedTuple):
    x: Tensor
    lengths: Tensor
    totals: Tensor


class SumNet(nn.Module):
    def __init__(self, features: int, *stack: Any, **options: Any) -> None:
        super().__init__()
        self.recurrent = Recurrent(stack[0], features, *stack[1:], **options)
        self.head = nn.Linear(self.recurrent.output_size, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.recurrent(x, lengths=lengths)
        return self.head(y.sum(0)).squeeze(-1)  # type: ignore[no-any-return]


class Adder(SequenceEstimator):
    """Learns the sum of a sequence."""

    task = "adder"
    settings_class = SumSettings
    help = "Train an adder."

    def fit(self, X: Any = None, y: Any = None, **how: Any) -> Adder:
        settings = self._begin(self.get_params())
        self.largest_ = max(y)
        net = self._build()

        def loss(batch: SumBatch) -> Tensor:
            return (net(batch.x, batch.lengths) - batch.totals).square().mean()

        def collate(rows: Any) -> SumBatch:
            x, lengths = pad([X[row] for row in rows])
            return SumBatch(x, lengths, torch.tensor([y[row] for row in rows]))

        def evaluate() -> dict[str, float]:
            with judging(net):
                return {"loss": float(loss(collate(range(len(X)))))}

        batches = Batches([len(x) for x in X], settings.machine.batch_size, collate, settings.training.seed)
        lesson = Lesson(net, batches, loss, lambda batch: len(batch.totals), evaluate, {"sums": str(len(X))})
        self._train(lesson, **{"run": None, "resume": False, "console": None, "quiet": True} | how)
        return self

    def _build(self) -> SumNet:
        return built(SumNet, self.settings_.net, 1)

    def _learned(self) -> dict[str, Any]:
        return {"largest": self.largest_}

    def _relearn(self, learned: dict[str, Any]) -> None:
        self.largest_ = learned["largest"]


def sums(count: int = 64) -> tuple[list[Any], list[float]]:
    X = [torch.randn(1 + row % 5, 1).numpy() for row in range(count)]
    return X, [float(x.sum()) for x in X]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("precision", ["full", "bf16"])
def test_a_job_is_a_net_a_loss_and_a_judge(precision: str, tmp_path: Path) -> None:
    model = Adder(steps=250, evaluate_every=125, learning_rate=0.02, threads=1, precision=precision)
    model.fit(*sums(), run=tmp_path / "run")
    assert model.result.best_metrics["loss"] < 0.05
    again = Adder.load(tmp_path / "run")
    assert again.largest_ == model.largest_
    x, lengths = pad(sums(3)[0])
    with torch.no_grad():
        assert torch.equal(again.net(x, lengths), model.net(x, lengths))
    assert set(json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])) >= {
        "examples_per_second", "valid_loss", "train_loss"
    }  # fmt: skip


def test_a_saved_model_has_its_tied_weights_once(tmp_path: Path) -> None:
    class Tied(Adder):
        def _build(self) -> SumNet:
            net = super()._build()
            net.again = net.head
            return net

    model = Tied(steps=1, threads=1).fit(*sums(8))
    model.save(tmp_path / "saved")
    x, lengths = pad(sums(3)[0])
    assert torch.equal(Tied.load(tmp_path / "saved").net(x, lengths), model.net(x, lengths))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_what_a_gpu_trained_is_used_without_one(tmp_path: Path) -> None:
    Adder(steps=1, threads=1).fit(*sums(8), run=tmp_path / "run")
    path = tmp_path / "run" / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cuda"}))
    model = Adder.load(tmp_path / "run")
    assert next(model.net.parameters()).device.type == "cpu"
    with pytest.raises(UserError, match="PyTorch finds no GPU here; use device='cpu'"):
        Adder(steps=1, device="cuda").fit(*sums(8))


def test_the_digest_is_of_what_files_hold(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    before = digest_of([str(folder)])
    folder.rename(tmp_path / "moved")
    folder = tmp_path / "moved"
    assert digest_of([str(folder)]) == before, "wherever they stand"
    (folder / "a.txt").rename(folder / "b.txt")
    assert digest_of([str(folder)]) != before
    (folder / "b.txt").rename(folder / "a.txt")
    (folder / "a.txt").write_text("two")
    assert digest_of([str(folder)]) != before
    assert digest_of([]) == digest_of(["gone"])
    before = digest_of([str(folder)])
    (folder / "runs" / "adder-1").mkdir(parents=True)
    (folder / "runs" / "adder-1" / "curves.png").write_text("")
    (folder / ".hidden").write_text("")
    assert digest_of([str(folder)]) == before, "a run folder among the data is none of it"


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    Adder(steps=1, threads=1).fit(*sums(8), run=tmp_path / "run")
    learned = tmp_path / "run" / "learned.json"
    for content, sentence in (("{", "is not valid JSON"), ("[]", "holds no JSON object")):
        learned.write_text(content)
        with pytest.raises(UserError, match=sentence):
            Adder.load(tmp_path / "run")
    learned.unlink()
    with pytest.raises(UserError, match=r"cannot read .*learned.json: No such file"):
        Adder.load(tmp_path / "run")


def test_a_cell_that_cannot_run_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cell of this stack has an option 'alpa'"):
        Adder(cell_args={"alpa": 1}, threads=1).fit(*sums(8), run=tmp_path / "run")
    own = tmp_path / "own.py"
    own.write_text(ODD)
    with pytest.raises(TypeError):
        Adder(cell=f"{own}:Odd", threads=1).fit(*sums(8), run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_options_of_cells_go_to_those_of_a_stack_that_take_them() -> None:
    options: dict[str, Any] = {"cell_args": {"forget_bias": 2.0}, "hidden_size": 4}
    net = built(SumNet, CellSettings(cell=("lstm", "gru"), **options), 3)
    assert [layer[0].forget_bias for layer in net.recurrent.layers] == [2.0, None]  # type: ignore[index]
    with pytest.raises(UserError, match=r"no cell of this stack has a forget gate, so forget_bias=2\.0 has nothing to"):
        built(SumNet, CellSettings(cell="gru", **options), 3)


def test_a_batch_moves_as_a_whole() -> None:
    class Pair(NamedTuple):
        x: Tensor
        name: str

    like = torch.ones(1, device="meta", dtype=torch.float64)
    batch = moved(Pair(torch.ones(2), "a"), like)
    assert isinstance(batch, Pair) and batch.x.is_meta and batch.x.dtype == torch.float64 and batch.name == "a"
    ids = moved((torch.ones(1, dtype=torch.int64),), like)
    assert isinstance(ids, tuple) and ids[0].dtype == torch.int64


def test_judging_gives_the_mode_back() -> None:
    net = nn.Linear(1, 1)
    with judging(net) as device:
        assert not net.training and not torch.is_grad_enabled() and device.type == "cpu"
    assert net.training and torch.is_grad_enabled()
