"""``tf.nn``: the runners, and the activations a cell may be given."""

from torch import relu as relu
from torch import sigmoid as sigmoid
from torch import tanh as tanh

from ..runners import bidirectional_dynamic_rnn as bidirectional_dynamic_rnn
from ..runners import dynamic_rnn as dynamic_rnn
from ..runners import static_rnn as static_rnn
from . import rnn_cell as rnn_cell
