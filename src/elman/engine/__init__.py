"""The engine: run a step over a sequence."""

from .explain import explain as explain
from .scan import scan as scan
