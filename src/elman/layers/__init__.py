"""Layers: stacks of cells."""

from .recurrent import Recurrent as Recurrent
