"""RNN, LSTM and GRU in NumPy, forward and backward written out: what to read beside a chapter on backpropagation.

Nothing here is fast and nothing is differentiated by a library. ``rnn``, ``lstm`` and ``gru`` each have the same three
functions; ``readout`` turns their outputs into a loss and its gradient; ``tbptt`` cuts long sequences into windows.
Parameters are dicts of float64 arrays with PyTorch's names and layouts, so that they can be handed to ``elman.cells``
and back. Arrays over time are (T, B, ...).
"""

from . import gru as gru
from . import lstm as lstm
from . import readout as readout
from . import rnn as rnn
from .tbptt import tbptt as tbptt
