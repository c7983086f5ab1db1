"""Captions: a text from a class, a vector or a picture."""

from .estimator import Captioner as Captioner
