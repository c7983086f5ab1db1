"""Training for any recurrent model: the loop, its settings, checkpoints that resume bit for bit, several processes."""

from elman.training.checkpoint import load_weights as load_weights
from elman.training.checkpoint import read_checkpoint as read_checkpoint
from elman.training.checkpoint import read_weights as read_weights
from elman.training.curves import draw_curves as draw_curves
from elman.training.distributed import Workers as Workers
from elman.training.distributed import join as join
from elman.training.loop import Result as Result
from elman.training.loop import train as train
from elman.training.metrics import read_metrics as read_metrics
from elman.training.run_folder import RunFolder as RunFolder
from elman.training.sentry import NotFiniteError as NotFiniteError
from elman.training.settings import TrainSettings as TrainSettings
from elman.training.settings import check_types as check_types
