from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from toy_training import ToyNet, toy_run

from elman.errors import UserError
from elman.training import NotFiniteError, RunFolder, TrainSettings, load_weights
from elman.training.sentry import find_not_finite


def test_a_spoilt_parameter_is_named_before_the_loss_it_spoils() -> None:
    net = ToyNet()
    with torch.no_grad():
        net.recur.bias[1] = math.nan
    assert find_not_finite(net, math.nan) == ("the parameter 'recur.bias'", "NaN")
    assert find_not_finite(ToyNet(), math.inf) == ("the loss", "infinite")
    assert find_not_finite(ToyNet(), 1.0) == ("the norm of all gradients", "infinite")


def test_training_stops_at_the_step_and_names_tensor_and_checkpoint(tmp_path: Path) -> None:
    settings = TrainSettings(steps=40, evaluate_every=10)
    with pytest.raises(NotFiniteError) as caught:
        toy_run(tmp_path, settings, spoil=17)
    assert caught.value.step == 17
    assert caught.value.tensor == "the gradient of 'recur.weight'"
    assert isinstance(caught.value, UserError)
    assert "step 17: the gradient of 'recur.weight' became NaN" in str(caught.value)
    assert "step-00000010" in str(caught.value)
    load_weights(ToyNet(), RunFolder(tmp_path).checkpoint("last"))
    result, _ = toy_run(tmp_path, settings, resume=True)
    assert result.steps == 40


def test_an_update_that_overflows_is_never_saved(tmp_path: Path) -> None:
    settings = TrainSettings(steps=30, evaluate_every=5, optimizer="sgd", learning_rate=3e38, clip=None)
    with pytest.raises(NotFiniteError, match=r"the (parameter|loss)"):
        toy_run(tmp_path, settings)
    net = ToyNet()
    load_weights(net, RunFolder(tmp_path).checkpoint("last"))
    assert all(parameter.isfinite().all() for parameter in net.parameters())
