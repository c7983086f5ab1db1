"""Weights to and from other frameworks, gate by gate: PyTorch, Keras 3, Flax, Haste and TensorFlow 1.

Each framework is one file with a table of its layouts; no framework is imported. ``from_x`` makes a cell or layer of
ours from objects of the framework, or from plain arrays; ``to_x`` puts our weights into theirs.
"""

from .flax import from_flax as from_flax
from .flax import to_flax as to_flax
from .haste import from_haste as from_haste
from .haste import to_haste as to_haste
from .keras import from_keras as from_keras
from .keras import to_keras as to_keras
from .tf1 import from_tf1 as from_tf1
from .tf1 import to_tf1 as to_tf1
from .torch_nn import from_torch as from_torch
from .torch_nn import to_torch as to_torch
