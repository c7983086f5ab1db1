"""``tf.nn.rnn_cell``: the cells and their wrappers."""

from ..base import RNNCell as RNNCell
from ..cells import BasicLSTMCell as BasicLSTMCell
from ..cells import BasicRNNCell as BasicRNNCell
from ..cells import GRUCell as GRUCell
from ..cells import LSTMCell as LSTMCell
from ..cells import LSTMStateTuple as LSTMStateTuple
from ..wrappers import DropoutWrapper as DropoutWrapper
from ..wrappers import MultiRNNCell as MultiRNNCell
from ..wrappers import ResidualWrapper as ResidualWrapper
