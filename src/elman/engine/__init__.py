"""The engine: run a step over a sequence."""

from .scan import scan as scan
