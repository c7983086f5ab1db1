"""One room per job a user comes with: estimator, settings and what they need; beside them what all jobs share."""

from .caption import Captioner as Captioner
from .classify import Classifier as Classifier
from .forecast import Forecaster as Forecaster
from .language_model import LanguageModel as LanguageModel
from .scene import SceneLabeller as SceneLabeller
from .seq2seq import Seq2Seq as Seq2Seq
from .settings import LanguageModelSettings as LanguageModelSettings
from .tag import Tagger as Tagger
