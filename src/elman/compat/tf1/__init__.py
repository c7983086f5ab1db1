"""TensorFlow 1's recurrent names on PyTorch tensors: ``import elman.compat.tf1 as tf``.

Cells, wrappers and runners of ``tf.nn`` and ``tf.nn.rnn_cell`` with TensorFlow 1.15's arguments, parameter layouts and
results, every loop run by ``elman.scan``. There are no graphs and sessions: what is called is computed. Keep
probabilities, batch-first inputs and the state order (c, h) are as there; nowhere else in Elman.

>>> import torch
>>> import elman.compat.tf1 as tf
>>> lstm = tf.nn.rnn_cell.BasicLSTMCell(4)
>>> state = lstm.zero_state(2, tf.float32)
>>> for current_input in torch.randn(5, 2, 3):
...     tf.get_variable_scope().reuse_variables()
...     lstm_output, state = lstm(current_input, state)
>>> lstm_output.shape, state.c.shape
(torch.Size([2, 4]), torch.Size([2, 4]))
"""

from torch import float32 as float32
from torch import float64 as float64
from torch import sigmoid as sigmoid
from torch import tanh as tanh

from . import nn as nn
from .base import RNNCell as RNNCell
from .cells import BasicLSTMCell as BasicLSTMCell
from .cells import BasicRNNCell as BasicRNNCell
from .cells import GRUCell as GRUCell
from .cells import LSTMCell as LSTMCell
from .cells import LSTMStateTuple as LSTMStateTuple
from .ops import clip_by_global_norm as clip_by_global_norm
from .ops import get_variable_scope as get_variable_scope
from .ops import sequence_loss as sequence_loss
from .ops import split_squeeze as split_squeeze
from .runners import bidirectional_dynamic_rnn as bidirectional_dynamic_rnn
from .runners import dynamic_rnn as dynamic_rnn
from .runners import static_rnn as static_rnn
from .wrappers import DropoutWrapper as DropoutWrapper
from .wrappers import MultiRNNCell as MultiRNNCell
from .wrappers import ResidualWrapper as ResidualWrapper
