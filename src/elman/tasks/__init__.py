"""One file per job a user comes with: estimator, data, model, metric and defaults together."""

from .classify import Classifier as Classifier
from .forecast import Forecaster as Forecaster
from .language_model import LanguageModel as LanguageModel
from .settings import LanguageModelSettings as LanguageModelSettings
