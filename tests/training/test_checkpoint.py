from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_training import ToyNet

from elman.errors import UserError
from elman.training import load_weights, read_checkpoint, read_weights
from elman.training.checkpoint import checkpoint_name, distinct_tensors, write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step in (10, 20):
        tensors = distinct_tensors(ToyNet())
        write_checkpoint(tmp_path / checkpoint_name(step), tensors, {"a": torch.arange(3)}, {"step": step, "x": 0.1})
    return tmp_path / checkpoint_name(20)


def test_what_is_written_is_read(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    assert checkpoint.facts["step"] == 20
    assert checkpoint.facts["x"] == 0.1
    assert checkpoint.train["a"].tolist() == [0, 1, 2]
    # Tied weights are stored once.
    assert sorted(checkpoint.model) == ["embed.weight", "out.bias", "recur.bias", "recur.weight"]
    assert sorted(p.name for p in folder.iterdir()) == ["model.safetensors", "train.json", "train.safetensors"]


def test_tied_weights_stay_tied(folder: Path) -> None:
    net = ToyNet()
    load_weights(net, folder)
    assert net.out.weight is net.embed.weight
    assert torch.equal(net.out.weight, read_weights(folder)["embed.weight"])


@pytest.mark.parametrize("name", ["model.safetensors", "train.safetensors", "train.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "short", "changed"])
def test_damage_is_told_with_the_checkpoint_before(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "short":
        path.write_bytes(data[: len(data) // 2])
    else:
        position = data.index(b'"step": 20') + 8 if name == "train.json" else len(data) - 1
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    with pytest.raises(UserError) as caught:
        read_checkpoint(folder)
    assert "damaged" in str(caught.value)
    assert name in str(caught.value)
    assert "use the one before it, step-00000010" in str(caught.value)


def test_other_formats_and_no_checkpoint(folder: Path) -> None:
    facts = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(UserError, match="has format 99; this version reads format 1"):
        read_checkpoint(folder)
    with pytest.raises(UserError, match="no checkpoint at"):
        read_checkpoint(folder / "nowhere")


def test_another_model_is_told_by_its_first_differences(folder: Path) -> None:
    net = ToyNet()
    net.recur = nn.Linear(6, 9)
    with pytest.raises(UserError) as caught:
        load_weights(net, folder)
    assert "'recur.bias' is (6,) there and (9,) here" in str(caught.value)
    assert "'recur.weight' is (6, 6) there and (9, 6) here" in str(caught.value)
    with pytest.raises(UserError, match=r"is of another model: .* and 3 more"):
        load_weights(nn.Sequential(nn.Linear(2, 2)), folder)


def test_a_checkpoint_of_the_same_step_is_replaced(folder: Path) -> None:
    write_checkpoint(folder, {"w": torch.ones(1)}, {}, {"step": 20})
    assert list(read_weights(folder)) == ["w"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["step-00000010", "step-00000020"]
