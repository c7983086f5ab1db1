"""Elman: recurrent networks for PyTorch. Write a cell in five lines; train it, look into it, ship it."""

from . import bridge as bridge
from . import cells as cells
from . import diagnostics as diagnostics
from . import testing as testing
from .cell import Cell as Cell
from .engine import explain as explain
from .engine import scan as scan
from .errors import UserError as UserError
from .layers import Recurrent as Recurrent
from .nn import GRU as GRU
from .nn import LSTM as LSTM
from .nn import RNN as RNN
from .nn import GRUCell as GRUCell
from .nn import LSTMCell as LSTMCell
from .nn import RNNCell as RNNCell
from .streaming import Stream as Stream
from .tasks import Captioner as Captioner
from .tasks import Classifier as Classifier
from .tasks import Forecaster as Forecaster
from .tasks import LanguageModel as LanguageModel
from .tasks import SceneLabeller as SceneLabeller
from .tasks import Seq2Seq as Seq2Seq
from .tasks import Tagger as Tagger
from .tbptt import TBPTT as TBPTT
