"""Scene labelling: a class for every pixel."""

from .estimator import SceneLabeller as SceneLabeller
