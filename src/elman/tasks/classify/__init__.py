"""Classification: one label for a sequence."""

from .estimator import Classifier as Classifier
