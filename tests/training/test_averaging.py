from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_training import toy_run

from elman.training import RunFolder, TrainSettings, read_checkpoint, read_weights
from elman.training.averaging import Average

# A rate that makes validation worse at once, so that averaging begins at the second evaluation without a new best.
RESTLESS = {"optimizer": "sgd", "learning_rate": 3.0, "clip": 0.5, "evaluate_every": 4, "keep": 99}


def test_the_mean_is_that_of_all_weights_since_the_start() -> None:
    model = nn.Linear(2, 1, dtype=torch.float64)
    average = Average(model, after=2)
    seen: list[np.ndarray] = []
    for step in range(6):
        with torch.no_grad():
            model.weight.add_(torch.randn(1, 2, dtype=torch.float64))
        average.update()
        average.observe(stale=step)  # begins at step 2
        if step >= 2:
            seen.append(model.weight.detach().numpy().copy())
        else:
            assert not average.count
            with average.shown():
                assert not average.hidden
    with average.shown():
        np.testing.assert_allclose(model.weight.detach().numpy(), np.mean(seen, axis=0), rtol=1e-12)
        np.testing.assert_array_equal(average.hidden["weight"].numpy(), seen[-1])
    np.testing.assert_array_equal(model.weight.detach().numpy(), seen[-1])


def test_checkpoints_hold_the_mean_and_training_goes_on_without_it(tmp_path: Path) -> None:
    """Against the weights of the same run, step for step, that is never averaged."""
    _, plain = toy_run(tmp_path / "plain", TrainSettings(**RESTLESS, steps=24, checkpoint_every=1))
    result, net = toy_run(tmp_path / "run", TrainSettings(**RESTLESS, steps=24, average_after=2))
    assert torch.equal(net.recur.weight, plain.recur.weight)
    run = RunFolder(tmp_path / "run")
    counts = {step: read_checkpoint(run.checkpoint(str(step))).facts["averaged"] for step in (4, 8, 12, 16, 20, 24)}
    begun = 24 - counts[24] + 1
    assert 8 <= begun < 20 and counts[4] == 0 and counts[20] == counts[24] - 4
    each = [
        read_weights(RunFolder(tmp_path / "plain").checkpoint(str(step)))["recur.weight"] for step in range(begun, 25)
    ]
    saved = read_checkpoint(run.checkpoint("last"))
    torch.testing.assert_close(saved.model["recur.weight"], torch.stack(each).mean(0), rtol=1e-5, atol=1e-6)
    assert torch.equal(saved.train["hidden.recur.weight"], each[-1])
    assert result.steps == 24


@pytest.mark.parametrize("stop", [8, 20])
def test_resuming_equals_not_stopping(tmp_path: Path, stop: int) -> None:
    settings = RESTLESS | {"average_after": 2}
    toy_run(tmp_path / "one", TrainSettings(**settings, steps=24))
    toy_run(tmp_path / "two", TrainSettings(**settings, steps=stop))
    toy_run(tmp_path / "two", TrainSettings(**settings, steps=24), resume=True)
    one, two = (read_checkpoint(RunFolder(tmp_path / name).checkpoint("last")) for name in ("one", "two"))
    assert one.facts["averaged"] == two.facts["averaged"] > 4
    for ours, theirs in ((one.model, two.model), (one.train, two.train)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
