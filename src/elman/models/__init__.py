"""The network of each task shape."""

from .classifier import ClassifierNet as ClassifierNet
from .language_model import LanguageNet as LanguageNet
