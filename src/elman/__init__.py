"""Elman: recurrent networks for PyTorch. Write a cell in five lines; train it, look into it, ship it."""

import importlib
from typing import TYPE_CHECKING, Any

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
from .tbptt import TBPTT as TBPTT

# The jobs, and the rooms only they need, are imported when first asked for: readers of files, pictures and tables of
# scores would double the time that importing Elman takes.
_ROOMS = ("bench", "compat", "data", "generation", "models", "tasks", "training")

if TYPE_CHECKING:
    from .tasks.caption import Captioner as Captioner
    from .tasks.classify import Classifier as Classifier
    from .tasks.forecast import Forecaster as Forecaster
    from .tasks.language_model import LanguageModel as LanguageModel
    from .tasks.scene import SceneLabeller as SceneLabeller
    from .tasks.seq2seq import Seq2Seq as Seq2Seq
    from .tasks.tag import Tagger as Tagger
else:

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return importlib.import_module(f".{name}", __name__)
        for job in _jobs():
            if job.estimator == name:
                return job.load()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, *(job.estimator for job in _jobs())})


def _jobs() -> Any:
    return importlib.import_module(".tasks.registry", __name__).JOBS.values()
