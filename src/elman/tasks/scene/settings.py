"""The options of scene labelling."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...training.settings import check_types
from ..settings import CellSettings, DataSettings, MachineSettings, StopSettings, check_count


@dataclass(frozen=True)
class PictureSettings(DataSettings):
    """Where pictures and the labels of their pixels come from, and which of them judge the model."""

    data: str | None = None
    """A .npz file with arrays images (n, height, width, channels) and labels (n, height, width), or a folder with
    images/ and labels/ that hold pictures of the same names, of any sizes."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files and folders that are read; what else a folder holds may change."""
        folders = (Path(path, part) for path in super().files for part in ("images", "labels"))
        files = (path for path in super().files if not Path(path).is_dir())
        return (*files, *(str(folder) for folder in folders if folder.is_dir()))

    ignore: str | int | None = None
    """A label that stands for no class: such pixels are neither learned from nor counted."""

    class_names: tuple[str, ...] | None = None
    """What the labels 0, 1, 2, ... are called in tables and pictures."""

    flip: bool = False
    """In training show half of the pictures mirrored, left for right."""


@dataclass(frozen=True)
class SceneNetSettings(CellSettings):
    """The network."""

    hidden_size: int | tuple[int, ...] = 64
    """Units of a sweep in one direction; several numbers, one a layer."""

    num_layers: int | None = None
    """Layers of four sweeps each, all alike; 1 unless cell or hidden_size name several."""

    patch: int = 2
    """Pixels along the side of the squares that the sweeps go over; 1 is the finest and slowest."""

    embedding_size: int = 64
    """Features of a patch's vector."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("patch", "embedding_size"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True)
class SceneGoalSettings:
    """What counts as good."""

    best: Literal["accuracy", "class_accuracy", "iou", "loss"] = "accuracy"
    """Which number of the validation part chooses the best weights and stops early: the share of right pixels, its mean
    over the classes, the mean intersection over union, or the loss."""

    class_weight: Literal["balanced"] | None = None
    """balanced: a pixel of a rare class weighs as much more as the class is rarer; unless given all weigh alike."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class SceneMachineSettings(MachineSettings):
    """How much is computed at once, how exactly, and where."""

    batch_size: int = 16
    """Pictures side by side."""


@dataclass(frozen=True)
class SceneSettings:
    """Everything a labeller of scenes is told; frozen, plain values, checked when made."""

    pictures: PictureSettings = PictureSettings()
    """Where pictures and the labels of their pixels come from, and which of them judge the model."""

    net: SceneNetSettings = field(default=SceneNetSettings())
    """The network."""

    goal: SceneGoalSettings = SceneGoalSettings()
    """What counts as good."""

    machine: SceneMachineSettings = field(default=SceneMachineSettings())
    """How much is computed at once, how exactly, and where."""

    training: StopSettings = field(default=StopSettings())
    """When to stop (the first budget used up ends the run), how weights are updated, what is written when."""
