"""Training for any recurrent model: the loop, its settings, checkpoints that resume bit for bit, several processes."""

from .checkpoint import distinct_tensors as distinct_tensors
from .checkpoint import load_weights as load_weights
from .checkpoint import read_checkpoint as read_checkpoint
from .checkpoint import read_weights as read_weights
from .curves import draw_curves as draw_curves
from .distributed import Workers as Workers
from .distributed import join as join
from .loop import Result as Result
from .loop import train as train
from .metrics import read_metrics as read_metrics
from .run_folder import RunFolder as RunFolder
from .sentry import NotFiniteError as NotFiniteError
from .settings import TrainSettings as TrainSettings
from .settings import check_types as check_types
