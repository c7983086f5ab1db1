"""Language models: the next token of a text."""

from .estimator import LanguageModel as LanguageModel
