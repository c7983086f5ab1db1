"""Layers: stacks of cells, and the wrappers that go around a cell."""

from .convolutional import ConvLSTM1d as ConvLSTM1d
from .convolutional import ConvLSTM2d as ConvLSTM2d
from .convolutional import ConvLSTM3d as ConvLSTM3d
from .recurrent import Recurrent as Recurrent
from .sweeps import Sweeps as Sweeps
from .wrappers import Attention as Attention
from .wrappers import Dropout as Dropout
from .wrappers import Highway as Highway
from .wrappers import LayerNorm as LayerNorm
from .wrappers import Residual as Residual
from .wrappers import WeightDrop as WeightDrop
from .wrappers import Wrapper as Wrapper
from .wrappers import Zoneout as Zoneout
