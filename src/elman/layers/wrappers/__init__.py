"""Wrappers: cells around cells. Each takes any cell, another wrapper too, and is a cell itself."""

from .attention import Attention as Attention
from .dropout import Dropout as Dropout
from .highway import Highway as Highway
from .layer_norm import LayerNorm as LayerNorm
from .residual import Residual as Residual
from .weight_drop import WeightDrop as WeightDrop
from .wrapper import Wrapper as Wrapper
from .zoneout import Zoneout as Zoneout
