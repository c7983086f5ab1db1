"""One checkpoint on disk: a folder of two safetensors files and one JSON file that seals them with SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..errors import UserError
from .files import sync_folder, write_synced

FORMAT = 1
TEMPORARY = ".tmp-"
_STEP = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: the weights, the other tensors of the run, and its plain facts (``train.json``)."""

    path: Path
    model: dict[str, Tensor]
    train: dict[str, Tensor]
    facts: dict[str, Any]


def checkpoint_name(step: int) -> str:
    """The folder name of a checkpoint.

    >>> checkpoint_name(1200)
    'step-00001200'
    """
    return f"step-{step:08d}"


def checkpoint_step(name: str) -> int | None:
    """The step in a checkpoint's folder name, None for any other name.

    >>> checkpoint_step("step-00001200"), checkpoint_step("best")
    (1200, None)
    """
    match = _STEP.fullmatch(name)
    return int(match[1]) if match else None


def distinct_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of ``model`` with tied weights once only, under their first name.

    >>> a, b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    >>> b.weight = a.weight
    >>> list(distinct_tensors(nn.Sequential(a, b)))
    ['0.weight']
    """
    kept: dict[str, Tensor] = {}
    seen = set()
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() == 0 or place not in seen:
            kept[name] = tensor
            seen.add(place)
    return kept


def write_checkpoint(path: Path, model: dict[str, Tensor], train: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write a checkpoint under a temporary name, wait for the disk, then give it its name.

    ``path`` is the final folder; ``facts`` are JSON values. A run killed meanwhile leaves no folder of that name.

    Raises:
        OSError: the disk is full or cannot be written; the unfinished folder is removed.
    """
    fresh = path.with_name(TEMPORARY + path.name)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        digests = {}
        for name, tensors in (("model.safetensors", model), ("train.safetensors", train)):
            data = safetensors.torch.save({key: _storable(value) for key, value in tensors.items()})
            write_synced(fresh / name, data)
            digests[name] = hashlib.sha256(data).hexdigest()
        sealed = {"format": FORMAT, **facts, "sha256": digests}
        digests["train.json"] = _digest_of_facts(sealed)
        write_synced(fresh / "train.json", json.dumps(sealed, indent=1).encode())
        sync_folder(fresh)
        _move_into_place(fresh, path)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, every file compared with its SHA-256 first.

    Raises:
        UserError: there is none, it was cut short or changed, or it has another format; names the one before it.

    >>> import torch
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / checkpoint_name(3)
    >>> write_checkpoint(path, {"w": torch.ones(2)}, {}, {"step": 3})
    >>> read_checkpoint(path).model["w"], read_checkpoint(path).facts["step"]
    (tensor([1., 1.]), 3)
    """
    facts = _read_facts(path)
    model = _read_tensors(path, "model.safetensors", facts)
    return Checkpoint(path, model, _read_tensors(path, "train.safetensors", facts), facts)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint alone, compared with their SHA-256; raises as :func:`read_checkpoint` does."""
    return _read_tensors(path, "model.safetensors", _read_facts(path))


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the weights of the checkpoint at ``path`` into ``model``.

    Raises:
        UserError: as :func:`read_checkpoint`, or the names or shapes are those of another model.
    """
    fill_weights(model, read_weights(path), path)


def fill_weights(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put ``weights`` read from ``path`` into ``model``; a UserError names the first differences in name or shape."""
    mine = distinct_tensors(model)
    differences = [
        f"'{name}' is {tuple(weights[name].shape)} there and {tuple(mine[name].shape)} here"
        for name in mine.keys() & weights.keys()
        if mine[name].shape != weights[name].shape
    ]
    differences += [f"'{name}' is only there" for name in weights if name not in mine]
    differences += [f"'{name}' is only here" for name in mine if name not in weights]
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(
            f"checkpoint {path} is of another model: {', '.join(sorted(differences)[:3])}{more}; "
            "build the model with the settings of that run (its settings.json)"
        )
    # Not strict: the second name of a tied weight is filled through its first.
    model.load_state_dict(weights, strict=False)


def _storable(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu").contiguous().clone()


def _move_into_place(fresh: Path, path: Path) -> None:
    if path.exists():
        # A checkpoint of this step from before a resume; a folder cannot be replaced by a rename.
        old = path.with_name(f"{TEMPORARY}old-{path.name}")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
        os.rename(fresh, path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(fresh, path)
    sync_folder(path.parent)


def _digest_of_facts(sealed: dict[str, Any]) -> str:
    """SHA-256 of everything in train.json but itself."""
    others = {name: value for name, value in sealed["sha256"].items() if name != "train.json"}
    return hashlib.sha256(json.dumps({**sealed, "sha256": others}, sort_keys=True).encode()).hexdigest()


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise UserError(f"no checkpoint at {path}; expected a folder like step-00001200 inside a run's checkpoints")
    try:
        facts = json.loads((path / "train.json").read_bytes())
        version = facts["format"]
        if version == FORMAT and facts["sha256"]["train.json"] != _digest_of_facts(facts):
            raise _damaged(path, "train.json was changed since it was written")
    except FileNotFoundError:
        raise _damaged(path, "train.json is missing") from None
    except OSError as error:
        raise UserError(
            f"cannot read {path / 'train.json'}: {error.strerror}; check the folder's permissions"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise _damaged(path, "train.json cannot be read as JSON of this format") from error
    if version != FORMAT:
        raise UserError(f"checkpoint {path} has format {version!r}; this version reads format {FORMAT}; upgrade elman")
    result: dict[str, Any] = facts
    return result


def _read_tensors(path: Path, name: str, facts: dict[str, Any]) -> dict[str, Tensor]:
    try:
        data = (path / name).read_bytes()
    except FileNotFoundError:
        raise _damaged(path, f"{name} is missing") from None
    except OSError as error:
        raise UserError(f"cannot read {path / name}: {error.strerror}; check the folder's permissions") from error
    if hashlib.sha256(data).hexdigest() != facts["sha256"].get(name):
        raise _damaged(path, f"{name} was cut short or changed since it was written (its SHA-256 differs)")
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise _damaged(path, f"{name} is not a safetensors file ({error})") from error


def _damaged(path: Path, what: str) -> UserError:
    step = checkpoint_step(path.name)
    earlier = [p.name for p in path.parent.glob("step-*") if (checkpoint_step(p.name) or 0) < (step or 0)]
    hint = f"use the one before it, {max(earlier)}" if earlier else "there is none before it; start the run again"
    return UserError(f"checkpoint {path} is damaged: {what}; {hint}")
