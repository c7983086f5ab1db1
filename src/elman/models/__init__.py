"""The network of each task shape."""

from .language_model import LanguageNet as LanguageNet
